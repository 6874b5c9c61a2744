"""Colleagues: what a worker that is not alone has to do with the others: the block that all share, and news."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Protocol

from posthouse import __version__
from posthouse.balance.backend import Backend
from posthouse.balance.breaker import Phase
from posthouse.balance.pool import Pool
from posthouse.server import news
from posthouse.server.block import attach
from posthouse.server.breakers import tell_breaker
from posthouse.server.bulletin import Line
from posthouse.server.cursors import Cursor
from posthouse.server.rows import LENGTH, RowKey, queue_keys
from posthouse.server.shares import Shares
from posthouse.server.sharing import GROUP_MESSAGES, Cursors, Given, Oldest, Shared, Wanted
from posthouse.server.wakes import Wakes

if TYPE_CHECKING:
    from posthouse.server.runtime import Runtime

__all__ = ["GROUP_MESSAGES", "Colleagues"]


class Serving(Protocol):
    """What is asked of `server.worker.Worker`."""

    @property
    def oldest(self) -> int:
        """The number of the oldest generation that is at work."""

    @property
    def newest(self) -> int:
        """The number of the one that serves."""

    @property
    def pools(self) -> Mapping[str, Pool]:
        """Those of the generation that serves."""


class Colleagues:
    """tell  says something to the supervisor

    cursors  by pool
    """

    def __init__(
        self, runtime: Runtime, worker: int, serving: Serving, tell: Callable[[object], None]
    ) -> None:
        self._runtime = runtime
        self._worker = worker
        self._serving = serving
        self._tell = tell
        self._shares: Shares | None = None
        self._early: list[news.News] = []
        self.cursors: dict[str, Cursor] = {}

    def __repr__(self) -> str:
        return f"<Colleagues of worker {self._worker} {self._shares!r}>"

    def hear(self, message: object, descriptors: list[int]) -> None:
        """One of GROUP_MESSAGES. Raises StartError if the block is not of our version."""
        match message:
            case Shared():
                block, *wakes = descriptors
                self._shares = Shares(attach(block, __version__), Wakes(wakes), self._worker)
                self._shares.on_news = self._on_line
                self._runtime.loop.add_reader(wakes[self._worker], self._shares.on_wake)
            case Given(rows, size, freed):
                assert self._shares is not None
                self._shares.know(rows, size, freed)
                for pool, text, kind in freed:
                    if not text and kind == LENGTH and pool in self.cursors:
                        self.cursors.pop(pool).close()
                self._share_late(self._shares)
            case Cursors(pools):
                self.cursors |= zip(pools, map(Cursor, descriptors), strict=True)
            case news.Failed() | news.Tripped() if not self._serving.newest:
                self._early.append(message)
            case news.Failed() | news.Tripped():
                news.apply(message, self._serving.pools, self._runtime.clock())

    def begin(self) -> None:
        """A generation serves from now on: before its first request it is told what came before it."""
        early, self._early = self._early, []
        for one in early:
            news.apply(one, self._serving.pools, self._runtime.clock())

    def _share_late(self, shares: Shares) -> None:
        for pool in self._serving.pools.values():
            if pool.claims is None:
                group = shares.group(pool.name, [backend.key for backend in pool.backends])
                if group is not None:
                    pool.share(group)

    def share(self, pool: Pool) -> None:
        """The pool is everybody's. For what was found while we run rows are asked for, also if they are there, so that
        they stay; until they are, the pool's limits and its queue are for each worker."""
        if self._shares is None:
            return
        keys = [backend.key for backend in pool.backends]
        group = self._shares.group(pool.name, keys)
        if group is not None:
            pool.share(group)
        if keys and (group is None or pool.spec.sources):
            wanted = (*queue_keys(pool.name), *((pool.name, *key) for key in keys))
            self._tell(Wanted(self._serving.newest, wanted))

    def take_number(self, pool: str) -> Callable[[], int] | None:
        """What a pool of that name takes turns by, together with the other workers; None: by turns of its own."""
        cursor = self.cursors.get(pool)
        return None if cursor is None else cursor.take

    def listen(self, pool: Pool) -> None:
        """Tell the log of breakers, and the others of those and of failures."""
        on_failure = None if self._shares is None else partial(self._on_failure, pool.name)
        pool.tell(partial(self._on_breaker, pool.name), on_failure)

    def _on_breaker(self, pool: str, backend: Backend, was: Phase) -> None:
        tell_breaker(self._runtime.log, pool, backend, was)
        told = news.tripped(pool, backend)
        if told is not None:
            self._spread(told)

    def _on_failure(self, pool: str, backend: Backend, expiry: float, reason: str) -> None:
        self._spread(news.failed(pool, backend, expiry, reason))

    def _spread(self, told: news.Failed | news.Tripped) -> None:
        """The others know it when they look; the supervisor keeps it, with its reason, for those who come later."""
        if self._shares is not None:
            self._shares.write(told.pool, told.backend, *news.line_of(told))
            self._tell(told)

    def _on_line(self, key: RowKey, line: Line) -> None:
        pool, text, occurrence = key
        told = news.from_line(pool, (text, occurrence), line.kind, line.since, line.until)
        news.apply(told, self._serving.pools, self._runtime.clock())

    def on_generation_over(self) -> None:
        """One is not at work any more: perhaps rows are free."""
        if self._shares is not None:
            self._tell(Oldest(self._serving.oldest))

    def close(self) -> None:
        """The end."""
        shares, self._shares = self._shares, None
        if shares is not None:
            self._runtime.loop.remove_reader(shares.wakes.descriptors[self._worker])
            shares.wakes.close()
        for cursor in self.cursors.values():
            cursor.close()
        self.cursors.clear()
