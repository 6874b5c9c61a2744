"""Holding: how many exchanges hold one backend, against its limit, and in a group of workers with those of the others.

Laws:
1. `held` is never negative and, unless a reload lowered the limit meanwhile, never above `max_conns`; with other
   workers (`join`) all of theirs together are not, if each `claim`s before it acquires.
2. From `join` on the group knows what this worker holds before `acquire` or `release` returns, whether anybody asks or
   not: so a limit that a reload brings counts what is held from its first moment, whichever worker is first to
   have it.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from typing import Final

from posthouse.balance.comeback import Comeback
from posthouse.balance.group import Cells, Place
from posthouse.balance.health import Tolerance
from posthouse.balance.trials import Trials
from posthouse.balance.watch import Watch

NO_LIMIT: Final = sys.maxsize


class Holding(Tolerance, ABC):
    """The part of a backend that counts who holds it.

    in_flight  exchanges that hold it: in a group of workers those of all, as far as this one has looked (`see`)
    others     of those, the ones in other workers
    is_usable  see `Backend`
    comeback   its breaker, and its trials after it was left out
    """

    __slots__ = (
        *("_alert_at", "_at", "_cells", "_full_at", "_in_group", "_watch", "comeback", "in_flight"),
        *("is_usable", "others"),
    )

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch
        self.comeback = Comeback()
        self.in_flight = self.others = 0
        self.is_usable = True
        self._full_at = self._alert_at = NO_LIMIT
        self._in_group: Place | None = None
        self._cells: Cells | None = None
        self._at = 0

    @property
    def held(self) -> int:
        """Exchanges of this worker that hold it."""
        return self.in_flight - self.others

    @property
    def max_conns(self) -> int:
        """The most that may hold it, 0 = no limit."""
        return 0 if self._full_at == NO_LIMIT else self._full_at

    @property
    def is_full(self) -> bool:
        return self.in_flight >= self._full_at

    def join(self, place: Place) -> None:
        """Its place among those of other workers. What it holds is published from now on."""
        self._in_group, self._cells, self._at = place, place.cells, place.at
        self.comeback.share(place)
        place.publish(self.held)
        self._settle()

    def part(self) -> None:
        """Its place is another's, who has the same key: what still holds this one is counted here alone."""
        self._in_group = self._cells = None
        self.comeback.share(None)
        self.see(0)

    def see(self, others: int) -> None:
        """So many exchanges of other workers hold it."""
        self.in_flight += others - self.others
        self.others = others
        self._count()

    def claim(self) -> bool:
        """Whether there is room for one more: then `acquire` must follow at once. False: others were quicker."""
        place = self._in_group
        if place is None:
            return True
        # With `panic`, or for a session, also what can't be used is chosen: then there is nothing to claim.
        trials = self.comeback.trials if self.is_usable else None
        if trials is not None and not trials.claim():
            self._settle()
            return False
        if self._full_at == NO_LIMIT or place.claim(self.held, self._full_at):
            return True
        if trials is not None:
            trials.disclaim()
        self.see(place.others())
        return False

    def look_again(self) -> None:
        """What other workers try of it may have changed."""
        self._settle()

    def acquire(self) -> Trials | None:
        """Hold it for one exchange. Raises RuntimeError if it is full: whoever asks must look first.

        Where the exchange is a trial, the answer is what it has to be ended with: by `succeed`, `fail` or `abandon`.
        """
        held = self.in_flight + 1
        self.in_flight = held
        if held >= self._alert_at:
            return self._fill(held)
        cells = self._cells
        if (
            cells is not None
        ):  # One store, here: through `publish` and `_count` an exchange costs 0.7 µs more.
            cells[self._at] = held - self.others
        return None

    def release(self) -> None:
        """Give it back. Raises RuntimeError if nobody holds it."""
        held = self.in_flight
        self.in_flight = held - 1
        if not self.others < held < self._alert_at:
            self._drain_one(held)
            return
        cells = self._cells
        if cells is not None:
            cells[self._at] = held - 1 - self.others

    def _fill(self, held: int) -> Trials | None:
        if held > self._full_at:
            self.in_flight = held - 1
            raise RuntimeError(f"acquire of a full backend: {self!r}")
        if self._in_group is not None:
            self._in_group.publish(held - self.others)
        trials = self.comeback.trials
        if trials is not None:
            trials.begin()
        self._count()
        return trials

    def _drain_one(self, held: int) -> None:
        if held <= self.others:
            self.in_flight = held
            raise RuntimeError(f"release of a backend that nobody holds: {self!r}")
        if self._in_group is not None:
            self._leave(self._in_group)
            return
        self._count()
        if not self.is_usable:  # but somebody may wait for it whose session it has
            self._watch.tell()

    def _leave(self, place: Place) -> None:
        if self._full_at == NO_LIMIT:
            place.publish(self.held)
            self._count()
            return
        watch, others = self._watch, place.give_back(self.held)
        on_change, watch.on_change = watch.on_change, None  # who waits is asked once, when all is known
        self.see(others)
        watch.on_change = on_change
        if watch.on_release is not None:
            watch.on_release()

    def _alert(self) -> None:
        """Below its limit an exchange comes and goes without a look at anything else, unless someone counts."""
        is_counted = self.comeback.trials is not None or self._watch.tally is not None
        if self._in_group is not None and self._full_at != NO_LIMIT:
            is_counted = True  # others may wait for what is given back
        self._alert_at = 0 if is_counted else self._full_at

    @abstractmethod
    def _count(self) -> None:
        """More or fewer hold it now."""

    @abstractmethod
    def _settle(self) -> None:
        """Whether it can be used may have changed."""
