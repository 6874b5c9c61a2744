"""A place in the group, and who serves those that come to an empty one."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

from posthouse.server.child import Child
from posthouse.server.control import Empty
from posthouse.server.slot import Slot, hand_down, tended
from unit.server.fakes import until


class Heir:
    def __init__(self) -> None:
        self.told: list[tuple[Any, list[int]]] = []

    def send(self, message: object, descriptors: list[int]) -> None:
        self.told.append((message, descriptors))


def test_heirs_take_turns() -> None:
    heirs = [Heir(), Heir()]
    key = ("", 80)
    made = tuple(socket.socket() for _ in range(4))
    try:
        hand_down({key: made}, cast("list[Child]", heirs), {3, 2})
        assert heirs[0].told == [(Empty((key,)), [made[2].fileno()])]
        assert heirs[1].told == [(Empty((key,)), [made[3].fileno()])]
        hand_down({key: made}, [], {1})
    finally:
        for one in made:
            one.close()


def test_a_new_slot_is_empty() -> None:
    assert (Slot(3).child, Slot(3).stillborn, Slot(3).heartbeat) == (None, 0, None)


def test_who_comes_while_nobody_is_there_is_served_until_somebody_is(loop: asyncio.AbstractEventLoop) -> None:
    heirs: list[Heir] = []
    made = (socket.socket(), socket.socket())

    async def story() -> None:
        with tended(1, lambda: {("", 80): made}, lambda: cast("list[Child]", heirs)):
            await asyncio.sleep(0)
            heirs.append(Heir())
            await until(lambda: len(heirs[0].told) == 3)
        told = len(heirs[0].told)
        await asyncio.sleep(0)
        assert len(heirs[0].told) == told
        assert heirs[0].told[0] == (Empty((("", 80),)), [made[1].fileno()])

    try:
        loop.run_until_complete(story())
    finally:
        for one in made:
            one.close()
