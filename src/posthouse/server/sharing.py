"""Sharing: what the supervisor does so that its workers are one: owns the block, gives out rows, cleans up after a
worker that died, passes on news. With one worker it does nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from posthouse import __version__
from posthouse.config.specs import Config, PoolSpec
from posthouse.errors import StartError
from posthouse.server import block, wakes
from posthouse.server.cursors import CursorKeeper
from posthouse.server.news import Failed, News, Remembered, Tripped
from posthouse.server.rows import LENGTH, RowKey, Rows, keys_of

MOST_FOUND: Final = 100_000
"""Keys that have a row only because a worker asked: ten of the longest lists. Of a backend without a row each worker
knows only what it holds itself."""

LONGEST_NAME: Final = 4096
"""Characters of a name that a worker asks a row for, and of a reason that others are told. Names come from addresses
and file paths, which are not longer."""


@dataclass(frozen=True, slots=True)
class Shared:
    """To a worker, before the first `Given`. Its descriptors: the block's, then the eventfd of each worker."""


@dataclass(frozen=True, slots=True)
class Given:
    """To a worker, before the configuration that needs them, or after `Wanted`: these keys have these rows.

    size   rows of the block
    freed  keys that have none any more
    """

    rows: dict[RowKey, int]
    size: int
    freed: tuple[RowKey, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Cursors:
    """To a worker, before the configuration that needs them: these pools have cursors, its descriptors."""

    pools: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """From a worker: that generation has these keys, of backends that were found while we run. If some have no row yet,
    everybody is told their new ones."""

    generation: int
    keys: tuple[RowKey, ...]


@dataclass(frozen=True, slots=True)
class Oldest:
    """From a worker: no generation before this one is at work in it."""

    generation: int


GROUP_MESSAGES: Final = (Shared, Given, Cursors, Failed, Tripped)
"""Those to a worker that are about its being one of several."""


class Member(Protocol):
    """A worker (`child.Child`)."""

    @property
    def slot(self) -> int: ...
    @property
    def is_serving(self) -> bool: ...
    def send(self, message: object, descriptors: Sequence[int] = ()) -> None: ...


def pools_of(config: Config) -> list[PoolSpec]:
    """All pools of a configuration."""
    return [route.pool for site in config.sites for route in site.routes]


class Sharing:
    """members  the workers that run now"""

    def __init__(self, workers: int, members: Callable[[], Iterable[Member]]) -> None:
        self.block: block.Block | None = None
        self.wakes: wakes.Wakes | None = None
        self._workers = workers
        self._members = members
        self._remembered = Remembered()
        self._cursors = CursorKeeper()
        self._rows = Rows()
        self._oldest = [0] * workers
        self._newest = 0
        self._found: set[RowKey] = set()  # those that have a row and are in no configuration

    def __repr__(self) -> str:
        return f"<Sharing {self.block!r} {self._rows!r}>"

    def start(self) -> None:
        """Make what is shared, if it will be. Raises StartError."""
        if self._workers < 2:
            return
        try:
            self.block = block.create(self._workers, __version__)
            self.wakes = wakes.make(self._workers)
        except OSError as error:
            raise StartError(f"no memory to share with workers: {error.strerror}") from None

    def welcome(self, member: Member) -> None:
        """A worker has been started."""
        if self.block is not None:
            member.send(Shared(), self.descriptors)
            member.send(Given(dict(self._rows.all), self._rows.size))
            if self._cursors.all:
                member.send(Cursors(tuple(self._cursors.all)), list(self._cursors.all.values()))

    @property
    def descriptors(self) -> list[int]:
        """Those that go with `Shared`."""
        assert self.block is not None and self.wakes is not None
        return [self.block.fd, *self.wakes.descriptors]

    def brief(self, member: Member) -> None:
        """It is about to serve: what the others know of backends."""
        if self.block is not None:
            for news in self._remembered.tell(time.monotonic()):
                member.send(news)

    def prepare(self, generation: int, config: Config) -> None:
        """All will be asked to build this configuration."""
        # Looked for only here, since it costs O(n): rows become free after a reload.
        freed = () if self.block is None else self._retire(self.block)
        self._newest = generation
        named = [key for pool in pools_of(config) for key in keys_of(pool)]
        self._found.difference_update(named)
        self._give(generation, named, freed)
        new = {} if self.block is None else self._cursors.give(pools_of(config))
        if new:
            for member in self._members():
                member.send(Cursors(tuple(new)), list(new.values()))

    def _give(self, generation: int, keys: Iterable[RowKey], freed: tuple[RowKey, ...] = ()) -> None:
        if self.block is None:
            return
        given = Given(self._rows.give(generation, keys), self._rows.size, freed)
        self.block.grow(self._rows.size)
        if given.rows or given.freed:
            for member in self._members():
                member.send(given)

    def _retire(self, memory: block.Block) -> tuple[RowKey, ...]:
        keys = {row: key for key, row in self._rows.all.items()}
        freed = self._rows.retire(min(self._oldest))
        for row in freed:
            memory.clear_row(row)
        gone = tuple([keys[row] for row in freed])
        self._found.difference_update(gone)
        self._cursors.retire(pool for pool, text, kind in gone if not text and kind == LENGTH)
        return gone

    def _grant(self, generation: int, keys: Iterable[RowKey]) -> None:
        """What a worker asks for, within limits: it may have been taken over."""
        granted = []
        for key in keys:
            if key not in self._rows.all:
                if len(self._found) >= MOST_FOUND or max(len(key[0]), len(key[1])) > LONGEST_NAME:
                    continue
                self._found.add(key)
            granted.append(key)
        self._give(min(generation, self._newest), granted)

    def _pass_on(self, news: Failed | Tripped, by: Member) -> None:
        """Of backends that all know, and of no others."""
        if (news.pool, *news.backend) in self._rows.all:
            if len(news.reason) > LONGEST_NAME:
                news = replace(news, reason=news.reason[:LONGEST_NAME])
            self.tell(news, by=by)

    def hear(self, member: Member, message: object) -> bool:
        """What a worker says of this; anything else is not for us (False)."""
        match message:
            case Wanted(generation, keys):
                self._grant(generation, keys)
            case Oldest(generation):
                self._oldest[member.slot] = generation
            case Failed() | Tripped():
                self._pass_on(message, member)
            case _:
                return False
        return True

    def tell(self, news: News, by: Member | None = None) -> None:
        """Everybody but who told it, and who comes later."""
        self._remembered.add(news, time.monotonic())
        for member in self._members():
            if member is not by and member.is_serving:
                member.send(news)

    def bury(self, worker: int) -> None:
        """A worker has ended, and was waited for: it holds nothing, nobody waits in it, and who waits elsewhere
        looks what is free now."""
        if self.block is not None and self.wakes is not None:
            self.block.clear_column(worker)
            self.wakes.wake_all()

    def held(self, key: RowKey) -> int:
        """What is in the row of a key, over all workers; 0 without one."""
        row = self._rows.all.get(key)
        return 0 if row is None or self.block is None else sum(self.block.row(row))

    def close(self) -> None:
        """The end."""
        if self.block is not None and self.wakes is not None:
            self.block.close()
            self.wakes.close()
            self._cursors.close()
            self.block = self.wakes = None
