"""Several workers in one process: each has its own pool, all use one block. Wakes are delivered when a test says so."""

from __future__ import annotations

import random
from collections.abc import Iterator

from posthouse import __version__
from posthouse.balance.backend import Backend
from posthouse.balance.pool import Pool, build_pool
from posthouse.config.specs import PoolSpec
from posthouse.errors import FailureKind
from posthouse.server import wakes
from posthouse.server.block import create
from posthouse.server.rows import Rows, keys_of
from posthouse.server.shares import Shares
from posthouse.testing.check_policy import SampleChoice

MOST_WAKES = 200


class Clock:
    """Who comes later is told a later time."""

    def __init__(self) -> None:
        self.now = 100.0

    def tick(self) -> float:
        self.now += 1e-6
        return self.now


class Guest:
    """An exchange as the law has it: holds a backend, or waits, or has been refused."""

    def __init__(self, fellow: Fellow) -> None:
        self.fellow = fellow
        self.pool: Pool = fellow.pool
        self.since = fellow.clock.tick()
        self.backend: Backend | None = None
        self.refused: FailureKind | None = None
        self.is_waiting = False
        self.choice = SampleChoice(int(self.since * 1e6))

    is_passed = False

    def __repr__(self) -> str:
        state = self.backend or self.refused or "waits"
        return f"<Guest of {self.fellow.number} since {self.since:.6f} {state}>"

    def come(self) -> Guest:
        assert self.pool.claims is not None
        self.backend = self.pool.claims.claim(self.choice, self.fellow.clock.now)
        if self.backend is not None:
            self.hold(self.backend)
            return self
        kind = self.pool.why_not(self.fellow.clock.now)
        if kind is FailureKind.FULL and self.pool.can_queue():
            self.is_waiting = True
            self.pool.queue.join(self)
        else:
            self.refused = kind
        return self

    def comes_again(self) -> Guest:
        """Its attempt has failed."""
        backend, self.backend = self.backend, None
        assert backend is not None
        self.pool.release(backend)
        self.since = self.fellow.clock.tick()
        return self.come()

    def hold(self, backend: Backend) -> None:
        self.backend = backend
        trial = self.pool.acquire(backend)
        if trial is not None:
            backend.succeed(self.fellow.clock.now, None, trial)
        self.fellow.on_taken(self)

    def take(self) -> bool:
        assert self.pool.claims is not None
        now = self.fellow.clock.now
        backend = self.pool.claims.claim(self.choice, now, (), self.since)
        if backend is None:
            self.refused = self.pool.why_not(now)
            if self.refused is FailureKind.FULL:
                self.refused = None
                return False
        else:
            self.hold(backend)
        self.is_waiting = False
        return True

    def go(self) -> None:
        if self.backend is not None:
            self.pool.release(self.backend)
            self.backend = None
        elif self.is_waiting:
            self.is_waiting = False
            self.pool.queue.leave(self)


class Fellow:
    """One worker."""

    def __init__(self, group: Fellows, number: int) -> None:
        self.number = number
        self.clock = group.clock
        self.guests: list[Guest] = []
        self.shares = Shares(group.block, group.wakes, number)
        self.shares.know(group.rows.all, group.rows.size)
        self.group = group
        self.pool = self.build(group.spec)

    def build(self, spec: PoolSpec, previous: Pool | None = None) -> Pool:
        pool = build_pool(spec, random.Random(self.number), previous)
        group = self.shares.group(spec.name, [backend.key for backend in pool.backends])
        assert group is not None
        pool.share(group)
        pool.start()
        self.pool = pool
        return pool

    def on_taken(self, guest: Guest) -> None:
        self.group.on_taken(guest)

    def comes(self) -> Guest:
        guest = Guest(self)
        self.guests.append(guest)
        guest.come()
        return guest

    def goes(self, guest: Guest) -> None:
        self.guests.remove(guest)
        guest.go()

    def hears(self) -> int:
        """Its eventfd is readable, or not; how often it was woken."""
        count = self.shares.wakes.take(self.number)
        if count:
            for line in list(self.shares.waiting):
                line.on_wake()
        return count


class Fellows:
    """A group of workers with one pool."""

    def __init__(self, spec: PoolSpec, count: int = 3) -> None:
        self.clock = Clock()
        self.spec = spec
        self.block = create(count, __version__)
        self.wakes = wakes.make(count)
        self.rows = Rows()
        self.rows.give(1, keys_of(spec))
        self.block.grow(self.rows.size)
        self.unfair: list[str] = []
        self.all = [Fellow(self, number) for number in range(count)]

    def __iter__(self) -> Iterator[Fellow]:
        return iter(self.all)

    def __getitem__(self, number: int) -> Fellow:
        return self.all[number]

    def waiting(self) -> list[Guest]:
        return [guest for fellow in self.all for guest in fellow.guests if guest.is_waiting]

    def holding(self) -> list[Guest]:
        return [guest for fellow in self.all for guest in fellow.guests if guest.backend is not None]

    def held(self, key: tuple[str, int]) -> int:
        return sum(guest.backend.key == key for guest in self.holding() if guest.backend is not None)

    def on_taken(self, guest: Guest) -> None:
        assert guest.backend is not None
        limit = guest.backend.max_conns
        assert not limit or self.held(guest.backend.key) <= limit, "never one more than max_conns"
        older = [one for one in self.waiting() if one is not guest and one.since < guest.since]
        if limit and older:
            self.unfair.append(f"{guest} before {older}")

    def settle(self) -> int:
        """Deliver wakes until there are none; how many there were."""
        count = 0
        while True:
            heard = sum(bool(fellow.hears()) for fellow in self.all)
            if not heard:
                return count
            count += heard
            assert count < MOST_WAKES, "they wake each other for ever"

    def dies(self, number: int) -> None:
        """With all that it holds; another takes its place."""
        self.all[number].guests.clear()
        self.block.clear_column(number)
        self.wakes.wake_all()
        self.all[number] = Fellow(self, number)

    def close(self) -> None:
        self.block.close()
        self.wakes.close()
