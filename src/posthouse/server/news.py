"""News: what workers tell each other of backends, by way of the supervisor. Rare, so not in the shared block.

Times are monotonic seconds, which are the same in all processes of a machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from posthouse.balance.backend import Backend
from posthouse.balance.breaker import Phase
from posthouse.balance.health import NEVER
from posthouse.balance.identity import BackendKey
from posthouse.balance.pool import Pool

MOST_FAILURES = 1000
"""That are remembered of one backend for a worker that will be started: `max_fails` is never near that."""


_TIDY_LEAST = 64
_TIDY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Failed:
    """A failure that counts against a backend until `expiry`."""

    pool: str
    backend: BackendKey
    expiry: float
    reason: str


@dataclass(frozen=True, slots=True)
class Tripped:
    """The breaker of a backend has opened or closed, in one worker and by what that has seen."""

    pool: str
    backend: BackendKey
    phase: Phase
    reason: str
    since: float
    until: float | None


News = Failed | Tripped
FAILURE: Final = 0
"""The kind of a line on the bulletin that is a failure; other kinds are phases of a breaker."""
_PHASES: Final = {1: Phase.OPEN, 2: Phase.CLOSED}
_KINDS: Final = {phase: kind for kind, phase in _PHASES.items()}
_TOLD: Final = "another worker saw it"
"""Until the message comes that says more."""


def failed(pool: str, backend: Backend, expiry: float, reason: str) -> Failed:
    """For `Pool.tell`."""
    return Failed(pool, backend.key, expiry, reason)


def tripped(pool: str, backend: Backend) -> Tripped | None:
    """What others must know after a change of the breaker: not that time has made it half-open, which it does with
    theirs too."""
    breaker = backend.comeback.breaker
    if breaker is None or breaker.since is None or breaker.phase is Phase.HALF_OPEN:
        return None
    return Tripped(pool, backend.key, breaker.phase, breaker.reason, breaker.since, breaker.until)


def line_of(news: Failed | Tripped) -> tuple[int, float, float]:
    """What stands on the bulletin: kind, since, until; infinity is no end."""
    if isinstance(news, Failed):
        return FAILURE, 0.0, news.expiry
    return _KINDS[news.phase], news.since, NEVER if news.until is None else news.until


def from_line(pool: str, backend: BackendKey, kind: int, since: float, until: float) -> News:
    """What such a line means."""
    if kind == FAILURE:
        return Failed(pool, backend, until, _TOLD)
    return Tripped(pool, backend, _PHASES[kind], _TOLD, since, None if until == NEVER else until)


def apply(news: News, pools: Mapping[str, Pool], now: float) -> None:
    """Another's news are ours; nobody is told again. Of pools and backends that we don't have (yet, or any more):
    nothing."""
    pool = pools.get(news.pool)
    backend = pool.find(news.backend) if pool is not None else None
    if backend is None:
        return
    if isinstance(news, Failed):
        backend.remember(now, news.expiry, news.reason)
    else:
        backend.follow(news.phase, news.reason, news.since, news.until)


def _is_over(news: Tripped, now: float) -> bool:
    return news.until is None or news.until < now - _TIDY_SECONDS


class Remembered:
    """The news that still matter: for a worker that is started in the place of another. Held by the supervisor."""

    __slots__ = ("_failed", "_last", "_tidy_at")

    def __init__(self) -> None:
        self._tidy_at = _TIDY_LEAST
        self._failed: dict[tuple[str, BackendKey], list[Failed]] = {}
        self._last: dict[tuple[str, BackendKey], Tripped] = {}

    def __repr__(self) -> str:
        return f"<Remembered failed={len(self._failed)} last={len(self._last)}>"

    def add(self, news: News, now: float) -> None:
        """One more."""
        if len(self._failed) + len(self._last) >= self._tidy_at:
            self._tidy(now)
        if isinstance(news, Failed):
            key = news.pool, news.backend
            kept = [one for one in self._failed.get(key, ()) if one.expiry > now]
            self._failed[key] = [*kept[-MOST_FAILURES + 1 :], news]
            return
        last = self._last.get((news.pool, news.backend))
        if last is None or last.since < news.since:
            self._last[news.pool, news.backend] = news

    def _tidy(self, now: float) -> None:
        """Of backends that were found while we run, there is no end: forget what is as if it had not been."""
        self._failed = {key: kept for key, kept in self._failed.items() if kept[-1].expiry > now}
        self._last = {key: one for key, one in self._last.items() if not _is_over(one, now)}
        self._tidy_at = 2 * (len(self._failed) + len(self._last)) + _TIDY_LEAST

    def tell(self, now: float) -> list[News]:
        """What a new worker has to know."""
        live = [one for kept in self._failed.values() for one in kept if one.expiry > now]
        return [*live, *self._last.values()]
