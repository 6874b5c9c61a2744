"""Draw: a backend by chance, each as likely as its share. O(1) where all weights are one, else O(log n)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from posthouse.balance.backend import Backend
from posthouse.balance.policy import Setting

TRIES: Final = 16
"""Weights are summed up once, over all backends. So a draw may hit one that cannot be used, and is repeated; with half
of them unusable, one in 65,000 draws comes to the end of this, where the usable ones are summed up."""


class Draw:
    """The weights of a pool, ready to be drawn by."""

    __slots__ = ("_is_weighted", "_random", "_rng", "_tier_of", "_tiers")

    def __init__(self, setting: Setting) -> None:
        self._rng = setting.rng
        self._random = setting.rng.random
        self._is_weighted = setting.is_weighted
        self._tier_of = setting.tier_of
        self._tiers = [
            ([backend for backend, _ in tier], list(accumulate([weight for _, weight in tier])))
            for tier in setting.tiers()
        ]

    def one(self, usable: Sequence[Backend], tried: Sequence[Backend]) -> Backend:
        """One of `usable`; `tried` as in `Policy.select`."""
        if not self._is_weighted:
            return usable[int(self._random() * len(usable))]
        chance = self._random
        backends, sums = self._tiers[self._tier_of.get(usable[0], 0)]
        total = sums[-1]
        for _ in range(TRIES):
            backend = backends[bisect_right(sums, int(chance() * total))]
            if (
                backend.is_usable
                and (backend.warmth == 1.0 or chance() < backend.warmth)
                and backend not in tried
            ):
                return backend
        return self._rng.choices(usable, [backend.share for backend in usable])[0]

    def several(self, count: int, usable: Sequence[Backend], tried: Sequence[Backend]) -> Sequence[Backend]:
        """So many different ones of `usable`, or all of them if they are fewer."""
        if count >= len(usable):
            first = self.one(usable, tried)
            return [first, *[backend for backend in usable if backend is not first]]
        if self._is_weighted:
            return self._several_by_share(count, usable, tried)
        if count == 2:
            first_at = int(self._random() * len(usable))
            second_at = int(self._random() * (len(usable) - 1))
            return usable[first_at], usable[second_at + (second_at >= first_at)]
        return self._rng.sample(usable, count)

    def _several_by_share(
        self, count: int, usable: Sequence[Backend], tried: Sequence[Backend]
    ) -> Sequence[Backend]:
        drawn = [self.one(usable, tried)]
        for _ in range(count - 1):
            other = self.one(usable, (*tried, *drawn))
            if other not in drawn:
                drawn.append(other)
        return drawn
