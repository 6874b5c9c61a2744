"""The lookup table of consistent hashing for large pools.

Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016), section 3.4: each
backend walks its own permutation of the slots and the backends take turns in claiming the next free one.
Every backend gets the same number of slots, give or take one, or as many as its weight says; when one leaves, its slots
are dealt out again and nearly all others stay.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache
from heapq import heapreplace

TABLE_SIZES = (16_411, 65_537, 262_147, 1_048_583)
"""Primes, so that every step walks all slots. Few and far apart, because a pool that grows from one to the
next moves every key."""

SLOTS_PER_BACKEND = 24
"""At least so many: shares differ by at most one in 24 (the paper has 100; ours is built in Python at
load)."""

MOST_FOR_WEIGHTS = 262_147
"""A table is not made larger than this for the sake of light backends, whose shares are then less exact."""


def table_size(count: int) -> int:
    """The number of slots for `count` backends. Raises ValueError beyond about 43,000."""
    for size in TABLE_SIZES:
        if count * SLOTS_PER_BACKEND <= size:
            return size
    raise ValueError(
        f"{count} backends in one pool: a hash policy takes {TABLE_SIZES[-1] // SLOTS_PER_BACKEND}"
    )


def weighted_table_size(weights: Sequence[int]) -> int:
    """The number of slots where weights differ: enough for the lightest, within what is built in about a second."""
    wanted = sum(weights) / min(weights) * SLOTS_PER_BACKEND
    enough = next((size for size in TABLE_SIZES if wanted <= size), TABLE_SIZES[-1])
    return max(table_size(len(weights)), min(enough, MOST_FOR_WEIGHTS))


@lru_cache(maxsize=8)
def build_table(seeds: tuple[int, ...], weights: tuple[int, ...] = ()) -> array[int]:
    """For each slot the index into `seeds` (at least one, all different) of the backend that owns it.

    weights  as many as `seeds`, above 0; () = all alike. Each gets its part of the slots, and at least one.

    Depends on the set of seeds and weights only, not on their order, so that rearranging a file moves nothing.
    Remembered, because a reload with the same backends should not stop the event loop again: 30 ms for 100
    backends, 0.6 s for 10,000.
    """
    if len(set(weights)) > 1:
        return _build_weighted(seeds, weights)
    size = table_size(len(seeds))
    table = array("l", [-1]) * size
    turns = [_Turn(index, seeds[index], size) for index in sorted(range(len(seeds)), key=seeds.__getitem__)]
    free = size
    while free:
        free = _deal_round(table, turns, free)
    return table


def _build_weighted(seeds: tuple[int, ...], weights: tuple[int, ...]) -> array[int]:
    """The same, but who has a third of the weight has its turn at every third round: 0.1 s for 65,537 slots."""
    size = weighted_table_size(weights)
    table = array("l", [-1]) * size
    order = sorted(range(len(seeds)), key=seeds.__getitem__)
    heap = [(0.0, place, _Turn(index, seeds[index], size)) for place, index in enumerate(order)]
    pauses = [1.0 / weights[index] for index in order]
    for _ in range(size):
        due, place, turn = heap[0]
        _claim(table, turn)
        heapreplace(heap, (due + pauses[place], place, turn))
    return table


class _Turn:
    """One backend's walk: where it stands in its permutation of the slots, and its step."""

    __slots__ = ("index", "slot", "step")

    def __init__(self, index: int, seed: int, size: int) -> None:
        self.index = index
        self.slot = (seed >> 32) % size
        self.step = (seed & 0xFFFF_FFFF) % (size - 1) + 1


def _deal_round(table: array[int], turns: Sequence[_Turn], free: int) -> int:
    """Let each backend claim its next free slot; returns how many slots are free then."""
    for turn in turns:
        _claim(table, turn)
        free -= 1
        if not free:
            break
    return free


def _claim(table: array[int], turn: _Turn) -> None:
    size, slot, step = len(table), turn.slot, turn.step
    while table[slot] >= 0:
        slot += step
        if slot >= size:
            slot -= size
    table[slot] = turn.index
    turn.slot = slot
