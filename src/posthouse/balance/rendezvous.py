"""From a key to a backend: the same key finds the same backend while that is usable, else its next best.

Two ways with the same properties. Up to 32 backends rendezvous hashing (Thaler and Ravishankar, "highest
random weight", 1998): every backend gets a weight from key and seed, the highest wins; O(n), exact, nothing
built. Above that a table (`maglev`): O(1), with a walk as its order of next choices. Neither ever misses a
usable backend.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from posthouse.balance.backend import Backend
from posthouse.balance.maglev import build_table
from posthouse.balance.stable_hash import MASK64, stable_hash

TABLE_ABOVE = 32
"""Rendezvous costs about 0.1 µs per backend and request; at 32 that is as much as we give."""

WALK_LIMIT = 64
"""Slots looked at before the few that must then be usable are weighed one by one: with a tenth of the
backends usable, one key in a thousand gets that far."""

_WEIGHT = 0xD6E8_FEB8_6659_FD93


class Placement(Protocol):
    """How keys are placed on the backends of one pool."""

    def find(self, key: bytes, usable: Sequence[Backend], tried: Sequence[Backend]) -> Backend:
        """The best of `usable` (not empty) for `key`; `tried` as in `Policy.select`."""


def place_on(backends: Sequence[Backend]) -> Placement:
    """The placement for the backends of a pool. Raises ValueError if they are too many for a table."""
    return Table(backends) if len(backends) > TABLE_ABOVE else Rendezvous()


def heaviest(hashed: int, candidates: Sequence[Backend]) -> Backend:
    """The one with the highest weight for a key's hash; `candidates` must not be empty.

    No two weights are equal: seeds differ, and multiplying by an odd number keeps what differs different.
    """
    best = candidates[0]
    highest = -1
    for backend in candidates:
        weight = ((hashed ^ backend.seed) * _WEIGHT) & MASK64
        if weight > highest:
            highest = weight
            best = backend
    return best


class Rendezvous:
    """Weighs what is usable; what is not does not matter."""

    __slots__ = ()

    def find(self, key: bytes, usable: Sequence[Backend], tried: Sequence[Backend]) -> Backend:
        return heaviest(stable_hash(key), usable)


class Table:
    """Looks up the slot of a key, and walks on from there when its owner is not usable."""

    __slots__ = ("_backends", "_slots")

    def __init__(self, backends: Sequence[Backend]) -> None:
        self._backends = tuple(backends)
        self._slots = build_table(tuple([backend.seed for backend in backends]))

    def find(self, key: bytes, usable: Sequence[Backend], tried: Sequence[Backend]) -> Backend:
        hashed = stable_hash(key)
        slots = self._slots
        owner = self._backends[slots[hashed % len(slots)]]
        if owner.is_usable and owner not in tried:
            return owner
        return self._next_best(hashed, usable, tried)

    def _next_best(self, hashed: int, usable: Sequence[Backend], tried: Sequence[Backend]) -> Backend:
        # The step depends on the key, so that the keys of a backend that left spread over all others.
        slots, backends = self._slots, self._backends
        size = len(slots)
        slot = hashed % size
        step = (hashed >> 32) % (size - 1) + 1
        for _ in range(WALK_LIMIT):
            slot = (slot + step) % size
            backend = backends[slots[slot]]
            if backend.is_usable and backend not in tried:
                return backend
        return heaviest(hashed, usable)
