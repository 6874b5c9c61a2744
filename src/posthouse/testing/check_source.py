"""The conformance suite of discovery sources: what every one promises, whoever wrote it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from posthouse.config.specs import EndpointSpec
from posthouse.discovery.ports import Members, Report, Source

TURNS = 80
"""So often a source may look before it has to know what the world says: it may doubt that all backends are gone."""
QUIET_TURNS = 10
"""So often it looks while nothing may be heard of it."""
SETTLE_SECONDS = 5.0
"""Real seconds that one look may take."""


class Hourglass:
    """The time of a source under test: it passes only when somebody turns it, exactly as far as the source sleeps.

    Hand `clock` and `sleep` to the source as those of its Services.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._until: float | None = None
        self._awake = asyncio.Event()
        self._asleep = asyncio.Event()

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0, f"a source slept for {seconds} s: it would ask without a pause"
        self._until = self.now + seconds
        self._awake.clear()
        self._asleep.set()
        await self._awake.wait()

    async def settle(self) -> None:
        """Wait until the source sleeps. AssertionError if it does not get to it."""
        try:
            await asyncio.wait_for(self._asleep.wait(), SETTLE_SECONDS)
        except TimeoutError:
            raise AssertionError("the source neither sleeps nor ends") from None

    async def turn(self) -> None:
        """The time passes that the source wants to sleep, and it looks once."""
        await self.settle()
        assert self._until is not None
        self.now = max(self.now, self._until)
        self._asleep.clear()
        self._awake.set()
        await self.settle()


class World(Protocol):
    """What a source looks at, played by its test. It knows backends by number."""

    def tell(self, backends: Sequence[int]) -> None:
        """These exist from now on."""

    def fail(self) -> None:
        """From now on nobody can say what exists: no answer, or nonsense."""


MakeSource = Callable[[Hourglass, Report], tuple[Source, World]]
"""Makes a source under test, with a world in which there is nothing to find yet."""


class _Listener:
    """Collects what a source says."""

    def __init__(self, make: MakeSource) -> None:
        self.hourglass = Hourglass()
        self.sets: list[Members] = []
        self.reports: list[str] = []
        self.source, self.world = make(self.hourglass, self.reports.append)
        self.task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.task = asyncio.get_running_loop().create_task(self._run())
        await self._unless_ended(self.hourglass.settle())

    async def _run(self) -> None:
        async for members in self.source.sets():
            self.sets.append(members)

    async def next_set(self, what: str) -> Members:
        """The set that comes next."""
        before = len(self.sets)
        for _ in range(TURNS):
            await self._turn()
            if len(self.sets) > before:
                assert len(self.sets) == before + 1, f"{what}: one change, and {self.sets[before:]!r} came"
                return self.sets[-1]
        raise AssertionError(f"{what}: no set came, the source looked {TURNS} times")

    async def stay_quiet(self, what: str) -> None:
        """No set comes."""
        before = len(self.sets)
        for _ in range(QUIET_TURNS):
            await self._turn()
        assert self.sets[before:] == [], f"{what}: {self.sets[before:]!r} came"

    async def _turn(self) -> None:
        await self._unless_ended(self.hourglass.turn())

    async def _unless_ended(self, work: Coroutine[Any, Any, None]) -> None:
        assert self.task is not None
        waiting = asyncio.get_running_loop().create_task(work)
        await asyncio.wait((waiting, self.task), return_when=asyncio.FIRST_COMPLETED)
        if self.task.done():
            waiting.cancel()
            self.task.result()
            raise AssertionError(f"{self.source!r} ended by itself")
        waiting.result()

    async def stop(self) -> None:
        assert self.task is not None
        self.task.cancel()
        done, _ = await asyncio.wait((self.task,), timeout=SETTLE_SECONDS)
        assert done, f"{self.source!r} was cancelled and goes on"
        assert self.task.cancelled(), f"{self.source!r} was cancelled and ended with {self.task!r}"
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"{self.source!r} left tasks behind: {left!r}"


def check_source(make: MakeSource, *, has_order: bool = False) -> None:
    """Raise AssertionError with what was expected unless a source keeps these laws.

    1. Each set is whole: what exists now, no member twice; one that stays is equal to what it was.
    2. A set comes for each change and only then. Told in another order is no change, unless `has_order`.
    3. While nobody can say what exists no set comes, a reason is reported, and "" when it is over; also at the start.
    4. That there is nothing any more is a change like others, if perhaps one that is doubted for a while.
    5. It goes on until it is cancelled, sleeps between two looks, and leaves nothing behind.
    """
    for check in (_check_changes, _check_trouble, _check_trouble_at_the_start, _check_cancelled_early):
        asyncio.run(check(make, has_order))


async def _check_changes(make: MakeSource, has_order: bool) -> None:
    one = _Listener(make)
    one.world.tell((0, 1))
    await one.start()
    first = one.sets[-1] if one.sets else await one.next_set("two backends")
    _check_whole(first, 2)
    await one.stay_quiet("nothing changed")
    if not has_order:
        one.world.tell((1, 0))
        await one.stay_quiet("the same backends were told in another order")
    one.world.tell((1, 2))
    second = await one.next_set("one went and one came")
    _check_whole(second, 2)
    stayed = [member for member in second if member in first]
    assert len(stayed) == 1, f"of {first!r} one stayed, {second!r} came"
    one.world.tell(())
    assert await one.next_set("all went") == ()
    one.world.tell((2,))
    assert await one.next_set("one came back") == tuple(member for member in second if member not in stayed)
    await one.stop()


async def _check_trouble(make: MakeSource, has_order: bool) -> None:
    one = _Listener(make)
    one.world.tell((0, 1))
    await one.start()
    if not one.sets:
        await one.next_set("two backends")
    one.world.fail()
    await one.stay_quiet("nobody can say what exists")
    assert one.reports and one.reports[-1], "a reason was to be reported"
    one.world.tell((1,))
    _check_whole(await one.next_set("one went meanwhile"), 1)
    assert one.reports[-1] == "", f'"" was to be reported, the trouble is over; it was {one.reports[-1]!r}'
    await one.stop()


async def _check_trouble_at_the_start(make: MakeSource, has_order: bool) -> None:
    one = _Listener(make)
    one.world.fail()
    await one.start()
    await one.stay_quiet("nobody can say what exists")
    assert one.sets == [], f"{one.sets!r} came although nobody can say what exists"
    assert one.reports and one.reports[-1], "a reason was to be reported"
    one.world.tell((0,))
    _check_whole(await one.next_set("the trouble is over"), 1)
    await one.stop()


async def _check_cancelled_early(make: MakeSource, has_order: bool) -> None:
    one = _Listener(make)
    one.world.tell((0,))
    one.task = asyncio.get_running_loop().create_task(one._run())
    await asyncio.sleep(0)
    await one.stop()


def _check_whole(members: Members, count: int) -> None:
    texts = {member.text for member in members if isinstance(member, EndpointSpec)}
    assert len(texts) == len(members) == count, f"{count} endpoints were expected, {members!r} came"
