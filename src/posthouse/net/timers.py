"""Deadlines that cost nothing while they are met.

A connection holds its next deadline in an attribute and moves it freely; it stands in one bucket of the wheel at
most. When the bucket is due, a deadline that has moved on is put into a later bucket. So a request that is
answered in time costs two attribute writes, where `loop.call_later` costs a handle and a heap operation.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final, Protocol

TICK: Final = 0.05
"""Seconds a deadline may be late. Waits are whole seconds as a rule; finer ones are rounded up to this."""

NEVER: Final = math.inf


class Timed(Protocol):
    """Something with a deadline."""

    deadline: float
    """When it is due, monotonic seconds; NEVER = not at all."""
    bucket: int
    """The bucket it stands in; 0 = none. Owned by Timers."""
    wake: float
    """When that bucket is due; NEVER = none. Owned by Timers."""

    def on_deadline(self, now: float) -> None:
        """Called at or after the deadline; the deadline is NEVER then."""


class Handle(Protocol):
    """A call to come that can be called off."""

    def cancel(self) -> object: ...


class CallAt(Protocol):
    """The one method of an event loop that timers need."""

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Handle: ...


class Timers:
    """All deadlines of one worker, in buckets of one TICK."""

    __slots__ = ("_armed", "_buckets", "_clock", "_handle", "_loop")

    def __init__(self, loop: CallAt, clock: Callable[[], float] = time.monotonic) -> None:
        self._loop = loop
        self._clock = clock
        self._buckets: dict[int, set[Timed]] = {}
        self._armed = 0
        self._handle: Handle | None = None

    def set(self, timed: Timed, deadline: float) -> None:
        """Give `timed` a deadline (monotonic seconds), earlier or later than before.

        Where each 0.1 µs counts the caller does this itself: set `deadline`, and call `put` if it is below `wake`.
        """
        timed.deadline = deadline
        if deadline < timed.wake:
            self.put(timed)

    def put(self, timed: Timed) -> None:
        """See to it that `timed` is looked at when its deadline has come."""
        number = int(timed.deadline / TICK) + 1
        old = timed.bucket
        if old:
            if old <= number:
                return
            self._leave(timed)
        timed.bucket = number
        timed.wake = number * TICK
        members = self._buckets.get(number)
        if members is None:
            self._buckets[number] = {timed}
            if not self._armed or number < self._armed:
                self._arm(number)
        else:
            members.add(timed)

    def forget(self, timed: Timed) -> None:
        """`timed` is gone. Must be called before it is dropped, or the wheel keeps it alive."""
        timed.deadline = NEVER
        if timed.bucket:
            self._leave(timed)

    def _leave(self, timed: Timed) -> None:
        members = self._buckets[timed.bucket]
        members.discard(timed)
        if not members:
            # At once, not when it is due: deadlines an hour hence are set and forgotten in each TICK, and the wheel
            # would hold 72 000 empty sets, which each tick would look through.
            del self._buckets[timed.bucket]
        timed.bucket = 0
        timed.wake = NEVER

    def _arm(self, number: int) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._armed = number
        self._handle = self._loop.call_later(max(number * TICK - self._clock(), 0.001), self._tick)

    def _tick(self) -> None:
        now = self._clock()
        current = int(now / TICK)
        try:
            for number in sorted(number for number in self._buckets if number <= current):
                for timed in tuple(self._buckets.get(number, ())):
                    if timed.bucket == number:
                        self._due(timed, now)
        finally:
            # Also when an `on_deadline` raises: one bug must not switch off every deadline of the worker. The rest
            # of its bucket comes with the next tick.
            self._armed = 0
            self._handle = None
            if self._buckets:
                self._arm(min(self._buckets))

    def _due(self, timed: Timed, now: float) -> None:
        deadline = timed.deadline
        self._leave(timed)
        if deadline <= now:
            timed.deadline = NEVER
            timed.on_deadline(now)
        elif deadline != NEVER:
            self.put(timed)
