"""The circuit breaker of one backend: leaves it out when too many of its answers are errors, or slow.

| phase     | requests               | goes on                                                                      |
|-----------|------------------------|------------------------------------------------------------------------------|
| closed    | all                    | open: in the window at least `minimum` answers, and the share of errors, or   |
|           |                        | the mean time to the response head, is not below what the spec says          |
| open      | none                   | half-open: after `open` seconds                                              |
| half-open | `trials` at a time     | closed: `trials` of them in a row were good; open: one was not.              |
|           |                        | Trials that say nothing for `open` seconds are no longer waited for          |

Laws:
1. What was asked before a phase began changes nothing in it: only a trial of now ends half-open, only time ends open.
2. A closed breaker remembers nothing older than `window` (in steps of a tenth of it).

No clock: time (monotonic seconds) is handed in. Times are added up as whole microseconds, so that nothing drifts.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass
from typing import Final

from posthouse.balance.group import Sheet
from posthouse.balance.ledger import Ledger
from posthouse.balance.trials import Result, Trials
from posthouse.config.specs import BreakerSpec

SLICES: Final = 10
"""Parts of the window; what is older goes slice by slice, not answer by answer."""
_MICROSECONDS: Final = 1_000_000


class Phase(enum.StrEnum):
    """What a breaker lets through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(slots=True)
class _Slice:
    """Answers of one tenth of the window; `end`: when the next begins."""

    end: float
    answers: int = 0
    errors: int = 0
    timed: int = 0
    microseconds: int = 0


class Breaker:
    """One backend's.

    phase   what it lets through
    reason  why, one short phrase; "" while it has been closed from the beginning
    since   when it became so; None = from the beginning
    until   when the phase ends by itself, or begins anew; None for closed
    trials  those of half-open, else None
    is_followed  whether the phase was begun by another worker, which has told of it
    """

    __slots__ = (
        *(
            "_attempt",
            "_ledger",
            "_sheet",
            "_slices",
            "_sum",
            "is_followed",
            "phase",
            "reason",
            "since",
            "spec",
            "trials",
            "until",
        ),
    )

    def __init__(self, spec: BreakerSpec) -> None:
        self.spec = spec
        self.phase = Phase.CLOSED
        self.reason = ""
        self.since: float | None = None
        self.until: float | None = None
        self.trials: Trials | None = None
        self.is_followed = False
        self._slices: deque[_Slice] = deque()
        self._sum = _Slice(0.0)
        self._sheet: Sheet | None = None
        self._ledger: Ledger | None = None
        self._attempt = 0

    def __repr__(self) -> str:
        return f"<Breaker {self.phase} errors={self._sum.errors}/{self._sum.answers}>"

    def record(self, is_error: bool, seconds: float | None, now: float) -> bool:
        """An answer, or a failure; seconds: to the response head, None if that says nothing. Whether it opened."""
        if self.phase is not Phase.CLOSED:
            return False
        microseconds = None if seconds is None else round(seconds * _MICROSECONDS)
        if self._ledger is None:
            self._count(is_error, microseconds, now)
        else:
            self._sum = _count_in(self._ledger, is_error, microseconds, now)
        reason = self._why_open()
        if reason:
            self._open(reason, now)
        return bool(reason)

    def share(self, sheet: Sheet | None) -> None:
        """Other workers ask the same backend: what they see counts too, and trials are those of all. None: they don't
        any more."""
        if self._sheet is not sheet:
            self._sheet = sheet
            self._ledger = None if sheet is None else Ledger(sheet, 4, self.spec.window)
            self._forget_all(None)

    def _count(self, is_error: bool, microseconds: int | None, now: float) -> None:
        self._forget(now)
        if not self._slices or now >= self._slices[-1].end:
            self._slices.append(_Slice(now + self.spec.window / SLICES))
        for one in (self._slices[-1], self._sum):
            one.answers += 1
            one.errors += is_error
            if microseconds is not None:
                one.timed += 1
                one.microseconds += microseconds

    def end_trial(self, trials: Trials, result: Result, reason: str, now: float) -> bool:
        """One of `trials`, which are those of now, has ended. Whether that changed the phase."""
        is_over = trials.end(result)
        if result is Result.FAILED:
            self._open(f"trial failed: {reason}", now)
            return True
        if not is_over:
            return False
        self._enter(Phase.CLOSED, f"{self.spec.trials} of {self.spec.trials} trials passed", now, None)
        return True

    def review(self, now: float) -> bool:
        """What time alone does. Whether that changed the phase."""
        if self.until is None or now < self.until:
            return False
        if self.phase is Phase.HALF_OPEN:
            self.until = now + self.spec.open
            self._begin_trials()
            return False
        if self.since is not None:  # the same in all workers, who follow the one that opened
            self._attempt = max(1, round(self.since * _MICROSECONDS))
        is_followed = self.is_followed
        self._enter(Phase.HALF_OPEN, f"{self.spec.open:g}s are over", now, now + self.spec.open)
        self.is_followed = is_followed  # One tells.
        self._begin_trials()
        return True

    def _begin_trials(self) -> None:
        if self.trials is not None:
            self.trials.leave()
        self.trials = Trials(self.spec.trials, self._sheet, self._attempt)

    def follow(self, phase: Phase, reason: str, since: float, until: float | None) -> bool:
        """Another worker's has entered this phase then. Whether ours does: not if it has since, or knows already."""
        if self.since is not None and self.since >= since:
            if self.since == since and self.phase is phase:
                self.reason = reason
            return False
        self._enter(phase, reason, since, until)
        self._forget_all(since)
        self.is_followed = True
        return True

    def _open(self, reason: str, now: float) -> None:
        self._enter(Phase.OPEN, reason, now, now + self.spec.open)
        self._forget_all(now)

    def _forget_all(self, since: float | None) -> None:
        self._slices.clear()
        self._sum = _Slice(0.0)
        if self._ledger is not None and since is not None:
            self._ledger.forget(since)

    def _enter(self, phase: Phase, reason: str, now: float, until: float | None) -> None:
        self.phase, self.reason, self.since, self.until = phase, reason, now, until
        if self.trials is not None:
            self.trials.leave()
        self.trials = None
        self.is_followed = False

    def _why_open(self) -> str:
        spec, seen = self.spec, self._sum
        if seen.answers < spec.minimum:
            return ""
        if spec.errors is not None and seen.errors * 100 >= spec.errors * seen.answers:
            return f"{seen.errors} of {seen.answers} answers in {spec.window:g}s were errors"
        if spec.latency is None or not seen.timed:
            return ""
        mean = seen.microseconds / seen.timed / _MICROSECONDS
        if mean < spec.latency:
            return ""
        return f"answers took {mean:.3g}s on average, {seen.timed} in {spec.window:g}s"

    def _forget(self, now: float) -> None:
        kept, seen = self._slices, self._sum
        while kept and kept[0].end <= now - self.spec.window:
            old = kept.popleft()
            seen.answers -= old.answers
            seen.errors -= old.errors
            seen.timed -= old.timed
            seen.microseconds -= old.microseconds


def _count_in(ledger: Ledger, is_error: bool, microseconds: int | None, now: float) -> _Slice:
    """One more answer; what all workers have seen."""
    cells, at = ledger.cells, ledger.slot(now)
    cells[at] += 1
    cells[at + 1] += is_error
    if microseconds is not None:
        cells[at + 2] += 1
        cells[at + 3] += microseconds
    return _Slice(0.0, *ledger.total(now))
