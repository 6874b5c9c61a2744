"""Slow start: how much of its share a backend gets that has just come back. Pure functions of the time that passed."""

from __future__ import annotations

from typing import Final

FLOOR: Final = 0.1
"""Where it begins: enough for caches and pools of the backend to fill, and above nothing, so that it is found out soon
if it is not well after all (HAProxy begins at a part that depends on the duration, Envoy at 10 % as here)."""
STEPS: Final = 64
"""The way up has so many steps: whoever counts by share has only so many shares to know."""
LEAST_PAUSE: Final = 0.02


def warmth(elapsed: float, duration: float) -> float:
    """The part of its share after `elapsed` of `duration` seconds (both not below 0): from FLOOR to 1.0 in a line."""
    if elapsed >= duration:
        return 1.0
    return FLOOR + (1.0 - FLOOR) * int(max(elapsed, 0.0) / duration * STEPS) / STEPS


def pause(duration: float) -> float:
    """Seconds from one step to the next: shorter ones would cost more looks than they are worth."""
    return max(duration / STEPS, LEAST_PAUSE)
