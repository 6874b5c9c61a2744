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

Several workers share one queue (`share`): each keeps its own waiters, in order, and says how long the first has waited;
who gives something back wakes the worker whose first waiter is the oldest (`seniority`). The same laws hold for all
together, but that waking takes a moment and whoever comes meanwhile waits as well.

The queue knows no time. How long somebody waits at most, and when marks fall, is the waiter's own business: it
calls `leave`, or `wake`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from posthouse.balance.group import Line
from posthouse.balance.seniority import Seniority
from posthouse.balance.watch import Watch

_EARLIEST = 1e-9
"""Since then, for who came at 0: that means nobody."""


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

    seniority  among workers; None for one alone
    """

    __slots__ = (
        *("_count", "_has_free", "_is_waking", "_lines", "_serving", "_ticket", "_watch", "seniority"),
    )

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._lines: dict[object, dict[Waiter, int]] = {}
        """By pool, since each pool has its own answer; more than one only while a reload is in between."""
        self._ticket = 0
        self._count = 0
        self._is_waking = False
        self.seniority: Seniority | None = None
        self._serving: object = None
        self._has_free: Callable[[], bool] = lambda: False

    def __repr__(self) -> str:
        return f"<Queue of {self._count}>"

    def __len__(self) -> int:
        return self._count

    def first(self) -> Waiter | None:
        """Who has waited longest."""
        heads = [next(iter(line.items())) for line in self._lines.values()]
        return min(heads, key=lambda head: head[1])[0] if heads else None

    @property
    def length(self) -> int:
        """How many wait, in all workers."""
        return self._count if self.seniority is None else self.seniority.line.length()

    def share(self, line: Line, serving: object, has_free: Callable[[], bool]) -> None:
        """From now on it is one queue with those of other workers.

        serving   the pool that serves
        has_free  whether a backend of that one can be used
        """
        self._serving, self._has_free = serving, has_free
        if self.seniority is None or self.seniority.line is not line:
            self.seniority = Seniority(line)
            line.on_wake = self.wake
            self._watch.on_release = self._wake_for_release
            self._publish()

    def end(self) -> None:
        """No pool uses it any more: forget the last one, which knows it, so that all is freed at once."""
        self._serving, self._has_free, self.seniority = None, lambda: False, None

    def claim(self, size: int) -> bool:
        """Whether fewer than `size` wait: then `join` must follow at once."""
        if self.seniority is None:
            return self._count < size
        return size > 0 and self.seniority.line.claim(self._count, size)

    def join(self, waiter: Waiter) -> None:
        """Wait, as the last. At once after `Pool.select` found none and `claim` a place, and not while waiting already.

        With other workers its turn may come in this very call: what became free meanwhile, another one may have given
        back without knowing that somebody waits."""
        self._ticket += 1
        self._lines.setdefault(waiter.pool, {})[waiter] = self._ticket
        self._count += 1
        self._watch.on_change = self.wake
        if self.seniority is not None:
            self._publish()
            self.wake()

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
        """Ask who is next, until nobody can be served; then other workers, if there is something for theirs."""
        self._wake(is_given_back=False)

    def _wake_for_release(self) -> None:
        self._wake(is_given_back=True)

    def _wake(self, *, is_given_back: bool) -> None:
        if self._is_waking:  # what a waiter takes is a change too
            return
        had = self._count
        is_other_pools = self._ask_ours()
        if self.seniority is None or not self.seniority.line.others():
            return
        # What is free is known of the pool that serves. Others may still wait for what only a former one has.
        is_unsure = is_other_pools or (is_given_back and self._count == had)
        if is_unsure or self._has_free():
            self._wake_others()

    def _ask_ours(self) -> bool:
        """Whether somebody was served who waits for a pool that serves no longer."""
        is_other_pools = False
        self._is_waking = True
        try:
            asked = dict(self._lines)
            while asked:
                pool = min(asked, key=lambda one: next(iter(asked[one].values())))
                waiter = next(iter(asked[pool]))
                if waiter.take():
                    is_other_pools = is_other_pools or pool is not self._serving
                    self._remove(waiter)
                elif waiter.is_passed:
                    self._ask_behind(asked[pool])
                if not asked[pool] or waiter in asked[pool]:
                    del asked[pool]
        finally:
            self._is_waking = False
        return is_other_pools

    def _wake_others(self) -> None:
        assert self.seniority is not None
        first = self.first()
        self.seniority.wake_first(None if first is None else first.since)

    def _publish(self) -> None:
        assert self.seniority is not None
        first = self.first()
        self.seniority.line.publish(self._count, 0.0 if first is None else max(first.since, _EARLIEST))

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
        if self.seniority is not None:
            self._publish()
