"""A place in the group, and who serves those that come to an empty one."""

from __future__ import annotations

import socket
from typing import Any, cast

from posthouse.server.child import Child
from posthouse.server.control import Empty
from posthouse.server.slot import Slot, hand_down


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
