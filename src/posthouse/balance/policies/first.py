"""`policy first`: the first usable backend in the order of the file. O(1).

In its slow start a backend lets that part of the requests go by to the next which is not its share yet. Weights mean
nothing here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from posthouse.balance.backend import Backend
from posthouse.balance.policy import Choice, Setting


class First:
    __slots__ = ("_random",)
    usage: ClassVar[str] = "first"
    arguments: ClassVar[tuple[int, int]] = (0, 0)

    def __init__(self, args: tuple[str, ...], setting: Setting) -> None:
        self._random = setting.rng.random

    def select(
        self, usable: Sequence[Backend], choice: Choice, tried: Sequence[Backend], now: float
    ) -> Backend:
        first = usable[0]
        if first.warmth == 1.0:
            return first
        for backend in usable:
            if backend.warmth == 1.0 or self._random() < backend.warmth:
                return backend
        return first
