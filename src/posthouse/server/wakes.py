"""Wakes: how workers and the supervisor wake each other: an eventfd for each worker, which all have."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence


class Wakes:
    """descriptors: by worker"""

    __slots__ = ("descriptors",)

    def __init__(self, descriptors: Sequence[int]) -> None:
        self.descriptors = list(descriptors)

    def __repr__(self) -> str:
        return f"<Wakes {self.descriptors}>"

    def wake(self, worker: int) -> None:
        """It will look who of its waiters can be served. Several of these before it looks are one."""
        with contextlib.suppress(BlockingIOError):  # it has not looked for 2**64 - 2 times
            os.eventfd_write(self.descriptors[worker], 1)

    def wake_all(self) -> None:
        """Each of them."""
        for worker in range(len(self.descriptors)):
            self.wake(worker)

    def take(self, worker: int) -> int:
        """How often that one was woken since it was last asked."""
        try:
            return os.eventfd_read(self.descriptors[worker])
        except BlockingIOError:
            return 0

    def close(self) -> None:
        """Idempotent."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors.clear()


def make(count: int) -> Wakes:
    """For so many workers. Raises OSError."""
    return Wakes([os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(count)])
