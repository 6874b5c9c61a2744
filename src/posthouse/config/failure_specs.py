"""The part of the configuration that is about backends that fail: what is tried again, what is counted, what is asked.

Import it from `config/specs.py`, which names all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RetryKind = Literal["connect", "reset", "timeout", "502", "503", "504"]


@dataclass(frozen=True, slots=True)
class RetrySpec:
    """Again or not. Replays on a stale kept-alive connection need none of this.

    duration     no attempt begins later than so long after the first; 0 = no such limit if there is a count, else
                 one attempt
    count        attempts, the first included; None = the duration alone decides
    kinds        after which failures, or statuses of a backend's answer
    all_methods  also what is not idempotent is sent again
    budget       percent of the pool's requests that may be retries, None = no limit; budget_least: and so many a second
    """

    duration: float = 0.0
    interval: float = 0.25
    replay_limit: int = 1 << 20
    count: int | None = None
    kinds: tuple[RetryKind, ...] = ("connect", "reset", "timeout")
    all_methods: bool = False
    budget: float | None = 20.0
    budget_least: float = 10.0

    @property
    def is_on(self) -> bool:
        """Whether there is ever a second attempt."""
        return self.duration > 0 or (self.count is not None and self.count > 1)

    @property
    def statuses(self) -> frozenset[int]:
        """The statuses among `kinds`."""
        return frozenset(int(kind) for kind in self.kinds if kind.isdigit())


StatusRange = tuple[int, int]
"""First and last of the statuses that are meant."""


@dataclass(frozen=True, slots=True)
class BreakerSpec:
    """`breaker`: when one backend is left out, and how it comes back (balance/breaker.py).

    errors   percent of the answers in the window from which on it opens, None = never for that
    latency  seconds to the response head, on average, from which on it opens, None = never for that
    minimum  answers in the window below which it never opens
    trials   requests that must succeed in a row before it closes, and that are let through at a time
    """

    errors: float | None = 50.0
    latency: float | None = None
    window: float = 10.0
    minimum: int = 20
    open: float = 30.0
    trials: int = 1


@dataclass(frozen=True, slots=True)
class PassiveSpec:
    """What requests find out about backends, and what follows.

    fail_timeout  seconds that a failure is remembered, 0 = not at all
    statuses      answers that are failures
    latency       seconds to the response head from which on an answer is a failure, None = off
    max_ejected   percent of the pool that may be left out because of failures
    panic         where nobody can be used, everybody is tried
    """

    fail_timeout: float = 0.0
    max_fails: int = 1
    statuses: tuple[StatusRange, ...] = ()
    latency: float | None = None
    max_ejected: float = 100.0
    panic: bool = False
    breaker: BreakerSpec | None = None


@dataclass(frozen=True, slots=True)
class CheckSpec:
    """What an active health check asks of a backend, and which answers are right.

    path          below the TO's base path, encoded, query included; "" = nothing is asked, connecting is enough
    port          in the place of the endpoint's; 0 = the endpoint's own; not for Unix sockets
    headers       (name, value) of fields besides ours, values as they are sent
    statuses      those that pass
    drain         those that say "I am draining"; looked at before `statuses`
    drain_fields  names of response fields that say so, whatever the status, by any value that is no "no"
    contains      text that the body must hold; "" = the body is not read
    """

    path: str = ""
    port: int = 0
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    statuses: tuple[StatusRange, ...] = ((200, 399),)
    drain: tuple[StatusRange, ...] = ()
    drain_fields: tuple[str, ...] = ()
    contains: str = ""


@dataclass(frozen=True, slots=True)
class HealthSpec:
    """Active health checks of one pool: the check, how often, and how many results count.

    interval       seconds from the beginning of one check to that of the next
    down_interval  the same while the backend is down; None = `interval`
    timeout        seconds for one check, from dialling to the last byte that is looked at
    passes, fails  results in a row that bring a backend up, or take it down
    """

    check: CheckSpec
    interval: float = 30.0
    down_interval: float | None = None
    timeout: float = 60.0
    passes: int = 1
    fails: int = 1
