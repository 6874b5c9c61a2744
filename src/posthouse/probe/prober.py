"""Prober: asks one backend again and again, and tells it, and the log, when its state changes.

Laws:
1. A probe never overlaps with the one before: the next is set only when the last has said what it found.
2. One line in the log for each change of state, none while nothing changes.
3. A failure of our own (no descriptor left) is no finding: it changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from posthouse.balance.active_health import ActiveHealth, Finding, State, pause
from posthouse.errors import Failure
from posthouse.probe.check import Check
from posthouse.probe.ports import Cancellable, Log, Services
from posthouse.probe.probe import Probe

_TOLD = {State.UP: "backend up", State.DRAINING: "backend draining", State.DOWN: "backend down"}


@dataclass(frozen=True, slots=True)
class Last:
    """What the last check came to, and when (monotonic seconds). verdict: pass, drain, fail, or not_made."""

    at: float
    verdict: str
    reason: str


class Prober:
    """One check, from `start` until `stop`.

    health  what the findings so far come to; handed on when only the pace of the check changes
    last    the last check that was over; None before the first
    """

    __slots__ = ("_began", "_next", "_probe", "_services", "check", "health", "last")

    def __init__(self, check: Check, services: Services, health: ActiveHealth) -> None:
        self.check = check
        self.health = health
        self._services = services
        self._probe: Probe | None = None
        self._next: Cancellable | None = None
        self._began = 0.0
        self.last: Last | None = None

    def __repr__(self) -> str:
        return f"<Prober {self.check.backend.name} {self.health!r}>"

    def start(self, seconds: float) -> None:
        """The first probe begins in so many seconds."""
        self._next = self._services.call_later(seconds, self._begin)

    def stop(self) -> None:
        """No further probe; one that runs is called off. Idempotent."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if self._probe is not None:
            self._probe.cancel()
            self._probe = None

    def _begin(self) -> None:
        self._next = None
        self._began = self._services.clock()
        self._probe = Probe(self.check, self._services, self._on_done)
        self._probe.start()

    def _on_done(self, found: Finding | Failure) -> None:
        services, spec = self._services, self.check.spec
        now = services.clock()
        self._probe = None
        if isinstance(found, Failure):
            self.last = Last(now, "not_made", found.reason)
            services.log.warn(
                "health check not made",
                key=found.reason,
                upstream=self.check.backend.name,
                reason=found.reason,
            )
        else:
            self.last = Last(now, found.verdict.name.lower(), found.reason)
            self._learn(found, now)
        elapsed = now - self._began
        self.start(max(pause(spec, self.health.state, services.chance()) - elapsed, 0.0))

    def _learn(self, finding: Finding, now: float) -> None:
        before = self.health.state
        if not self.health.observe(finding, self.check.spec):
            return
        self.check.backend.believe(self.health.state, finding.reason, now)
        self._services.believed(self.check)
        tell_change(self._services.log, self.check, before, finding.reason)


def tell_change(log: Log, check: Check, before: State, reason: str) -> None:
    """The line about a backend that has just changed its state."""
    backend = check.backend
    tell = log.warn if backend.state is State.DOWN else log.info
    tell(_TOLD[backend.state], pool=check.pool, upstream=backend.name, was=str(before), reason=reason)
