"""The queue of a pool: who waits while every backend that is up is full, and who is next.

Laws:
1. Fair: of those who can use the same backends, who came first is asked first; nobody new is served before them.
2. Exact: who is next takes the backend in the very call in which it became usable, so `max_conns` is never passed and
   nothing is free while somebody waits.
3. Nobody is forgotten: whenever a backend changes, or a mark is set that will fall, the first of each pool is asked;
   and those behind it, while a draining backend has room for them only that have its sessions.

Successive pools of one name share a queue as they share backends: over a reload everybody keeps the place. Where only
the members of a pool have changed, those who wait choose from the new ones (`hand_over`); else from those of the pool
that they began with.

The queue knows no time. How long somebody waits at most, and when marks fall, is the waiter's own business: it
calls `leave`, or `wake`.
"""

from __future__ import annotations

from typing import Any, Protocol

from posthouse.balance.watch import Watch


class Waiter(Protocol):
    """One exchange that waits."""

    pool: Any
    """Whose backends it waits for; hashed by identity."""

    @property
    def since(self) -> float:
        """When it came, monotonic seconds."""

    @property
    def is_passed(self) -> bool:
        """Whether some behind it may be served now that it could not be: those with a session (`policy sticky`)."""

    def take(self) -> bool:
        """It is your turn: hold a backend now, or know that there is none to wait for, and answer True.

        False: there is still none, wait on. Must not join or leave.
        """


class Queue:
    """Those who wait, in the order in which they came.

    Leaving costs O(1), waking O(1) for each who is served and each pool, where sessions are drained O(n).
    """

    __slots__ = ("_count", "_is_waking", "_lines", "_ticket", "_watch")

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._lines: dict[object, dict[Waiter, int]] = {}
        """By pool, since each pool has its own answer; more than one only while a reload is in between."""
        self._ticket = 0
        self._count = 0
        self._is_waking = False

    def __repr__(self) -> str:
        return f"<Queue of {self._count}>"

    def __len__(self) -> int:
        return self._count

    def first(self) -> Waiter | None:
        """Who has waited longest."""
        heads = [next(iter(line.items())) for line in self._lines.values()]
        return min(heads, key=lambda head: head[1])[0] if heads else None

    def join(self, waiter: Waiter) -> None:
        """Wait, as the last. At once after `Pool.select` found none, and not while waiting already."""
        self._ticket += 1
        self._lines.setdefault(waiter.pool, {})[waiter] = self._ticket
        self._count += 1
        self._watch.on_change = self.wake

    def leave(self, waiter: Waiter) -> None:
        """Wait no longer. Who is next may have to look at the clock in its place."""
        self._remove(waiter)
        self.wake()

    def hand_over(self, before: object, after: object) -> None:
        """Who waited for a backend of `before` waits for one of `after` from now on, in the same place. O(n)."""
        moved = self._lines.pop(before, None)
        if moved is None:
            return
        for waiter in moved:
            waiter.pool = after
        line = {**self._lines.get(after, {}), **moved}
        self._lines[after] = dict(sorted(line.items(), key=lambda entry: entry[1]))
        self.wake()

    def wake(self) -> None:
        """Ask who is next, until nobody can be served."""
        if self._is_waking:  # what a waiter takes is a change too
            return
        self._is_waking = True
        try:
            asked = dict(self._lines)
            while asked:
                pool = min(asked, key=lambda one: next(iter(asked[one].values())))
                waiter = next(iter(asked[pool]))
                if waiter.take():
                    self._remove(waiter)
                elif waiter.is_passed:
                    self._ask_behind(asked[pool])
                if not asked[pool] or waiter in asked[pool]:
                    del asked[pool]
        finally:
            self._is_waking = False

    def _ask_behind(self, line: dict[Waiter, int]) -> None:
        for waiter in list(line)[1:]:
            if waiter.take():
                self._remove(waiter)

    def _remove(self, waiter: Waiter) -> None:
        line = self._lines[waiter.pool]
        del line[waiter]
        self._count -= 1
        if not line:
            del self._lines[waiter.pool]
            if not self._lines:
                self._watch.on_change = None
