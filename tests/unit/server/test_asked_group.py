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
        group.hear(Collected(2, two))
        group.hear(Collected(2, one))
        group.hear(Collected(1, one))
        assert (await first, await second) == (one, two)
        assert repr(group) == "<AskedGroup waiting=0>"

    asyncio.run(conversation())


def test_who_has_given_up_is_forgotten() -> None:
    async def conversation() -> None:
        group = AskedGroup(lambda message: None)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await group.collect()
        group.hear(Collected(1, Snapshot()))
        assert repr(group) == "<AskedGroup waiting=0>"

    asyncio.run(conversation())
