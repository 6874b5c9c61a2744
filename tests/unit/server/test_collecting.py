"""The numbers of a group, whoever answers, is late, dies or asks meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from posthouse.observe.snapshot import Snapshot
from posthouse.server import collecting
from posthouse.server.collecting import Collector
from unit.server.fakes import until

LABELS = ("success",)
RELOADS = "posthouse_reloads_total"


def of(count: int, born: int = 1, number: int = 0) -> Snapshot:
    return Snapshot({RELOADS: {LABELS: count}}, born, number)


class Group:
    """Workers that answer when the test says so."""

    def __init__(self, *slots: int) -> None:
        self.slots = slots
        self.asked: list[int] = []
        self.collector = Collector(self.ask, lambda: Snapshot({"posthouse_generation": {(): 7}}))

    def ask(self, round: int) -> tuple[int, ...]:
        self.asked.append(round)
        return self.slots

    def answer(self, slot: int, count: int, **facts: int) -> None:
        self.collector.hear(slot, self.asked[-1], of(count, **facts))

    def begin(self) -> asyncio.Task[Snapshot]:
        return asyncio.get_running_loop().create_task(self.collector.collect())

    async def rounds(self, count: int) -> None:
        await until(lambda: len(self.asked) == count)


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 10))


def test_all_are_asked_and_summed_with_what_the_asker_knows_itself() -> None:
    async def story() -> None:
        group = Group(0, 1)
        asking = group.begin()
        await group.rounds(1)
        group.answer(0, 3)
        assert not asking.done()
        group.answer(1, 4)
        snapshot = await asking
        assert snapshot.value(RELOADS, *LABELS) == 7
        assert snapshot.value("posthouse_generation") == 7

    run(story())


def test_nobody_to_ask() -> None:
    async def story() -> None:
        assert (await Group().collector.collect()).value("posthouse_generation") == 7

    run(story())


def test_answers_may_come_while_it_is_asked() -> None:
    async def story() -> None:
        collector: Collector

        def ask(round: int) -> tuple[int, ...]:
            return (0,)

        collector = Collector(ask, Snapshot)
        asking = asyncio.get_running_loop().create_task(collector.collect())
        await until(lambda: collector._missing)
        collector.hear(0, 1, of(2))
        assert (await asking).value(RELOADS, *LABELS) == 2

    run(story())


def test_a_worker_that_hangs_counts_with_what_it_last_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "ANSWER_SECONDS", 0.01)

    async def story() -> None:
        group = Group(0, 1)
        group.collector.hear(1, 0, of(40))
        asking = group.begin()
        await group.rounds(1)
        group.answer(0, 2)
        assert (await asking).value(RELOADS, *LABELS) == 42
        late = group.asked[-1]
        asking = group.begin()
        await group.rounds(2)
        group.collector.hear(1, late, of(41, number=1))
        group.answer(0, 2, number=1)
        assert (await asking).value(RELOADS, *LABELS) == 43, (
            "what came late is used; it did not end the round"
        )

    run(story())


def test_a_worker_that_dies_is_not_waited_for() -> None:
    async def story() -> None:
        group = Group(0, 1)
        group.collector.hear(1, 0, of(5))
        asking = group.begin()
        await group.rounds(1)
        group.answer(0, 1)
        group.collector.bury(1)
        assert (await asking).value(RELOADS, *LABELS) == 6

    run(story())


def test_who_asks_meanwhile_gets_the_next_round_all_of_them_one() -> None:
    async def story() -> None:
        group = Group(0)
        first = group.begin()
        await group.rounds(1)
        others = [group.begin() for _ in range(5)]
        await asyncio.sleep(0)
        group.answer(0, 1)
        await group.rounds(2)
        group.answer(0, 9, number=1)
        assert (await first).value(RELOADS, *LABELS) == 1
        assert [one.value(RELOADS, *LABELS) for one in await asyncio.gather(*others)] == [9] * 5
        assert group.asked == [1, 2]

    run(story())


def test_an_asker_that_is_cancelled_harms_no_other() -> None:
    async def story() -> None:
        group = Group(0)
        first, second = group.begin(), group.begin()
        await group.rounds(1)
        third = group.begin()
        await asyncio.sleep(0)
        first.cancel()
        second.cancel()
        group.answer(0, 1)
        await group.rounds(2)
        group.answer(0, 2, number=1)
        assert (await third).value(RELOADS, *LABELS) == 2
        again = group.begin()
        await group.rounds(3)
        group.answer(0, 3, number=2)
        assert (await again).value(RELOADS, *LABELS) == 3

    run(story())
