"""Back-off: how long the place of a worker that died stays empty. Time is handed in."""

from __future__ import annotations

from collections import deque
from typing import Final

FREE_DEATHS: Final = 5
"""Deaths within PERIOD_SECONDS that are followed by a replacement at once: while the place is empty, the clients that
the kernel gave to it wait."""
PERIOD_SECONDS: Final = 30.0
FIRST_SECONDS: Final = 0.25
MOST_SECONDS: Final = 8.0
"""A worker that can't live costs a start of Python (0.2 s of a core) in each turn."""


class Backoff:
    """Of one place in the group."""

    __slots__ = ("_deaths",)

    def __init__(self) -> None:
        self._deaths: deque[float] = deque(maxlen=64)

    def __repr__(self) -> str:
        return f"<Backoff deaths={len(self._deaths)}>"

    def after_death(self, now: float) -> float:
        """A worker has died: seconds until its replacement is to be started."""
        while self._deaths and now - self._deaths[0] >= PERIOD_SECONDS:
            self._deaths.popleft()
        self._deaths.append(now)
        surplus = len(self._deaths) - FREE_DEATHS
        return min(MOST_SECONDS, FIRST_SECONDS * 2.0 ** (surplus - 1)) if surplus > 0 else 0.0
