"""Group: what the pools of one name in several workers know of each other, as small protocols.

Where one worker serves alone there is none, and nothing of this costs anything. `server/shares.py` has the real ones,
in memory that the workers share.

Laws of whoever implements them:
1. What a worker publishes is what the others read from then on; each number is written by one worker only.
2. `claim` looks and takes while nobody else can: of two workers that claim the last place, one gets it.
3. What is read after `give_back`, or after `publish` of a line, is read after others can see that: so of one worker
   that gives back and then looks who waits, and one that waits and then looks what is free, one sees the
   other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

Oldest = tuple[float, int]
"""Since when the oldest of a worker's waiters waits, monotonic seconds above 0, and the number of the worker: who is
less has waited longer."""


class Cells(Protocol):
    """Numbers that all workers see as soon as they are stored; whoever has one to write knows where it is."""

    def __setitem__(self, at: int, held: int, /) -> None: ...


class Sheet(Protocol):
    """A few numbers of each worker about one thing, beside the one in its place.

    cells   those of all; at: where this worker's begin; starts: where everybody's do
    """

    @property
    def cells(self) -> memoryview: ...
    @property
    def at(self) -> int: ...
    @property
    def starts(self) -> Sequence[int]: ...

    def begin(self, at: int, width: int, number: int) -> None:
        """So many cells become zero, and when others can see that, the first becomes the number."""

    def lock(self) -> None:
        """No other worker has it until `unlock`."""

    def unlock(self) -> None:
        """See `lock`."""


class Place(Protocol):
    """One backend in the group.

    sheet      what else is counted of it; it costs memory only where somebody writes to it
    cells, at  what `publish` does: `cells[at] = held`. For whoever does it with every request: a call costs more
    """

    @property
    def cells(self) -> Cells: ...
    @property
    def at(self) -> int: ...
    @property
    def sheet(self) -> Sheet: ...

    def publish(self, held: int) -> None:
        """So many exchanges of this worker hold it."""

    def give_back(self, held: int) -> int:
        """`publish`, then `others`."""

    def others(self) -> int:
        """How many of other workers hold it."""

    def claim(self, held: int, limit: int) -> bool:
        """With `held` of this worker and those of all others there is room for one more: then that is published."""


class Line(Protocol):
    """The queue of one pool in the group.

    worker   this one's number
    sheet    what is counted of the pool
    on_wake  told when another worker says that something may be free; set by the queue
    """

    worker: int
    on_wake: Callable[[], None]

    @property
    def sheet(self) -> Sheet: ...

    def publish(self, length: int, since: float) -> None:
        """So many wait in this worker, the oldest since then."""

    def claim(self, length: int, size: int) -> bool:
        """With `length` of this worker and those of all others fewer than `size` wait: then one more is published."""

    def length(self) -> int:
        """How many wait in all workers."""

    def others(self) -> Sequence[Oldest]:
        """The oldest of each other worker in which somebody waits."""

    def wake(self, worker: int) -> None:
        """Say to another worker that something may be free."""


class Group(Protocol):
    """What one pool shares. line: its queue; places: its backends, in the order of the pool."""

    @property
    def line(self) -> Line: ...
    @property
    def places(self) -> Sequence[Place]: ...

    def catch_up(self) -> None:
        """Take in what other workers have found out about backends, if it is not known here yet."""

    def others(self) -> Sequence[int]:
        """How many exchanges of other workers hold each backend, in the order of the pool."""
