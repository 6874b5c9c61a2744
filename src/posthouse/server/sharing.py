"""Sharing: what the supervisor does so that its workers are one: owns the block, gives out rows, cleans up after a
worker that died, passes on news."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from posthouse import __version__
from posthouse.config.specs import Config, PoolSpec
from posthouse.server import block, wakes
from posthouse.server.news import News, Remembered
from posthouse.server.rows import RowKey, Rows, keys_of


@dataclass(frozen=True, slots=True)
class Shared:
    """To a worker, before the first `Given`. Its descriptors: the block's, then the eventfd of each worker."""


@dataclass(frozen=True, slots=True)
class Given:
    """To a worker, before the configuration or the members that need them: these keys have these rows.

    size   rows of the block
    freed  keys that have none any more
    """

    rows: dict[RowKey, int]
    size: int
    freed: tuple[RowKey, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Oldest:
    """From a worker: no generation before this one is at work in it."""

    generation: int


def pools_of(config: Config) -> list[PoolSpec]:
    """All pools of a configuration."""
    return [route.pool for site in config.sites for route in site.routes]


class Sharing:
    """Of a supervisor with more than one worker.

    remembered  the news that a new worker must hear
    """

    def __init__(self, workers: int) -> None:
        """Raises StartError or OSError."""
        self.block = block.create(workers, __version__)
        self.wakes = wakes.make(workers)
        self.remembered = Remembered()
        self._rows = Rows()
        self._oldest = [0] * workers

    def __repr__(self) -> str:
        return f"<Sharing {self.block!r} {self._rows!r}>"

    @property
    def descriptors(self) -> list[int]:
        """Those that go with `Shared`."""
        return [self.block.fd, *self.wakes.descriptors]

    def give(self, generation: int, pools: Iterable[PoolSpec]) -> Given:
        """What the workers must know before they build these pools."""
        freed = self._retire()
        new = self._rows.give(generation, [key for pool in pools for key in keys_of(pool)])
        self.block.grow(self._rows.size)
        return Given(new, self._rows.size, freed)

    def _retire(self) -> tuple[RowKey, ...]:
        keys = {row: key for key, row in self._rows.all.items()}
        freed = self._rows.retire(min(self._oldest))
        for row in freed:
            self.block.clear_row(row)
        return tuple([keys[row] for row in freed])

    def all(self) -> Given:
        """What a worker must know that is started later than others."""
        return Given(dict(self._rows.all), self._rows.size)

    def hear_oldest(self, worker: int, generation: int) -> None:
        """No generation before this one is at work in that worker."""
        self._oldest[worker] = generation

    def hear(self, news: News, now: float) -> None:
        """A worker, or our own checks, found something out; passing it on is the caller's."""
        self.remembered.add(news, now)

    def bury(self, worker: int) -> None:
        """A worker has ended, and was waited for: it holds nothing, nobody waits in it, and who waits elsewhere
        looks what is free now."""
        self.block.clear_column(worker)
        self.wakes.wake_all()

    def held(self, key: RowKey) -> int:
        """What is in the row of a key, over all workers; 0 without one."""
        row = self._rows.all.get(key)
        return 0 if row is None else sum(self.block.row(row))

    def close(self) -> None:
        """The end."""
        self.block.close()
        self.wakes.close()
