"""Trials: how a backend that was left out comes back, a few requests at a time.

Laws:
1. Never more than `most` run at once, nor more than are still needed, if whoever begins one has asked `has_room`; where
   several workers try the same backend, all of theirs together, if it has claimed it.
2. It has passed after `most` of them in a row have passed, whichever worker's they were. One that failed starts the
   count anew.
3. One that ends undecided (the client left) counts for nothing; its room is free again.
"""

from __future__ import annotations

import enum
from typing import Final

from posthouse.balance.group import Sheet
from posthouse.balance.ledger import SHEET_CELLS

FIRST_CELL: Final = SHEET_CELLS - 3
"""Of a sheet: which attempt to come back it is about, how many run, how many have passed."""


class Result(enum.Enum):
    """How a trial ended."""

    PASSED = enum.auto()
    FAILED = enum.auto()
    UNDECIDED = enum.auto()


class Trials:
    """The trials of one attempt to come back. Each exchange that is one of them holds this object until it ends.

    running  how many have begun here and not ended
    passed   how many have passed here in a row
    """

    __slots__ = ("_attempt", "_is_claimed", "_most", "_sheet", "passed", "running")

    def __init__(self, most: int, sheet: Sheet | None = None, attempt: int = 0) -> None:
        """sheet: where other workers see them, who have the same number for the same attempt (not 0)"""
        self._most = most
        self._sheet = sheet
        self._attempt = attempt
        self._is_claimed = False
        self.running = 0
        self.passed = 0
        self._publish()

    def __repr__(self) -> str:
        return f"<Trials {self.passed} of {self._most} passed, {self.running} running>"

    @property
    def has_room(self) -> bool:
        """Whether another one may begin."""
        running, passed = self._others()
        return running + passed + self.running + self.passed < self._most

    @property
    def is_over(self) -> bool:
        """Whether enough have passed."""
        return self._others()[1] + self.passed >= self._most

    def _others(self) -> tuple[int, int]:
        sheet = self._sheet
        if sheet is None:
            return 0, 0
        running = passed = 0
        for start in sheet.starts:
            at = start + FIRST_CELL
            if start != sheet.at and sheet.cells[at] == self._attempt:
                running += sheet.cells[at + 1]
                passed += sheet.cells[at + 2]
        return running, passed

    def _publish(self) -> None:
        sheet = self._sheet
        if sheet is not None:
            at = sheet.at + FIRST_CELL
            sheet.cells[at] = self._attempt
            sheet.cells[at + 1] = self.running
            sheet.cells[at + 2] = self.passed

    def claim(self) -> bool:
        """Whether another one may begin: then `begin` must follow at once, or `disclaim`. False: others were
        quicker."""
        sheet = self._sheet
        if sheet is None:
            return self.has_room
        sheet.lock()
        try:
            if not self.has_room:
                return False
            self._is_claimed = True
            self.running += 1
            self._publish()
            return True
        finally:
            sheet.unlock()

    def disclaim(self) -> None:
        """What was claimed does not begin."""
        if self._is_claimed:
            self._is_claimed = False
            self.running -= 1
            self._publish()

    def begin(self) -> None:
        """One more runs."""
        if self._is_claimed:
            self._is_claimed = False
            return
        self.running += 1
        self._publish()

    def end(self, result: Result) -> bool:
        """One of those that run has ended. Whether enough have passed now."""
        sheet = self._sheet
        if sheet is None:
            self._end(result)
            return self.is_over
        sheet.lock()  # of two that end at once, one sees both
        try:
            self._end(result)
            self._publish()
            return self.is_over
        finally:
            sheet.unlock()

    def _end(self, result: Result) -> None:
        self.running -= 1
        if result is Result.PASSED:
            self.passed += 1
        elif result is Result.FAILED:
            self.passed = 0

    def leave(self) -> None:
        """The attempt is over, or begun anew: others need not count these any more. Those that run end unheard."""
        sheet, self._sheet = self._sheet, None
        if sheet is not None:
            for at in range(sheet.at + FIRST_CELL, sheet.at + SHEET_CELLS):
                sheet.cells[at] = 0
