"""Rows: which row of the shared block belongs to what. Without I/O.

Laws:
1. Two keys never have the same row.
2. A key keeps its row as long as any generation that named it may still be at work in any worker; only then it is
   another's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import heappop, heappush

from posthouse.balance import identity
from posthouse.config.specs import PoolSpec

RowKey = tuple[str, str, int]
"""Pool, endpoint text, occurrence from 1; or for the queue of a pool: pool, "", LENGTH or OLDEST."""

LENGTH, OLDEST = 0, 1


def queue_keys(pool: str) -> tuple[RowKey, RowKey]:
    """Those of a pool's queue: how many wait; since when the oldest does."""
    return (pool, "", LENGTH), (pool, "", OLDEST)


def keys_of(pool: PoolSpec) -> list[RowKey]:
    """Everything that a pool has a row for."""
    return [*queue_keys(pool.name), *((pool.name, *key) for key in identity.keys_of(pool.endpoints))]


class Rows:
    """size: how many rows the block must have."""

    __slots__ = ("_free", "_last", "_rows", "size")

    def __init__(self) -> None:
        self._rows: dict[RowKey, int] = {}
        self._last: dict[RowKey, int] = {}
        self._free: list[int] = []
        self.size = 0

    def __repr__(self) -> str:
        return f"<Rows {len(self._rows)} of {self.size}>"

    @property
    def all(self) -> Mapping[RowKey, int]:
        """Those that are given out."""
        return self._rows

    def give(self, generation: int, keys: Iterable[RowKey]) -> dict[RowKey, int]:
        """That generation has these keys too; the rows of those that are new."""
        new = {}
        for key in keys:
            self._last[key] = max(generation, self._last.get(key, generation))
            if key not in self._rows:
                new[key] = self._rows[key] = self._next()
        return new

    def _next(self) -> int:
        if self._free:
            return heappop(self._free)
        self.size += 1
        return self.size - 1

    def retire(self, oldest: int) -> list[int]:
        """No generation before `oldest` is at work in any worker: the rows that are free now."""
        gone = [key for key, last in self._last.items() if last < oldest]
        freed = [self._rows.pop(key) for key in gone]
        for key in gone:
            del self._last[key]
        for row in freed:
            heappush(self._free, row)
        return freed
