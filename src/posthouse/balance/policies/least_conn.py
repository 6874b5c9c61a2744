"""`policy least_conn`: the fewest exchanges in flight; among equals any, each as likely.

O(1) while idle backends are easily found, else O(n).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar

from posthouse.balance.backend import Backend
from posthouse.balance.policy import Choice

_DRAWS = 2
"""Nobody has fewer than none, and a random draw that hits an idle backend hits each of them as likely: so a
few draws spare a quiet pool the count, exactly and fairly."""


class LeastConn:
    __slots__ = ("_random",)
    usage: ClassVar[str] = "least_conn"
    arguments: ClassVar[tuple[int, int]] = (0, 0)

    def __init__(self, args: tuple[str, ...], backends: Sequence[Backend], rng: random.Random) -> None:
        self._random = rng.random

    def select(self, usable: Sequence[Backend], choice: Choice, tried: Sequence[Backend]) -> Backend:
        count = len(usable)
        for _ in range(_DRAWS):
            backend = usable[int(self._random() * count)]
            if not backend.in_flight:
                return backend
        loads = [backend.in_flight for backend in usable]
        least = min(loads)
        equals = loads.count(least)
        index = loads.index(least)
        for _ in range(int(self._random() * equals)):
            index = loads.index(least, index + 1)
        return usable[index]
