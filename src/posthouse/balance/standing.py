"""Standing: one word for how a backend is, of all that is known of it, with its reason and since when."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from posthouse.balance.active_health import State
from posthouse.balance.backend import Backend
from posthouse.balance.breaker import Phase
from posthouse.balance.orders import BY_ORDER, Kind


@dataclass(frozen=True, slots=True)
class Standing:
    """What people are shown.

    state   "disabled" or "draining" (by order), "down" or "draining" (health checks), "open" or "half_open" (breaker),
            "failing" (marked by failures), "up"
    since   monotonic seconds; None = from the beginning, or unknown
    """

    state: str
    reason: str
    since: float | None


def standing(backend: Backend, now: float) -> Standing:
    """What weighs most comes first: an order, health checks, then the breaker, then marks."""
    order = backend.order
    if order.kind is not None:
        checks = "" if backend.state is State.UP else f"; health checks: {backend.state}, {backend.reason}"
        return Standing(order.kind.state, BY_ORDER + checks, order.since)
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


def why_out(backends: Collection[Backend]) -> str:
    """What keeps all of these out, to be read after "every backend is". O(n)."""
    kinds = {backend.order.kind for backend in backends}
    free = [backend for backend in backends if backend.order.kind is None]
    states = {backend.state for backend in free}
    found = [
        _either([kind.state for kind in (Kind.DISABLE, Kind.DRAIN) if kind in kinds], BY_ORDER),
        _either([state for state in (State.DOWN, State.DRAINING) if state in states], "health checks"),
    ]
    if State.UP in states:
        found.append("left out because of failures")
        if not any(found[:2]) and any(backend.comeback.trials is not None for backend in free):
            found.append("being tried again")
    return ", or ".join(filter(None, found))


def _either(words: Sequence[str], why: str) -> str:
    return f"{' or '.join(words)} ({why})" if words else ""
