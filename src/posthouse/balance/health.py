"""The arithmetic of up and down: failures that expire one by one. No probing, no clock."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from math import nextafter

NEVER = float("inf")


class FailureWindow:
    """The failures of one backend that are still remembered.

    Each expires alone, at the time given when it was added; nothing else takes it away (a success does not).
    With a limit of 2 and a memory of 1 s, failures at 0 and 0.7 s mean "down" from 0.7 s to 1.0 s: this is
    what Caddy v1 promised. Times are monotonic seconds; at its time of expiry a failure is gone.
    """

    __slots__ = ("_expiries",)

    def __init__(self) -> None:
        self._expiries: list[float] = []
        """Sorted. Not simply appended to: a reload may shorten the memory between two failures."""

    def __repr__(self) -> str:
        return f"<FailureWindow {len(self._expiries)} remembered>"

    def add(self, now: float, expiry: float) -> float:
        """One more failure, remembered until `expiry`, or a hair less: no two have the same. Returns until when."""
        self.forget(now)
        while self.has(expiry):
            expiry = nextafter(expiry, -NEVER)
        insort(self._expiries, expiry)
        return expiry

    def has(self, expiry: float) -> bool:
        """Whether the failure that expires then is remembered."""
        at = bisect_left(self._expiries, expiry)
        return at < len(self._expiries) and self._expiries[at] == expiry

    def forget(self, now: float) -> None:
        """Let go of what has expired."""
        del self._expiries[: bisect_right(self._expiries, now)]

    def clear(self) -> None:
        """Let go of everything."""
        self._expiries.clear()

    def count(self, now: float) -> int:
        """How many failures are remembered at `now`."""
        return len(self._expiries) - bisect_right(self._expiries, now)

    def below(self, limit: int) -> float:
        """The time from which on fewer than `limit` (at least 1) are remembered; `-NEVER` if always."""
        surplus = len(self._expiries) - limit
        return self._expiries[surplus] if surplus >= 0 else -NEVER


class Tolerance:
    """The failures of one backend against how many its pool tolerates."""

    __slots__ = ("_max_fails", "_window")

    def __init__(self) -> None:
        self._window = FailureWindow()
        self._max_fails = 1

    def failures(self, now: float) -> int:
        """How many failures are remembered at `now`."""
        return self._window.count(now)

    def is_marked(self, now: float) -> bool:
        """Whether as many failures as the pool tolerates are remembered at `now`."""
        return self._window.count(now) >= self._max_fails

    def mark_falls(self) -> float:
        """When the mark falls if nothing else fails, monotonic seconds; `-NEVER` without a mark."""
        return self._window.below(self._max_fails)
