"""Trials: how a backend that was left out comes back, a few requests at a time.

Laws:
1. Never more than `most` run at once, nor more than are still needed, if whoever begins one has asked `has_room`.
2. It has passed after `most` of them in a row have passed. One that failed starts the count anew.
3. One that ends undecided (the client left) counts for nothing; its room is free again.
"""

from __future__ import annotations

import enum


class Result(enum.Enum):
    """How a trial ended."""

    PASSED = enum.auto()
    FAILED = enum.auto()
    UNDECIDED = enum.auto()


class Trials:
    """The trials of one attempt to come back. Each exchange that is one of them holds this object until it ends.

    running  how many have begun and not ended
    passed   how many have passed in a row
    """

    __slots__ = ("_most", "passed", "running")

    def __init__(self, most: int) -> None:
        self._most = most
        self.running = 0
        self.passed = 0

    def __repr__(self) -> str:
        return f"<Trials {self.passed} of {self._most} passed, {self.running} running>"

    @property
    def has_room(self) -> bool:
        """Whether another one may begin."""
        return self.running + self.passed < self._most

    @property
    def is_over(self) -> bool:
        """Whether enough have passed."""
        return self.passed >= self._most

    def begin(self) -> None:
        """One more runs."""
        self.running += 1

    def end(self, result: Result) -> None:
        """One of those that run has ended."""
        self.running -= 1
        if result is Result.PASSED:
            self.passed += 1
        elif result is Result.FAILED:
            self.passed = 0
