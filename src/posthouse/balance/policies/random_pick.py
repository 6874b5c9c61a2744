"""`policy random`: any usable backend, each as likely as its weight. The default. O(1), with weights O(log n)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from posthouse.balance.backend import Backend
from posthouse.balance.drawing import Draw
from posthouse.balance.policy import Choice, Setting


class RandomPick:
    __slots__ = ("_draw", "_random")
    usage: ClassVar[str] = "random"
    arguments: ClassVar[tuple[int, int]] = (0, 0)

    def __init__(self, args: tuple[str, ...], setting: Setting) -> None:
        self._random = setting.rng.random
        self._draw = Draw(setting).one if setting.is_weighted else None

    def select(
        self, usable: Sequence[Backend], choice: Choice, tried: Sequence[Backend], now: float
    ) -> Backend:
        if self._draw is not None:
            return self._draw(usable, tried)
        return usable[int(self._random() * len(usable))]
