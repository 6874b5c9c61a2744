"""A place in the group, and who serves those that come to an empty one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any, cast

import pytest

from posthouse.server.bindings import Bound
from posthouse.server.child import Child
from posthouse.server.control import Empty
from posthouse.server.slot import Slot, hand_down, tended
from unit.server.fakes import until


class Heir:
    is_reading = True

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


@pytest.fixture
def listening() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Of two slots; somebody waits at the second one."""
    made = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    with made[0], made[1], socket.create_connection(made[1].getsockname()):
        yield made


def test_who_comes_while_nobody_is_there_is_served_until_somebody_is(
    loop: asyncio.AbstractEventLoop, listening: tuple[socket.socket, socket.socket]
) -> None:
    heirs: list[Heir] = []

    async def story() -> None:
        with tended(1, lambda: {("", 80): listening}, lambda: cast("list[Child]", heirs)):
            await asyncio.sleep(0)
            heirs.append(Heir())
            await until(lambda: len(heirs[0].told) == 3)
        told = len(heirs[0].told)
        await asyncio.sleep(0)
        assert len(heirs[0].told) == told
        assert heirs[0].told[0] == (Empty((("", 80),)), [listening[1].fileno()])

    loop.run_until_complete(story())


def test_a_heir_that_hangs_is_not_the_only_one_asked(
    loop: asyncio.AbstractEventLoop, listening: tuple[socket.socket, socket.socket]
) -> None:
    heirs = [Heir(), Heir(), Heir()]
    heirs[0].is_reading = False

    async def story() -> None:
        with tended(1, lambda: {("", 80): listening}, lambda: cast("list[Child]", heirs)):
            await until(lambda: len(heirs[1].told) == 3 and len(heirs[2].told) == 3)

    loop.run_until_complete(story())
    assert heirs[0].told == [], "each message would hold a descriptor"


def test_nobody_is_asked_to_look_where_nobody_waits(
    loop: asyncio.AbstractEventLoop, listening: tuple[socket.socket, socket.socket]
) -> None:
    heir, looks = Heir(), []

    def bound() -> Bound:
        looks.append(1)
        return {("", 80): listening, ("", 81): (listening[1], listening[0])}

    async def story() -> None:
        with tended(0, bound, lambda: [cast("Child", heir)]):
            await until(lambda: len(looks) == 3)
        assert {message.keys for message, _ in heir.told} == {(("", 81),)}

    loop.run_until_complete(story())
