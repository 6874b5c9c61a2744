"""What the process log says of breakers: one line for each change."""

from __future__ import annotations

from posthouse.balance.backend import Backend
from posthouse.balance.breaker import Phase
from posthouse.observe.process_log import ProcessLog

_TOLD = {
    Phase.OPEN: "breaker open",
    Phase.HALF_OPEN: "breaker half-open",
    Phase.CLOSED: "breaker closed",
}


def tell_breaker(log: ProcessLog, pool: str, backend: Backend, was: Phase) -> None:
    """The line about a backend whose breaker has just changed."""
    breaker = backend.comeback.breaker
    assert breaker is not None
    tell = log.warn if breaker.phase is Phase.OPEN else log.info
    tell(_TOLD[breaker.phase], pool=pool, upstream=backend.name, was=str(was), reason=breaker.reason)
