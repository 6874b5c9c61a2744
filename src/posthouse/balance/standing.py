"""Standing: one word for how a backend is, of all that is known of it, with its reason and since when."""

from __future__ import annotations

from dataclasses import dataclass

from posthouse.balance.active_health import State
from posthouse.balance.backend import Backend
from posthouse.balance.breaker import Phase


@dataclass(frozen=True, slots=True)
class Standing:
    """What people are shown.

    state   "down" or "draining" (health checks), "open" or "half_open" (breaker), "failing" (marked by failures), "up"
    since   monotonic seconds; None = from the beginning, or unknown
    """

    state: str
    reason: str
    since: float | None


def standing(backend: Backend, now: float) -> Standing:
    """What weighs most comes first: health checks, then the breaker, then marks."""
    if backend.state is not State.UP:
        return Standing(str(backend.state), backend.reason, backend.since)
    breaker = backend.comeback.breaker
    if breaker is not None and breaker.phase is not Phase.CLOSED:
        return Standing(str(breaker.phase), breaker.reason, breaker.since)
    if backend.is_marked(now):
        return Standing("failing", backend.fault, backend.marked_since)
    return Standing(str(backend.state), backend.reason, backend.since)


def comes_back(backend: Backend) -> float:
    """When no mark, open breaker or lone trial keeps it back, if nothing else fails; `-NEVER` if that is now."""
    breaker, lone = backend.comeback.breaker, backend.comeback.lone
    if lone is not None and not lone.has_room and backend.comeback.until is not None:
        return backend.comeback.until
    if breaker is None or breaker.phase is not Phase.OPEN or breaker.until is None:
        return backend.mark_falls()
    return max(backend.mark_falls(), breaker.until)
