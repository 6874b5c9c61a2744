"""A worker asks the supervisor for the numbers of all."""

from __future__ import annotations

import asyncio

import pytest

from posthouse.observe.snapshot import Snapshot
from posthouse.server.asked_group import AskedGroup
from posthouse.server.control import Collect, Collected


def test_each_question_gets_its_own_answer() -> None:
    async def conversation() -> None:
        said: list[object] = []
        group = AskedGroup(said.append)
        first, second = (asyncio.ensure_future(group.collect()) for _ in range(2))
        await asyncio.sleep(0)
        assert said == [Collect(1), Collect(2)] and repr(group) == "<AskedGroup waiting=2>"
        one, two = Snapshot(number=1), Snapshot(number=2)
        half = Snapshot({"posthouse_workers": {(): 2}}, number=1)
        group.hear(Collected(1, half, is_last=False))
        group.hear(Collected(2, two, is_last=True))
        group.hear(Collected(2, one, is_last=True))
        assert not first.done()
        group.hear(Collected(1, one, is_last=True))
        assert (await first, await second) == (half, two)
        assert repr(group) == "<AskedGroup waiting=0>"

    asyncio.run(conversation())


def test_who_has_given_up_is_forgotten() -> None:
    async def conversation() -> None:
        group = AskedGroup(lambda message: None)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await group.collect()
        group.hear(Collected(1, Snapshot(), is_last=True))
        assert repr(group) == "<AskedGroup waiting=0>"

    asyncio.run(conversation())
