"""Turns: round robin by weight, smooth: whoever is due next has its turn, and is due again after 1/share.

Each backend's turns are evenly spaced in a time that only turns make go on, so with weights 5, 1, 1 the heavy one does
not have its five in a row. In a large pool the due times are in a heap: O(log n). Earliest deadline first, as in Envoy;
nginx's way to the same end adds up all weights for each request.

Law: as long as the same n backends can be used and shares stay, one with a part s of all shares is never more than
1 + s (n - 2) turns before or behind its part of all turns. For by the time t that turns have come to, each has had its
share times t, and less than one more or less; and what all others have had too much is what it is behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from heapq import heapify, heapreplace
from typing import Final

from posthouse.balance.backend import Backend
from posthouse.balance.policy import Setting

HEAP_ABOVE: Final = 64
"""Up to here all are looked at, which is exact whoever can be used."""
MOST_SKIPPED: Final = 4
"""Who is due but can't be used loses its turn; after so many one of a few usable ones is drawn instead."""
WINDOW: Final = 64
_GOLDEN: Final = 0.618033988749895
"""Multiples of it spread over the unit interval as evenly as can be: where the first turns are."""


def begins_at(pool: str, secret: bytes, worker: int, workers: int) -> float:
    """Where in its round (0 to below 1) a worker begins with a pool: all of them evenly apart, so that they don't come
    to one backend together; the first anywhere, so that neither do several Posthouses with one configuration.

    secret  what the workers have in common, up to 64 bytes
    """
    origin = int.from_bytes(blake2b(pool.encode(), key=secret, digest_size=4).digest(), "little") / 2**32
    return (origin + worker / workers) % 1.0


class Turns:
    """Who is due when, for all backends of a pool."""

    __slots__ = ("_clock", "_due", "_heaps", "_next", "_rng", "_tier_of")

    def __init__(self, setting: Setting) -> None:
        self._rng = setting.rng
        self._tier_of = setting.tier_of
        self._clock = 0.0
        self._next = 0
        self._due = {
            backend: (setting.begin + place * _GOLDEN) % 1.0 / weight
            for tier in setting.tiers()
            for place, (backend, weight) in enumerate(tier)
        }
        self._heaps: list[list[tuple[float, int, Backend]]] = []
        if len(setting.backends) > HEAP_ABOVE:
            for tier in setting.tiers():
                heap = [(self._due[backend], place, backend) for place, (backend, _) in enumerate(tier)]
                heapify(heap)
                self._heaps.append(heap)

    def next(self, usable: Sequence[Backend], tried: Sequence[Backend]) -> Backend:
        """One of `usable`; `tried` as in `Policy.select`."""
        if self._heaps:
            return self._next_of_many(usable, tried)
        due, clock = self._due, self._clock
        best = usable[0]
        earliest = float("inf")
        for backend in usable:
            # Who was away has its turn now, not all those that it missed.
            time = max(due[backend], clock)
            if time < earliest:
                best, earliest = backend, time
        self._clock = earliest
        due[best] = earliest + 1.0 / best.share
        return best

    def _next_of_many(self, usable: Sequence[Backend], tried: Sequence[Backend]) -> Backend:
        heap = self._heaps[self._tier_of.get(usable[0], 0)]
        for _ in range(MOST_SKIPPED):
            due, place, backend = heap[0]
            heapreplace(heap, (due + 1.0 / backend.share, place, backend))
            if backend.is_usable and backend not in tried:
                return backend
        begin = self._next % len(usable)
        window = usable[begin : begin + WINDOW]
        self._next = begin + len(window)
        return self._rng.choices(window, [backend.share for backend in window])[0]
