"""From a key to a backend: the same key finds the same backend while that is usable, else its next best.

Two ways with the same properties. Up to 32 backends rendezvous hashing (Thaler and Ravishankar, "highest
random weight", 1998): every backend gets a score from key and seed, the highest wins; O(n), exact, nothing
built. Above that a table (`maglev`): O(1), with a walk as its order of next choices. Neither ever misses a
usable backend.

With weights, each backend gets its share of the keys. In its slow start it takes them one by one, each once: a key that
has come to it stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, log
from typing import Protocol

from posthouse.balance.backend import Backend
from posthouse.balance.bounded_load import Bound
from posthouse.balance.maglev import build_table
from posthouse.balance.policy import Setting
from posthouse.balance.stable_hash import MASK64, stable_hash
from posthouse.balance.tally import Tally

TABLE_ABOVE = 32
"""Rendezvous costs about 0.1 µs per backend and request, 0.25 with weights; at 32 that is as much as we give."""

WALK_LIMIT = 64
"""Slots looked at before the few that must then be usable are weighed one by one: with a tenth of the
backends usable, one key in a thousand gets that far."""

_WEIGHT = 0xD6E8_FEB8_6659_FD93
_LOG_OF_ALL = 64 * log(2)


class Finder(Protocol):
    """A way from a key's hash to a backend."""

    def find(self, hashed: int, usable: Sequence[Backend], tried: Sequence[Backend]) -> Backend:
        """The best of `usable`, which is not empty and holds no member of `tried`."""

    def find_under(
        self, bound: float, hashed: int, usable: Sequence[Backend], tried: Sequence[Backend]
    ) -> Backend:
        """The same among those that hold less than `bound` for each unit of their share; among all if none does."""


def place_on(setting: Setting) -> Placement:
    """The placement for the backends of a pool. Raises ValueError if they are too many for a table."""
    return Placement(setting)


class Placement:
    """How keys are placed on the backends of one pool.

    tally  what the policy has to offer as its own (see `Policy`)
    """

    __slots__ = ("_bound", "_finders", "_tier_of", "tally")

    def __init__(self, setting: Setting) -> None:
        self._tier_of = setting.tier_of
        self._finders = [
            _finder([one for one, _ in tier], [weight for _, weight in tier], setting)
            for tier in setting.tiers()
        ]
        self._bound = Bound(setting) if setting.hash_balance else None
        self.tally: Tally | None = self._bound.tally if self._bound is not None else None

    def find(self, key: bytes, usable: Sequence[Backend], tried: Sequence[Backend]) -> Backend:
        """The best of `usable` (not empty) for `key`; `tried` as in `Policy.select`."""
        hashed = stable_hash(key)
        finder = self._finders[self._tier_of.get(usable[0], 0) if self._tier_of else 0]
        if self._bound is None:
            return finder.find(hashed, usable, tried)
        return finder.find_under(self._bound.per_share(usable), hashed, usable, tried)


def _finder(backends: Sequence[Backend], weights: Sequence[int], setting: Setting) -> Finder:
    if len(backends) > TABLE_ABOVE:
        return Table(backends, weights)
    return WeightedRendezvous() if setting.is_weighted else Rendezvous()


def heaviest(hashed: int, candidates: Sequence[Backend]) -> Backend:
    """The one with the highest score for a key's hash; `candidates` must not be empty.

    No two scores are equal: seeds differ, and multiplying by an odd number keeps what differs different.
    """
    best = candidates[0]
    highest = -1
    for backend in candidates:
        score = ((hashed ^ backend.seed) * _WEIGHT) & MASK64
        if score > highest:
            highest = score
            best = backend
    return best


def heaviest_by_share(hashed: int, candidates: Sequence[Backend]) -> Backend:
    """The same, each as likely as its share. A share that grows takes keys from others and gives none away.

    The logarithm of a uniform number, divided by the share, is how that is done (Schindelhauer and Schomaker, "Weighted
    distributed hash tables", 2005); with equal shares the winner is that of `heaviest`.
    """
    best = candidates[0]
    highest = float("-inf")
    for backend in candidates:
        uniform = ((hashed ^ backend.seed) * _WEIGHT) & MASK64
        score = (log(uniform + 1) - _LOG_OF_ALL) / backend.share
        if score > highest:
            highest = score
            best = backend
    return best


class Rendezvous:
    """Scores what is usable; what is not does not matter."""

    __slots__ = ()

    def find(self, hashed: int, usable: Sequence[Backend], tried: Sequence[Backend]) -> Backend:
        return heaviest(hashed, usable)

    def find_under(
        self, bound: float, hashed: int, usable: Sequence[Backend], tried: Sequence[Backend]
    ) -> Backend:
        return heaviest(hashed, _under(bound, usable))


class WeightedRendezvous:
    """The same by share."""

    __slots__ = ()

    def find(self, hashed: int, usable: Sequence[Backend], tried: Sequence[Backend]) -> Backend:
        return heaviest_by_share(hashed, usable)

    def find_under(
        self, bound: float, hashed: int, usable: Sequence[Backend], tried: Sequence[Backend]
    ) -> Backend:
        return heaviest_by_share(hashed, _under(bound, usable))


def _under(bound: float, usable: Sequence[Backend]) -> Sequence[Backend]:
    return [backend for backend in usable if backend.in_flight < bound * backend.share] or usable


class Table:
    """Looks up the slot of a key, and walks on from there when its owner is not usable."""

    __slots__ = ("_backends", "_slots")

    def __init__(self, backends: Sequence[Backend], weights: Sequence[int]) -> None:
        self._backends = tuple(backends)
        self._slots = build_table(tuple([backend.seed for backend in backends]), tuple(weights))

    def find(self, hashed: int, usable: Sequence[Backend], tried: Sequence[Backend]) -> Backend:
        slots = self._slots
        owner = self._backends[slots[hashed % len(slots)]]
        if owner.is_usable and owner not in tried and (owner.warmth == 1.0 or _is_warm_for(owner, hashed)):
            return owner
        next_best = self._next_best(hashed, tried, inf)
        return heaviest_by_share(hashed, usable) if next_best is None else next_best

    def find_under(
        self, bound: float, hashed: int, usable: Sequence[Backend], tried: Sequence[Backend]
    ) -> Backend:
        owner = self.find(hashed, usable, tried)
        if owner.in_flight < bound * owner.share:
            return owner
        next_best = self._next_best(hashed, tried, bound)
        return heaviest_by_share(hashed, _under(bound, usable)) if next_best is None else next_best

    def _next_best(self, hashed: int, tried: Sequence[Backend], bound: float) -> Backend | None:
        # The step depends on the key, so that the keys of a backend that left spread over all others.
        slots, backends = self._slots, self._backends
        size = len(slots)
        slot = hashed % size
        step = (hashed >> 32) % (size - 1) + 1
        for _ in range(WALK_LIMIT):
            slot = (slot + step) % size
            backend = backends[slots[slot]]
            if (
                backend.is_usable
                and backend.in_flight < bound * backend.share
                and backend not in tried
                and (backend.warmth == 1.0 or _is_warm_for(backend, hashed))
            ):
                return backend
        return None


def _is_warm_for(backend: Backend, hashed: int) -> bool:
    """Whether a backend in its slow start takes this key already."""
    return ((hashed ^ backend.seed) * _WEIGHT) & MASK64 < backend.warmth * MASK64
