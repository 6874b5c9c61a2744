"""`policy random`: any usable backend, each as likely. The default. O(1)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar

from posthouse.balance.backend import Backend
from posthouse.balance.policy import Choice


class RandomPick:
    __slots__ = ("_random",)
    usage: ClassVar[str] = "random"
    arguments: ClassVar[tuple[int, int]] = (0, 0)

    def __init__(self, args: tuple[str, ...], backends: Sequence[Backend], rng: random.Random) -> None:
        self._random = rng.random

    def select(self, usable: Sequence[Backend], choice: Choice, tried: Sequence[Backend]) -> Backend:
        return usable[int(self._random() * len(usable))]
