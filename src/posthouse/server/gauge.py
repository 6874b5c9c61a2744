"""The rule of `--max-memory`: when a worker refuses requests for what it occupies, and when it serves again. Pure.

Laws
- Over the limit it refuses; it serves again when a tenth of the limit is free, so that it does not flap.
- What nobody holds cannot be waited for. Freed memory may stay with the process (a block in use here and there keeps
  the pages around it). When too little runs to explain what is occupied, it serves again, and that much is no reason
  to refuse until a tenth of the limit has come on top of it.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

EXCHANGE_BYTES: Final = 2 << 20
"""What one exchange may hold, generously: a body for another attempt (`replay_limit`, 1MB), what is on its way."""


class Change(Enum):
    """What follows from a look."""

    NONE = ""
    REFUSE = "refuse"
    SERVE = "serve"
    SERVE_ANYWAY = "serve anyway"


class Gauge:
    """Asked each second with what is occupied.

    limit    bytes
    is_over  it refuses now
    """

    __slots__ = ("_bearable", "is_over", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.is_over = False
        self._bearable = limit

    def __repr__(self) -> str:
        return f"<Gauge of {self.limit} {'over' if self.is_over else 'below'}>"

    def look(self, resident: int, in_flight: int) -> Change:
        """resident: bytes that the process occupies; in_flight: exchanges that run."""
        tenth = self.limit // 10
        if not self.is_over:
            if resident < self.limit - tenth:
                self._bearable = self.limit
            self.is_over = resident > self._bearable
            return Change.REFUSE if self.is_over else Change.NONE
        if resident < self.limit - tenth:
            self._bearable = self.limit
            self.is_over = False
            return Change.SERVE
        if in_flight * EXCHANGE_BYTES <= tenth:
            self._bearable = max(self.limit, resident + tenth)
            self.is_over = False
            return Change.SERVE_ANYWAY
        return Change.NONE


def share(limit: int, workers: int) -> int:
    """What one of so many workers may occupy, bytes: the kernel spreads connections evenly, so the limit is as well.

    A worker looks at itself alone: it may refuse while the group is still below the limit, and never the other way.
    """
    return limit // workers
