"""Ledger: what the workers of a group have counted lately: each in slots of its own, by time, and whoever asks adds up.

A slot has the number of its span of time and so many counts; there are PLACES of them, used in turn. Numbers are the
same in all workers, whose clock is one. So what is over needs nobody who forgets it, and what a worker counted that has
died counts as long as it would have otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from posthouse.balance.group import Sheet

PLACES: Final = 12
"""Ten make a window, one is cut by its end, and one more is begun already by who is a moment ahead."""
SHEET_CELLS: Final = 64
"""A sheet has PLACES slots of up to 1 + 4 cells, and what `trials` keeps at its end."""
_NEVER: Final = float("-inf")


class Ledger:
    """Of one sheet, as one worker has it. `now` is monotonic seconds.

    cells  where the counts are; `cells[slot(now) + n] += 1` counts one of kind n
    """

    __slots__ = ("_ends", "_first", "_number", "_places", "_span", "_width", "_window", "cells", "sheet")

    def __init__(self, sheet: Sheet, kinds: int, window: float) -> None:
        """kinds: how many counts a slot has; window: seconds, of ten slots"""
        self.cells = sheet.cells
        self.sheet = sheet
        self._width = 1 + kinds
        self._window = window
        self._span = window / (PLACES - 2)
        self._ends = _NEVER
        self._number = 0
        self._first = 0
        self._places = 0

    def __repr__(self) -> str:
        return f"<Ledger of {self._window:g}s, slot {self._number}>"

    def slot(self, now: float) -> int:
        """Where the counts of now are."""
        if now >= self._ends:
            self._turn(now)
        return self._places

    def _number_at(self, now: float) -> int:
        return int(now / self._span) + 1

    def _turn(self, now: float) -> None:
        number = self._number_at(now)
        at = self.sheet.at + number % PLACES * self._width
        if self.cells[at] != number:
            self.sheet.begin(at, self._width, number)
        self._number, self._ends, self._places = number, number * self._span, at + 1

    def total(self, now: float) -> Sequence[int]:
        """What all have counted in the window that ends now, and in the part of a slot before it."""
        first = max(self._first, int((now - self._window) / self._span) + 1)
        last = self._number_at(now) + 1
        width, length = self._width, self._width * PLACES
        total = [0] * (width - 1)
        for start in self.sheet.starts:
            found = self.cells[start : start + length].tolist()
            # All are added, and those that are over taken off: one or two at most times, and twice as quick.
            for kind in range(1, width):
                total[kind - 1] += sum(found[kind::width])
            for place, number in enumerate(found[::width]):
                if number and not first <= number <= last:
                    for kind in range(1, width):
                        total[kind - 1] -= found[place * width + kind]
        return total

    def forget(self, since: float) -> None:
        """What was counted before that is nothing any more: others' too, but for the slot of then, which each forgets
        itself."""
        self._first = self._number_at(since)
        self._ends = _NEVER
        for place in range(PLACES):
            self.sheet.begin(self.sheet.at + place * self._width, self._width, 0)
