"""The queue of a pool, as configured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """Who waits while every backend that is up is full.

    size  requests at most, 0 = nobody waits
    wait  seconds of each of them, None = no limit
    """

    size: int = 100
    wait: float | None = 1.0


DEFAULT_QUEUE = QueueSpec()
