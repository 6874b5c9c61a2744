"""Tally: the usable backends of a pool sorted by load, kept up to date instead of counted.

Every change of a backend (an exchange more or less, usable or not, a step of its slow start) moves it from one bucket
to another in O(1), so the least loaded of 10,000 is found without looking at the others. A backend tells its watch, the
watch tells the tally of the pool that serves; a pool without one costs nothing.

Laws:
1. A member is in exactly one bucket while it is usable, and in none otherwise; the bucket's level is its load.
2. `held` and `shares` are the sums over those, by tier.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final

from posthouse.balance.backend import Backend
from posthouse.balance.policy import Setting

COUNT_ABOVE: Final = 64
"""Up to here looking at every backend is as quick."""
_TIER: Final = 1e12
"""Added to the load for each tier: any backend of a lower one comes first."""
_DRAWS: Final = 8
"""Among equally loaded ones of different weight, so many are drawn before one is taken whatever its weight."""

_Seat = tuple[list[Backend], int, int, float]
"""Where a backend is counted: its bucket, its place in it, what it held and its share."""


class Tally:
    """See above.

    is_live  whether the watch tells it; a pool that serves no longer has one that stands still
    """

    __slots__ = (
        "_heap",
        "_levels",
        "_members",
        "_most",
        "_seats",
        "_tier_of",
        "_tiers",
        "held",
        "is_live",
        "shares",
    )

    def __init__(self, setting: Setting) -> None:
        self._members = dict.fromkeys(setting.backends)
        self._tier_of = setting.tier_of
        self._tiers = len(setting.tiers())
        self._most = float(max(setting.weights, default=1)) if setting.is_weighted else 0.0
        self.is_live = False
        self._clear()

    def __repr__(self) -> str:
        return f"<Tally of {len(self._members)} backends, {len(self._seats)} usable, held={self.held}>"

    def _clear(self) -> None:
        self._levels: dict[float, list[Backend]] = {}
        self._heap: list[float] = []
        """The levels of `_levels`; one that is empty leaves both when it comes to the top."""
        self._seats: dict[Backend, _Seat] = {}
        self.held = [0] * self._tiers
        self.shares = [0.0] * self._tiers

    def begin(self) -> None:
        """From now on the watch tells it everything. O(n)."""
        self._clear()
        self.is_live = True
        for backend in self._members:
            self.update(backend)

    def update(self, backend: Backend) -> None:
        """Something about `backend` may have changed."""
        if backend not in self._members:
            return
        tier = self._tier_of.get(backend, 0)
        seat = self._seats.get(backend)
        if seat is not None:
            self._leave(backend, seat, tier)
        if backend.is_usable:
            self._enter(backend, tier)

    def _leave(self, backend: Backend, seat: _Seat, tier: int) -> None:
        bucket, place, held, share = seat
        last = bucket.pop()
        if last is not backend:
            bucket[place] = last
            _, _, held_by_last, share_of_last = self._seats[last]
            self._seats[last] = bucket, place, held_by_last, share_of_last
        self.held[tier] -= held
        self.shares[tier] -= share
        del self._seats[backend]

    def _enter(self, backend: Backend, tier: int) -> None:
        held, share = backend.in_flight, backend.share
        level = held / share + _TIER * tier if tier else held / share
        bucket = self._levels.get(level)
        if bucket is None:
            if len(self._heap) > 2 * len(self._members):
                self._forget_empty_levels()
            bucket = self._levels[level] = []
            heappush(self._heap, level)
        self._seats[backend] = bucket, len(bucket), held, share
        bucket.append(backend)
        self.held[tier] += held
        self.shares[tier] += share

    def _forget_empty_levels(self) -> None:
        self._levels = {level: bucket for level, bucket in self._levels.items() if bucket}
        self._heap = sorted(self._levels)

    def least(self, chance: Callable[[], float]) -> Backend | None:
        """One of the least loaded, each as likely as its share; None if nobody is usable."""
        heap, levels = self._heap, self._levels
        while heap and not levels[heap[0]]:
            del levels[heappop(heap)]
        if not heap:
            return None
        bucket = levels[heap[0]]
        drawn = bucket[int(chance() * len(bucket))]
        if self._most:
            for _ in range(_DRAWS):
                if chance() * self._most < drawn.share:
                    break
                drawn = bucket[int(chance() * len(bucket))]
        return drawn
