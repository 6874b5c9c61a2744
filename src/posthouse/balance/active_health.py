"""The arithmetic of active health checks: what a backend is believed to be, and when it is asked again.

Laws:
1. Until findings say otherwise a backend is UP.
2. It is DOWN from the `fails`-th FAIL in a row on, until the `passes`-th answer in a row that is no FAIL.
3. While not DOWN it is DRAINING exactly if the last answer that was no FAIL was DRAIN: one such answer is enough,
   because it is a statement of the backend and no symptom.

No probing, no clock, no random source: findings, time and chance are handed in. What attempts of requests find out
(`health.FailureWindow`) is counted apart and never mixed with this.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from posthouse.config.specs import HealthSpec

JITTER: Final = 0.1
"""Each pause differs by up to so much of itself: backends that were first asked together don't stay together."""
FIRST_ROUND: Final = 1.0
"""Seconds in which every backend is asked for the first time (less where the interval is shorter)."""
FIRST_STEP: Final = 0.01
"""Of that, as much for each backend: three of them are asked at once, a thousand are spread over all of it."""


class State(enum.StrEnum):
    """What active checks believe of a backend. Only an UP one gets new requests."""

    UP = "up"
    DRAINING = "draining"
    DOWN = "down"


class Verdict(enum.Enum):
    """What one check found: an answer that passes, one that says "I am draining", or anything else."""

    PASS = enum.auto()
    DRAIN = enum.auto()
    FAIL = enum.auto()


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, and why, as one short phrase for the log."""

    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class Belief:
    """What the findings about one backend came to. since: monotonic seconds"""

    state: State
    reason: str
    since: float


class ActiveHealth:
    """What the findings about one backend come to.

    state  what was believed of it before

    passes, fails  of the findings, how many in a row were no FAIL, or were one; one of the two is 0
    """

    __slots__ = ("_is_draining", "_is_up", "fails", "passes")

    def __init__(self, state: State = State.UP) -> None:
        self._is_up = state is not State.DOWN
        self._is_draining = state is State.DRAINING
        self.passes = 0
        self.fails = 0

    def __repr__(self) -> str:
        return f"<ActiveHealth {self.state} passes={self.passes} fails={self.fails}>"

    @property
    def state(self) -> State:
        if not self._is_up:
            return State.DOWN
        return State.DRAINING if self._is_draining else State.UP

    def observe(self, finding: Finding, spec: HealthSpec) -> bool:
        """Take in one finding more; whether it changed `state`."""
        before = self.state
        if finding.verdict is Verdict.FAIL:
            self.passes = 0
            self.fails += 1
            if self.fails >= spec.fails:
                self._is_up = False
        else:
            self.fails = 0
            self.passes += 1
            self._is_draining = finding.verdict is Verdict.DRAIN
            if self.passes >= spec.passes:
                self._is_up = True
        return self.state is not before


def pause(spec: HealthSpec, state: State, chance: float) -> float:
    """Seconds from the beginning of one check to that of the next; `chance` is uniform in [0, 1)."""
    interval = spec.interval
    if state is State.DOWN and spec.down_interval is not None:
        interval = spec.down_interval
    return interval * (1 - JITTER + 2 * JITTER * chance)


def first_pause(spec: HealthSpec, count: int, chance: float) -> float:
    """Seconds until the first check of one of `count` backends that begin together."""
    return chance * min(spec.interval, FIRST_ROUND, count * FIRST_STEP)
