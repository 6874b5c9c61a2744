"""Heartbeat: when a worker that does not answer is taken for hung. Time is counted in our own turns.

A machine that is busy makes the supervisor late as well, so what counts is not the time that has passed but how many
of our own looks found no answer: on a machine that gives us no time there are no looks.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

LIMIT_SECONDS: Final = 30.0
"""Without an answer. No work of a worker holds its loop for a tenth of that; a machine that swaps may."""
BIRTH_SECONDS: Final = 60.0
"""From the start of the process to its first word: reading a program from a slow disk takes a while."""
_LOOKS: Final = 10


class Verdict(Enum):
    """What is to be done about a worker."""

    ASK = auto()
    WAIT = auto()
    HUNG = auto()


class Heartbeat:
    """Of one worker.

    limit   seconds without an answer, or without a first word
    period  seconds between two looks
    """

    __slots__ = ("_is_asked", "_missed", "limit", "period")

    def __init__(self, limit: float, period: float) -> None:
        self.limit = limit
        self.period = period
        self._missed = 0
        self._is_asked = False

    def __repr__(self) -> str:
        return f"<Heartbeat missed={self._missed} of {self.limit / self.period:g}>"

    def look(self) -> Verdict:
        """One look, `period` after the one before."""
        if not self._is_asked:
            self._is_asked = True
            self._missed = 0
            return Verdict.ASK
        self._missed += 1
        return Verdict.HUNG if self._missed * self.period >= self.limit else Verdict.WAIT

    def answered(self) -> None:
        """It lives."""
        self._is_asked = False


def period_of(limit: float) -> float:
    """Seconds between two looks."""
    return min(1.0, limit / _LOOKS)
