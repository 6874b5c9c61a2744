"""PeakEwma: what is known of a backend's response time, quick to believe the worse and slow to believe the better.

A moving average whose weights fall with age (e to the power of -age/decay), but a time above it is taken over at once:
so a backend that begins to stall is left within one response, not within ten. Source: Finagle's "peak EWMA" load
metric (Twitter, 2015), which linkerd and tower took over.
"""

from __future__ import annotations

from math import exp
from typing import Final

DECAY: Final = 10.0
"""Seconds, unless the Caddyfile says otherwise; as in Finagle and linkerd."""
FAILED_SECONDS: Final = 1.0
"""A failed attempt counts as a response that took so long, or longer if it did: who refuses at once is not quick."""


class PeakEwma:
    """The estimate of one backend; times are monotonic seconds, and handed in."""

    __slots__ = ("_at", "_seconds", "is_known")

    def __init__(self) -> None:
        self._seconds = 0.0
        self._at = 0.0
        self.is_known = False

    def __repr__(self) -> str:
        return f"<PeakEwma {self._seconds:g} s at {self._at:g}>" if self.is_known else "<PeakEwma unknown>"

    def observe(self, seconds: float, now: float, decay: float) -> None:
        """One more response took so long, not below 0."""
        left = self._left(now, decay)
        if seconds >= self._seconds * left:
            self._seconds = seconds
        else:
            self._seconds = self._seconds * left + seconds * (1.0 - left)
        self._at = max(now, self._at)
        self.is_known = True

    def estimate(self, now: float, decay: float) -> float:
        """Seconds expected. Falls while nothing is observed, so that nobody is shunned for ever; 0.0 if unknown."""
        return self._seconds * self._left(now, decay)

    def _left(self, now: float, decay: float) -> float:
        return exp((self._at - now) / decay) if now > self._at else 1.0
