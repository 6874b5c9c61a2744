"""Cursors: where all workers are in the rounds of a pool: one number, which each choice takes and raises by one.

A cursor is the offset of an open file that all workers have: `lseek` from where it is adds to it and tells the sum, and
the kernel lets nobody between. So no two choices get the same number, and nobody waits: 0.4 µs, where a lock in the
block costs 2. It has a price in descriptors: one for each pool in each process, so only MOST_CURSORS pools have one; in
the others each worker takes turns for itself.

That holds for files that were opened by a name: the kernel marks those (FMODE_ATOMIC_POS) and locks their offset. What
memfd_create returns is not marked; on Linux 6.18 one in a thousand numbers of such a file was taken twice by four
processes that did nothing else. So it is opened anew, by its name in /proc.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Mapping
from typing import Final

from posthouse.config.specs import PoolSpec

MOST_CURSORS: Final = 200
"""As many as go in one message (`channel.MOST_DESCRIPTORS`)."""
TAKE_TURNS: Final = frozenset({"round_robin", "header", "query", "cookie", "sticky"})
"""The policies that take turns, always or sometimes. A literal, so that the supervisor need not load them all."""
_BEGINS_BELOW: Final = 1 << 20


def takes_turns(pool: PoolSpec) -> bool:
    """Whether a pool needs a cursor."""
    return pool.policy.name in TAKE_TURNS and (len(pool.endpoints) > 1 or bool(pool.sources))


class Cursor:
    """As one worker has it. It takes the descriptor over."""

    __slots__ = ("_descriptor", "_own")

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._own = 0

    def __repr__(self) -> str:
        return f"<Cursor fd={self._descriptor}>"

    def take(self) -> int:
        """A number that no other choice of this pool gets, one more than the last; by our own count if the file is
        closed, or somebody has moved it to where it can't be raised."""
        try:
            return os.lseek(self._descriptor, 1, os.SEEK_CUR)
        except OSError:
            self._own += 1
            return self._own

    def close(self) -> None:
        """Idempotent."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class CursorKeeper:
    """The supervisor's part: makes them.

    all  the descriptors by pool
    """

    def __init__(self) -> None:
        self._descriptors: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<CursorKeeper {len(self._descriptors)}>"

    @property
    def all(self) -> Mapping[str, int]:
        return self._descriptors

    def give(self, pools: Iterable[PoolSpec]) -> dict[str, int]:
        """Those of these pools that need one have one, as far as there may be more; the new ones."""
        new: dict[str, int] = {}
        for pool in pools:
            if pool.name in self._descriptors or not takes_turns(pool):
                continue
            if len(self._descriptors) >= MOST_CURSORS:
                break
            try:
                made = _make()
            except OSError:  # no descriptor is free, or there is no /proc: each worker for itself
                break
            # Anywhere, so that several Posthouses with one configuration don't begin with the same backend.
            os.lseek(made, random.randrange(_BEGINS_BELOW), os.SEEK_SET)
            new[pool.name] = self._descriptors[pool.name] = made
        return new

    def retire(self, pools: Iterable[str]) -> None:
        """No worker has these any more."""
        for pool in pools:
            descriptor = self._descriptors.pop(pool, None)
            if descriptor is not None:
                os.close(descriptor)

    def close(self) -> None:
        """The end."""
        self.retire(list(self._descriptors))


def _make() -> int:
    """See above. Raises OSError."""
    memory = os.memfd_create("posthouse turns")
    try:
        return os.open(f"/proc/self/fd/{memory}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(memory)
