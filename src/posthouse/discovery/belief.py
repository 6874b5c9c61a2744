"""What is believed of a name, and when to ask again. No clock, no chance of its own.

Laws:
1. What cannot be answered (SERVFAIL, silence) changes nothing, however long it lasts.
2. "There is none" is believed at once while nothing was known, and else only after `DOUBT_SECONDS` of saying so. A zone
   that was emptied by mistake is mended by then, a service that was taken away is not dialled for ever; HAProxy's
   `hold nx` is as long.
3. Between two questions lie at least LEAST_SECONDS and, without failures, at most MOST_SECONDS, whatever TTL is told.
"""

from __future__ import annotations

from typing import Any, Final

LEAST_SECONDS: Final = 1.0
MOST_SECONDS: Final = 300.0
"""Bounds of a TTL. Of 0 we would never stop asking; of a day nobody would wait for the end."""
DOUBT_SECONDS: Final = 30.0
RETRY_SECONDS: Final = 1.0
MOST_RETRY_SECONDS: Final = 30.0
"""After the first failure, and at most: each pause is twice the one before."""
JITTER: Final = 0.1
"""A pause is up to so much longer: workers that began together don't ask together."""


class Belief:
    """What is believed of one question.

    records   the last good answer; None = nothing is known yet
    failures  questions in a row that were not answered
    """

    __slots__ = ("_empty_since", "failures", "records")

    def __init__(self) -> None:
        self.records: tuple[Any, ...] | None = None
        self.failures = 0
        self._empty_since: float | None = None

    def __repr__(self) -> str:
        return f"<Belief records={self.records!r} failures={self.failures}>"

    @property
    def is_doubting(self) -> bool:
        """Whether the last answer said that there is none any more, and is not believed yet."""
        return self._empty_since is not None

    def learn(self, records: tuple[Any, ...], now: float) -> None:
        """It was answered."""
        self.failures = 0
        if records or not self.records:
            self.records = records
            self._empty_since = None
        elif self._empty_since is None:
            self._empty_since = now
        elif now - self._empty_since >= DOUBT_SECONDS:
            self.records = ()
            self._empty_since = None

    def fail(self) -> None:
        """It was not answered."""
        self.failures += 1

    def pause(self, ttl: float, chance: float) -> float:
        """Seconds until it is asked again; `ttl` of the last answer, `chance` uniform in [0, 1)."""
        if self.failures:
            seconds = min(RETRY_SECONDS * 2.0 ** min(self.failures - 1, 16), MOST_RETRY_SECONDS)
        else:
            seconds = max(ttl, LEAST_SECONDS)
        return min(seconds * (1 + JITTER * chance), MOST_SECONDS)
