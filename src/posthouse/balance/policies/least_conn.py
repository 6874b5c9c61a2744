"""`policy least_conn`: the fewest exchanges in flight; among equals any, each as likely.

O(n); in large pools O(1) while idle backends are easily found.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar

from posthouse.balance.backend import Backend
from posthouse.balance.policy import Choice

_SMALL = 8
"""Up to here counting all costs no more than drawing a few."""

_DRAWS = 6
"""Nobody has fewer than none, and a random draw that hits an idle backend hits each of them as likely: so a
few draws spare a large pool the count, exactly and fairly."""


class LeastConn:
    __slots__ = ("_random",)
    usage: ClassVar[str] = "least_conn"
    arguments: ClassVar[tuple[int, int]] = (0, 0)

    def __init__(self, args: tuple[str, ...], backends: Sequence[Backend], rng: random.Random) -> None:
        self._random = rng.random

    def select(self, usable: Sequence[Backend], choice: Choice, tried: Sequence[Backend]) -> Backend:
        if len(usable) > _SMALL:
            for _ in range(_DRAWS):
                drawn = usable[int(self._random() * len(usable))]
                if not drawn.in_flight:
                    return drawn
        best = usable[0]
        least = best.in_flight
        equals = 0
        for backend in usable:
            load = backend.in_flight
            if load < least:
                least = load
                best = backend
                equals = 1
            elif load == least:
                equals += 1
        if equals == 1:
            return best
        equal = usable if equals == len(usable) else [b for b in usable if b.in_flight == least]
        return equal[int(self._random() * equals)]
