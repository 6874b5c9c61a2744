"""`policy least_conn`: the fewest exchanges in flight for its weight; among equals any, each as likely as its weight.

Exact. O(n) up to 64 backends; above, O(1) by a `tally`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from posthouse.balance.backend import Backend
from posthouse.balance.policy import Choice, Setting
from posthouse.balance.tally import COUNT_ABOVE, Tally

_SMALL = 8
"""Up to here counting all costs no more than drawing a few."""

_DRAWS = 6
"""Nobody has fewer than none, and a random draw that hits an idle backend hits each of them as likely: so a
few draws spare a large pool the count, exactly and fairly."""


class LeastConn:
    __slots__ = ("_is_weighted", "_random", "_rng", "tally")
    usage: ClassVar[str] = "least_conn"
    arguments: ClassVar[tuple[int, int]] = (0, 0)
    uses_load: ClassVar[bool] = True

    def __init__(self, args: tuple[str, ...], setting: Setting) -> None:
        self._rng = setting.rng
        self._random = setting.rng.random
        self._is_weighted = setting.is_weighted
        self.tally = Tally(setting) if len(setting.backends) > COUNT_ABOVE else None

    def select(
        self, usable: Sequence[Backend], choice: Choice, tried: Sequence[Backend], now: float
    ) -> Backend:
        if self.tally is not None and self.tally.is_live:
            for _ in range(_DRAWS if tried else 1):
                least = self.tally.least(self._random)
                if least is not None and least not in tried:
                    return least
        if self._is_weighted:
            return self._count_by_share(usable)
        if len(usable) > _SMALL:
            for _ in range(_DRAWS):
                drawn = usable[int(self._random() * len(usable))]
                if not drawn.in_flight:
                    return drawn
        return self._count(usable)

    def _count(self, usable: Sequence[Backend]) -> Backend:
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

    def _count_by_share(self, usable: Sequence[Backend]) -> Backend:
        loads = [backend.in_flight / backend.share for backend in usable]
        least = min(loads)
        equal = [backend for backend, load in zip(usable, loads, strict=True) if load == least]
        if len(equal) == 1:
            return equal[0]
        return self._rng.choices(equal, [backend.share for backend in equal])[0]
