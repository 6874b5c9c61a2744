"""The budget that keeps retries from making an outage worse: at most a share of the live traffic, and a little more.

Laws:
1. In the last WINDOW seconds, give or take a STEP: no more retries than `percent` of the requests and `least` a second.
   Where several workers serve the pool, all of them together; two that retry at the same moment may both be let.
2. A pool without traffic still has the latter, so that a quiet site's retries work at all.

What is counted: requests whose first attempt has ended, and attempts that follow one that may have reached an
application (`retry.is_charged`).
"""

from __future__ import annotations

from collections import deque
from typing import Final

from posthouse.balance.group import Sheet
from posthouse.balance.ledger import Ledger

WINDOW: Final = 10.0
"""As in Finagle and Linkerd: long enough that a burst finds what was saved, short enough to follow the traffic."""
STEP: Final = 1.0
"""What is older goes in steps of so many seconds."""
_NEVER_ASKED: Final = -float("inf")


class RetryBudget:
    """Of one pool; what it allows is handed in, because that may change with a reload."""

    __slots__ = ("_ledger", "_marks", "_next", "requests", "retries")

    def __init__(self) -> None:
        self.requests = 0
        self.retries = 0
        self._next = _NEVER_ASKED
        self._marks: deque[tuple[float, int, int]] = deque()
        """At a time, how many requests and retries there had been until then."""
        self._ledger: Ledger | None = None

    def __repr__(self) -> str:
        return f"<RetryBudget {self.retries} retries of {self.requests} requests>"

    def share(self, sheet: Sheet) -> None:
        """It is that of all workers from now on."""
        if self._ledger is None or self._ledger.sheet is not sheet:
            self._ledger = Ledger(sheet, 2, WINDOW)

    def count(self, now: float) -> None:
        """A request: its first attempt has ended, well or not."""
        ledger = self._ledger
        if ledger is not None:
            ledger.cells[ledger.slot(now)] += 1
            return
        if now >= self._next:
            self._turn(now)
        self.requests += 1

    def has_room(self, now: float, percent: float, least: float) -> bool:
        """Whether one more retry is within `percent` of the requests plus `least` a second."""
        if self._ledger is not None:
            requests, retries = self._ledger.total(now)
            return retries + 1 <= requests * percent / 100 + least * WINDOW
        if now >= self._next:
            self._turn(now)
        _, requests, retries = self._marks[0]
        allowed = (self.requests - requests) * percent / 100 + least * WINDOW
        return self.retries - retries + 1 <= allowed

    def spend(self, now: float) -> None:
        """A retry."""
        ledger = self._ledger
        if ledger is not None:
            ledger.cells[ledger.slot(now) + 1] += 1
            return
        if now >= self._next:
            self._turn(now)
        self.retries += 1

    def _turn(self, now: float) -> None:
        marks = self._marks
        self._next = now + STEP
        marks.append((now, self.requests, self.retries))
        while marks[0][0] <= now - WINDOW:
            marks.popleft()
