"""The conformance suite finds what it is there to find."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence

import pytest

from posthouse.config.specs import EndpointSpec
from posthouse.discovery.ports import Members, Report
from posthouse.testing import Hourglass, check_source


class Somewhere:
    """A world that is only a tuple; None: nobody can say."""

    def __init__(self) -> None:
        self.backends: Sequence[int] | None = ()

    def tell(self, backends: Sequence[int]) -> None:
        self.backends = backends

    def fail(self) -> None:
        self.backends = None


def member(number: int) -> EndpointSpec:
    return EndpointSpec(f"http://h{number}:80", "http", f"h{number}", 80)


class Good:
    """A source to spoil."""

    def __init__(self, hourglass: Hourglass, report: Report, world: Somewhere) -> None:
        self.hourglass = hourglass
        self.report = report
        self.world = world
        self.last: Members | None = None

    async def sets(self) -> AsyncIterator[Members]:
        while True:
            self.report("" if self.world.backends is not None else "nobody knows")
            found = self.members()
            if found is not None and self.is_news(found):
                self.last = found
                yield found
            await self.hourglass.sleep(1.0)

    def members(self) -> Members | None:
        backends = self.world.backends
        return None if backends is None else tuple(member(number) for number in sorted(backends))

    def is_news(self, found: Members) -> bool:
        return found != self.last


class Repeats(Good):
    def is_news(self, found: Members) -> bool:
        return True


class Unsorted(Good):
    def members(self) -> Members | None:
        return None if self.world.backends is None else tuple(map(member, self.world.backends))


class Doubles(Good):
    def members(self) -> Members | None:
        return None if self.world.backends is None else tuple(map(member, sorted(self.world.backends))) * 2


class ForgetsOnTrouble(Good):
    def members(self) -> Members | None:
        return super().members() or ()


class KeepsAll(Good):
    """Never notices that somebody went."""

    def members(self) -> Members | None:
        found = super().members()
        return (
            None if found is None else tuple(sorted({*found, *(self.last or ())}, key=lambda one: one.text))
        )


class Silent(Good):
    """Says nothing of trouble."""

    async def sets(self) -> AsyncIterator[Members]:
        self.report = lambda trouble: None
        async for members in super().sets():
            yield members


class Ends(Good):
    async def sets(self) -> AsyncIterator[Members]:
        async for members in super().sets():
            yield members
            return


class Restless(Good):
    async def sets(self) -> AsyncIterator[Members]:
        await self.hourglass.sleep(0.0)
        yield ()


class Litters(Good):
    """Leaves a task behind."""

    async def sets(self) -> AsyncIterator[Members]:
        self.left = asyncio.ensure_future(asyncio.sleep(60))
        async for members in super().sets():
            yield members


class Undying(Good):
    async def sets(self) -> AsyncIterator[Members]:
        source = super().sets()
        while True:
            try:
                yield await anext(source)
            except asyncio.CancelledError:
                return


def check(kind: type[Good], *, has_order: bool = False) -> None:
    def make(hourglass: Hourglass, report: Report) -> tuple[Good, Somewhere]:
        world = Somewhere()
        return kind(hourglass, report, world), world

    check_source(make, has_order=has_order)


def test_a_good_source_passes() -> None:
    check(Good)


def test_where_order_means_something_it_may_change() -> None:
    check(Unsorted, has_order=True)


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (Repeats, "nothing changed"),
        (Unsorted, "another order"),
        (Doubles, "2 endpoints were expected"),
        (ForgetsOnTrouble, "nobody can say"),
        (KeepsAll, "2 endpoints were expected"),
        (Silent, "a reason was to be reported"),
        (Ends, "ended by itself"),
        (Restless, "slept for 0.0 s"),
        (Litters, "left tasks behind"),
        (Undying, "was cancelled and"),
    ],
)
def test_what_it_finds(kind: type[Good], what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["posthouse.testing.check_source"], "SETTLE_SECONDS", 0.2)
    with pytest.raises(AssertionError, match=what):
        check(kind)
