"""`policy ip_hash`: a peer address stays with its backend. Cost as in `rendezvous`.

The address is that of the peer itself, never one that a forwarding field claims."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar

from posthouse.balance.backend import Backend
from posthouse.balance.policy import Choice
from posthouse.balance.rendezvous import place_on


class IpHash:
    __slots__ = ("_find",)
    usage: ClassVar[str] = "ip_hash"
    arguments: ClassVar[tuple[int, int]] = (0, 0)

    def __init__(self, args: tuple[str, ...], backends: Sequence[Backend], rng: random.Random) -> None:
        self._find = place_on(backends).find

    def select(self, usable: Sequence[Backend], choice: Choice, tried: Sequence[Backend]) -> Backend:
        return self._find(choice.peer.encode(), usable, tried)
