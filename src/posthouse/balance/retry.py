"""The rule that is asked "again?" after each failed attempt, and the two questions that go with it.

The table, first line that fits:

| the failure                                                             | answer                        |
|-------------------------------------------------------------------------|-------------------------------|
| a byte of the final response went downstream                            | give up                       |
| the client's fault, or a time limit on the whole                        | give up                       |
| every backend is full, and the queue as well, or the time in it is over | give up                       |
| the request may have reached the application and is not idempotent      | give up                       |
| the body cannot be sent again                                           | give up                       |
| a kept-alive connection died before it answered, 3 times at most        | at once                       |
| `try_duration` is over, or off                                          | give up                       |
| a backend that this exchange has not tried is available                 | at once                       |
| else                                                                    | after `try_interval`, growing |

Source: RFC 9110, 9.2.2 (which methods are idempotent; a proxy must not repeat others by itself).
"""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True)
class RetryFacts:
    """What the exchange knows when an attempt has failed.

    elapsed             seconds since the exchange first asked for a backend
    waits               how often it has waited for a retry so far (answers above 0.0)
    stale_retries       how often it has retried because of `is_stale`
    is_idempotent       see `is_idempotent`
    can_replay          all that was taken of the request body so far can be sent again
    has_untried         a backend that this exchange has not tried is available now
    is_response_sent    a byte of the final response went downstream (1xx do not count)
    chance              uniform in [0, 1): spreads the waits of exchanges that failed together
    """

    elapsed: float
    waits: int
    stale_retries: int
    is_idempotent: bool
    can_replay: bool
    has_untried: bool
    is_response_sent: bool
    chance: float


class Retry:
    """The rule with one route's settings."""

    __slots__ = ("_duration", "_interval")

    def __init__(self, spec: RetrySpec) -> None:
        self._duration = spec.duration
        self._interval = spec.interval

    def __repr__(self) -> str:
        return f"<Retry for {self._duration:g} s every {self._interval:g} s>"

    def next(self, failure: Failure, facts: RetryFacts) -> float | None:
        """Seconds to wait before the next attempt, 0.0 = at once; None = give up.

        After `is_stale` at-once means: on a fresh connection, and the same backend will do.
        """
        if not _is_safe(failure, facts):
            return None
        if is_stale(failure) and facts.stale_retries < STALE_RETRIES:
            return 0.0
        left = self._duration - facts.elapsed
        if left <= 0:
            return None
        if facts.has_untried:
            return 0.0
        if left < LEAST_WAIT:
            return None
        return min(self._wait(facts.waits, facts.chance), left)

    def _wait(self, waits: int, chance: float) -> float:
        # The exponent is cut as well: 1.5 to the power of some thousands overflows a float.
        growth = min(GROWTH ** min(waits, 64), MOST_GROWTH)
        return max(self._interval * growth * (1 - JITTER + 2 * JITTER * chance), LEAST_WAIT)


def is_idempotent(method: bytes) -> bool:
    """Whether a request of that method may be sent twice (methods are case-sensitive)."""
    return method in IDEMPOTENT_METHODS


def is_stale(failure: Failure) -> bool:
    """A kept-alive connection that its peer closed before it answered: no fault of the backend, which may do
    so."""
    return failure.is_reused and not failure.is_response_started and failure.kind in _STALE_KINDS


def is_backend_fault(failure: Failure) -> bool:
    """Whether the failure counts for `max_fails`: the upstream's, also in the middle of a body, and not
    stale."""
    return failure.side is Side.UPSTREAM and not is_stale(failure)


def _is_safe(failure: Failure, facts: RetryFacts) -> bool:
    if facts.is_response_sent or failure.side is Side.DOWNSTREAM or failure.kind in _FINAL_KINDS:
        return False
    return facts.can_replay and (failure.sent is Sent.NOTHING or facts.is_idempotent)
