"""Rounds: round robin of several workers, by numbers that each of them takes from one row and no two get alike.

A round is a list of backends, each as often in it as its weight says, evenly spaced. A number is a place in it, so it
needs no lock and no look at what others do. Who lands on a backend that it cannot use takes the next number: that is to
pass it over.

Law: of numbers taken one after the other, with the same backends usable, everybody gets an equal part, or one by
weight: with equal weights no backend is ever more than one request ahead of another, whichever workers take them.

Where many that stand together cannot be used, a worker stops at MOST_TAKEN and chooses by turns of its own, which
favour nobody either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heapify, heapreplace
from math import gcd
from typing import Final

from posthouse.balance.backend import Backend
from posthouse.balance.policy import Setting
from posthouse.balance.turns import Turns

LONGEST_ROUND: Final = 4096
"""Places in a round, which is as long as the sum of all weights by their common divisor; each costs 8 bytes."""
MOST_TAKEN: Final = 8
"""Numbers for one choice, at 0.5 µs each."""
LOOK_THROUGH: Final = 64
"""Backends among which one is looked for, which is right whatever `usable` is made of."""


class Rounds:
    """Of one pool, in one worker."""

    __slots__ = ("_credit", "_is_slow", "_own", "_rounds", "_sizes", "_take", "_tier_of")

    def __init__(self, setting: Setting, take: Callable[[], int]) -> None:
        """take: a number that nobody else gets. Only for settings that `can_go_round`."""
        tiers = setting.tiers()
        self._take = take
        self._tier_of = setting.tier_of
        self._rounds = [_round(tier) for tier in tiers]
        self._sizes = [len(tier) for tier in tiers]
        self._is_slow = setting.slow_start > 0
        self._credit: dict[Backend, float] = {}
        self._own = Turns(setting)

    def next(self, usable: Sequence[Backend], tried: Sequence[Backend]) -> Backend:
        """One of `usable`; `tried` as in `Policy.select`."""
        tier = self._tier_of.get(usable[0], 0)
        places = self._rounds[tier]
        backend = places[self._take() % len(places)]
        if len(usable) == self._sizes[tier] and not self._is_slow:
            return backend
        for _ in range(MOST_TAKEN - 1):
            if self._is_due(backend, usable, tried):
                return backend
            backend = places[self._take() % len(places)]
        if self._is_due(backend, usable, tried):
            return backend
        return self._own.next(usable, tried)

    def _is_due(self, backend: Backend, usable: Sequence[Backend], tried: Sequence[Backend]) -> bool:
        if len(usable) <= LOOK_THROUGH:
            if backend not in usable:
                return False
        elif not backend.is_usable or backend in tried:
            return False
        if backend.warmth >= 1.0:
            return True
        # In its slow start it takes so much of its places, evenly.
        credit = self._credit.get(backend, 0.0) + backend.warmth
        self._credit[backend] = credit % 1.0
        return credit >= 1.0


def can_go_round(setting: Setting) -> bool:
    """Whether there is a round for these weights that is not too long."""
    return all(
        not tier or sum(weight for _, weight in tier) // _divisor(tier) <= LONGEST_ROUND
        for tier in setting.tiers()
    )


def _divisor(tier: Sequence[tuple[Backend, int]]) -> int:
    return gcd(*(weight for _, weight in tier))


def _round(tier: Sequence[tuple[Backend, int]]) -> list[Backend]:
    """Everybody's places evenly spaced: earliest deadline first, as in `turns`, where the deadline of the n-th place of
    one with a part s is (n - 1/2) / s. Of equal ones the order is that of the file."""
    if not tier:
        return []
    least = _divisor(tier)
    if all(weight == least for _, weight in tier):
        return [backend for backend, _ in tier]
    heap = [(0.5 / weight, place, weight, backend) for place, (backend, weight) in enumerate(tier)]
    heapify(heap)
    places = []
    for _ in range(sum(weight for _, weight in tier) // least):
        due, place, weight, backend = heap[0]
        heapreplace(heap, (due + 1.0 / weight, place, weight, backend))
        places.append(backend)
    return places
