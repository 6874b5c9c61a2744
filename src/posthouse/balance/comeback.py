"""Comeback: what stands between one backend and all of its traffic besides marks: its breaker, and a lone trial.

The lone trial: when the marks of a pool fall after none of its backends could be used, all requests that were refused a
moment ago would come at once to a backend that is perhaps still dead. So it gets one of them; the others are refused,
or wait, a moment longer. That moment is TRIAL_SECONDS at most, because the one request may be a slow one.
"""

from __future__ import annotations

from typing import Final

from posthouse.balance.breaker import Breaker, Phase
from posthouse.balance.group import Place
from posthouse.balance.trials import Result, Trials
from posthouse.config.specs import BreakerSpec

TRIAL_SECONDS: Final = 1.0


class Comeback:
    """One backend's.

    breaker  None where the pool has none
    lone     the lone trial, else None
    """

    __slots__ = ("_lone_until", "breaker", "lone")

    def __init__(self) -> None:
        self.breaker: Breaker | None = None
        self.lone: Trials | None = None
        self._lone_until = 0.0

    def __repr__(self) -> str:
        return f"<Comeback {self.breaker!r} lone={self.lone!r}>"

    @property
    def phase(self) -> Phase:
        """The breaker's; without one it is closed."""
        return Phase.CLOSED if self.breaker is None else self.breaker.phase

    @property
    def is_tripped(self) -> bool:
        """Whether the breaker says that the backend should be left out, or only tried."""
        return self.breaker is not None and self.breaker.phase is not Phase.CLOSED

    @property
    def trials(self) -> Trials | None:
        """What an exchange that gets the backend now is one of, if anything."""
        return self.breaker.trials if self.breaker is not None and self.breaker.trials else self.lone

    @property
    def until(self) -> float | None:
        """When time alone may change something."""
        if self.lone is not None:
            return self._lone_until
        return self.breaker.until if self.breaker is not None else None

    def fit(self, spec: BreakerSpec | None) -> None:
        """These are the breaker's settings from now on; with the same ones it stays as it is."""
        if spec is None:
            self.breaker = None
        elif self.breaker is None or self.breaker.spec != spec:
            self.breaker = Breaker(spec)

    def share(self, place: Place | None) -> None:
        """Its place among those of other workers, or None: they don't ask it."""
        if self.breaker is not None:
            self.breaker.share(None if place is None else place.sheet)

    def try_alone(self, now: float) -> None:
        """One request first."""
        if self.trials is None:
            self.lone = Trials(1)
            self._lone_until = now + TRIAL_SECONDS

    def learn(self, is_error: bool, seconds: float | None, now: float) -> bool:
        """An attempt that was no trial has ended. Whether the breaker's phase changed."""
        return self.breaker is not None and self.breaker.record(is_error, seconds, now)

    def answer(self, trial: Trials, error: str, seconds: float | None, now: float) -> bool:
        """A trial was answered; error: what makes that one for the breaker, or "". Whether its phase changed."""
        if self._is_breakers(trial):
            return self._end(trial, Result.FAILED if error else Result.PASSED, error, now)
        self._end_lone(trial, Result.PASSED)
        return self.learn(bool(error), seconds, now)

    def end(self, trial: Trials, result: Result, reason: str, now: float) -> bool:
        """A trial has ended without an answer, or with one that is a failure. Whether the breaker's phase changed."""
        if self._is_breakers(trial):
            return self._end(trial, result, reason, now)
        self._end_lone(trial, result)
        return result is not Result.UNDECIDED and self.learn(True, None, now)

    def _is_breakers(self, trial: Trials) -> bool:
        return self.breaker is not None and trial is self.breaker.trials

    def _end(self, trial: Trials, result: Result, reason: str, now: float) -> bool:
        assert self.breaker is not None
        return self.breaker.end_trial(trial, result, reason, now)

    def _end_lone(self, trial: Trials, result: Result) -> None:
        trial.end(result)
        if trial is self.lone and trial.is_over:
            self.lone = None

    def review(self, now: float) -> bool:
        """What time alone does. Whether the breaker's phase changed."""
        if self.lone is not None and now >= self._lone_until:
            self.lone = None
        return self.breaker is not None and self.breaker.review(now)
