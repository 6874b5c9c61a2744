"""`policy first`: the first usable backend in the order of the file. O(1)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar

from posthouse.balance.backend import Backend
from posthouse.balance.policy import Choice


class First:
    __slots__ = ()
    usage: ClassVar[str] = "first"
    arguments: ClassVar[tuple[int, int]] = (0, 0)

    def __init__(self, args: tuple[str, ...], backends: Sequence[Backend], rng: random.Random) -> None:
        pass

    def select(self, usable: Sequence[Backend], choice: Choice, tried: Sequence[Backend]) -> Backend:
        return usable[0]
