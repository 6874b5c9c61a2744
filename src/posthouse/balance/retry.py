"""The rule that is asked "again?" after each failed attempt, and the two questions that go with it.

The table, first line that fits:

| the failure                                                             | answer                        |
|-------------------------------------------------------------------------|-------------------------------|
| a byte of the final response went downstream                            | give up                       |
| the client's fault, or a time limit on the whole                        | give up                       |
| every backend is full, and the queue as well, or the time in it is over | give up                       |
| the request may have reached the application, is not idempotent, and    | give up                       |
| the site did not write `all_methods`                                    |                               |
| the body cannot be sent again                                           | give up                       |
| a kept-alive connection died before it answered, 3 times at most        | at once                       |
| it is of a kind that `retry_on` does not name                           | give up                       |
| `try_count` attempts were made                                          | give up                       |
| `try_duration` is over; or it is off, and so is `try_count`             | give up                       |
| something of the request was sent, and the pool's budget is spent       | give up                       |
| a backend that this exchange has not tried is available                 | at once                       |
| else                                                                    | after `try_interval`, growing |

That no backend is free is no attempt: it is waited for, as long as there is a `try_duration`, whatever `retry_on`,
`try_count` and the budget say. The budget is for what may load an application twice: an attempt that found no
connection costs it nothing, and so does one that goes to a fresh connection because a kept one was dead.

Source: RFC 9110, 9.2.2 (which methods are idempotent; a proxy must not repeat others by itself).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from posthouse.config.specs import RetrySpec
from posthouse.errors import Failure, FailureKind, Sent, Side

IDEMPOTENT_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})

STALE_RETRIES = 3
"""Each retry of this kind takes a fresh connection, so more than one needs several backends that fail in
turn."""

GROWTH = 1.5
MOST_GROWTH = 8.0
JITTER = 0.2
LEAST_WAIT = 0.001
"""`try_interval 0` would spin."""

_FINAL_KINDS = frozenset(
    {
        FailureKind.EXCHANGE_TIMEOUT,
        FailureKind.FULL,
        FailureKind.QUEUE_TIMEOUT,
        FailureKind.CLIENT_GONE,
        FailureKind.CLIENT_TIMEOUT,
        FailureKind.CLIENT_MALFORMED,
    }
)
_STALE_KINDS = frozenset({FailureKind.RESET, FailureKind.TRUNCATED})

RETRY_KINDS: dict[str, frozenset[FailureKind]] = {
    "connect": frozenset(
        {FailureKind.DNS, FailureKind.CONNECT, FailureKind.CONNECT_TIMEOUT, FailureKind.TLS}
    ),
    "reset": frozenset({FailureKind.RESET, FailureKind.TRUNCATED, FailureKind.MALFORMED}),
    "timeout": frozenset({FailureKind.RESPONSE_TIMEOUT, FailureKind.IDLE_TIMEOUT}),
}
"""`connect`: no connection came about; `reset`: it broke, or what came was no response; `timeout`: too little came."""


@dataclass(frozen=True, slots=True)
class RetryFacts:
    """What the exchange knows when an attempt has failed.

    attempts            how many it has made, those that ended stale left out
    elapsed             seconds since the exchange first asked for a backend
    waits               how often it has waited for a retry so far (answers above 0.0)
    stale_retries       how often it has retried because of `is_stale`
    is_idempotent       see `is_idempotent`
    can_replay          all that was taken of the request body so far can be sent again
    has_budget          the pool's budget allows one more retry
    has_untried         a backend that this exchange has not tried is available now
    is_response_sent    a byte of the final response went downstream (1xx do not count)
    chance              uniform in [0, 1): spreads the waits of exchanges that failed together
    """

    attempts: int
    elapsed: float
    waits: int
    stale_retries: int
    is_idempotent: bool
    can_replay: bool
    has_budget: bool
    has_untried: bool
    is_response_sent: bool
    chance: float


class Retry:
    """The rule with one route's settings."""

    __slots__ = ("_count", "_duration", "_interval", "_is_on", "_kinds", "all_methods")

    def __init__(self, spec: RetrySpec) -> None:
        self.all_methods = spec.all_methods
        self._duration = spec.duration
        self._interval = spec.interval
        self._is_on = spec.is_on
        self._count = math.inf if spec.count is None else spec.count
        self._kinds = frozenset[FailureKind]().union(
            *(RETRY_KINDS[kind] for kind in spec.kinds if kind in RETRY_KINDS)
        )

    def __repr__(self) -> str:
        return f"<Retry for {self._duration:g} s every {self._interval:g} s>"

    def next(self, failure: Failure | None, facts: RetryFacts) -> float | None:
        """Seconds to wait before the next attempt, 0.0 = at once; None = give up.

        failure: None = the backend answered, with a status that `retry_on` names.
        After `is_stale` at-once means: on a fresh connection, and the same backend will do.
        """
        if not self._is_safe(failure, facts):
            return None
        if failure is not None and _is_free(failure, facts):
            return 0.0
        left = self._left(failure, facts)
        if left <= 0:
            return None
        if facts.has_untried:
            return 0.0
        if left < LEAST_WAIT:
            return None
        return min(self._wait(facts.waits, facts.chance), left)

    def _is_safe(self, failure: Failure | None, facts: RetryFacts) -> bool:
        if facts.is_response_sent or not facts.can_replay:
            return False
        may_repeat = facts.is_idempotent or self.all_methods
        if failure is None:
            return may_repeat
        if failure.side is Side.DOWNSTREAM or failure.kind in _FINAL_KINDS:
            return False
        return may_repeat or failure.sent is Sent.NOTHING

    def _left(self, failure: Failure | None, facts: RetryFacts) -> float:
        """Seconds in which another attempt may begin; 0 or less = it may not."""
        if not self._is_on:
            return 0.0
        left = self._duration - facts.elapsed if self._duration > 0 else math.inf
        if failure is not None and failure.kind is FailureKind.NO_BACKEND:
            # Without a duration that wait would have no end.
            return left if left != math.inf else 0.0
        if failure is not None and failure.kind not in self._kinds:
            return 0.0
        may_go_on = facts.attempts < self._count and (facts.has_budget or not is_charged(failure, facts))
        return left if may_go_on else 0.0

    def _wait(self, waits: int, chance: float) -> float:
        # The exponent is cut as well: 1.5 to the power of some thousands overflows a float.
        growth = min(GROWTH ** min(waits, 64), MOST_GROWTH)
        return max(self._interval * growth * (1 - JITTER + 2 * JITTER * chance), LEAST_WAIT)


def is_idempotent(method: bytes) -> bool:
    """Whether a request of that method may be sent twice (methods are case-sensitive)."""
    return method in IDEMPOTENT_METHODS


def is_charged(failure: Failure | None, facts: RetryFacts) -> bool:
    """Whether going on after it is a retry that the budget pays for: not if no application has seen the request."""
    return failure is None or not (failure.sent is Sent.NOTHING or _is_free(failure, facts))


def _is_free(failure: Failure, facts: RetryFacts) -> bool:
    return is_stale(failure) and facts.stale_retries < STALE_RETRIES


def is_stale(failure: Failure) -> bool:
    """A kept-alive connection that its peer closed before it answered: no fault of the backend, which may do
    so."""
    return failure.is_reused and not failure.is_response_started and failure.kind in _STALE_KINDS


def is_backend_fault(failure: Failure) -> bool:
    """Whether the failure counts for `max_fails`: the upstream's, also in the middle of a body, and not
    stale."""
    return failure.side is Side.UPSTREAM and not is_stale(failure)
