"""Seniority: in a queue that several workers share, who has waited longest goes first, whichever worker has it.

A worker that finds a free place while another one has an older waiter leaves it to that one, and says so to it. But a
worker may hang, or know of a reason not to use the place. So nobody is let go first for longer than PATIENCE_SECONDS
while a place is free; that one is passed over until its oldest waiter is another.

Laws:
1. Only whose waiter is the oldest of all is woken, besides those that were woken for the same waiter before in vain:
   with them the next one. So waking ends, and no message goes to and fro.
2. While somebody is let go first `until` says when that ends: whoever waits looks again then.

No clock: `now` is monotonic seconds.
"""

from __future__ import annotations

from typing import Final

from posthouse.balance.group import Line, Oldest
from posthouse.balance.health import NEVER

PATIENCE_SECONDS: Final = 0.1
"""A worker that turns its loop answers within a few milliseconds, on a loaded machine within a few tens."""


class Seniority:
    """One queue's.

    line   the queue in the group
    until  when patience with the one that is let go first ends; `NEVER` if nobody is
    """

    __slots__ = ("_first", "_passed_over", "_woken", "line", "until")

    def __init__(self, line: Line) -> None:
        self.line = line
        self.until = NEVER
        self._first: Oldest | None = None
        self._passed_over: dict[int, float] = {}
        """By worker: the waiter (by its time) that is not waited for any more."""
        self._woken: dict[int, float] = {}
        """By worker: for which waiter it was woken last."""

    def __repr__(self) -> str:
        return f"<Seniority first={self._first} passed over={self._passed_over}>"

    def comes_after(self, since: float, now: float) -> bool:
        """Whether another worker has somebody who came before `since`, and is to be let go first. Asked only while
        a place is free."""
        if self._first is None and not self.line.others():
            return False
        mine = since, self.line.worker
        older = [one for one in self._others() if one < mine]
        if not older:
            self.settle()
            return False
        first = min(older)
        if first != self._first:
            self._first, self.until = first, now + PATIENCE_SECONDS
        elif now >= self.until:
            self._passed_over[first[1]] = first[0]
            self.settle()
            return self.comes_after(since, now)
        return True

    def settle(self) -> None:
        """Nobody is let go first: nothing is free, or it was ours."""
        self._first, self.until = None, NEVER

    def _others(self) -> list[Oldest]:
        others = self.line.others()
        if not self._passed_over:
            return list(others)
        waits = {worker: since for since, worker in others}
        self._passed_over = {
            worker: since for worker, since in self._passed_over.items() if waits.get(worker) == since
        }
        return [one for one in others if one[1] not in self._passed_over]

    def wake_first(self, own: float | None) -> None:
        """Something is free: wake the worker whose waiter is the oldest, if that is not this one's.

        own  since when the oldest of this worker waits, who has been asked already; None: nobody does
        """
        others = sorted(self.line.others())
        for since, worker in others:
            if own is not None and (own, self.line.worker) < (since, worker):
                return
            is_first_time = self._woken.get(worker) != since
            self._woken[worker] = since
            self.line.wake(worker)
            if is_first_time:
                return
