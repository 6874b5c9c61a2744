"""Breakers: when they open, how they close, and what they forget."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from posthouse.balance.breaker import SLICES, Breaker, Phase
from posthouse.balance.trials import Result, Trials
from posthouse.config.specs import BreakerSpec
from unit.balance.samples import sheets

SPEC = BreakerSpec(errors=50.0, window=10.0, minimum=4, open=30.0, trials=2)


def feed(breaker: Breaker, answers: str, now: float = 0.0, seconds: float | None = None) -> None:
    """ "+" is a good answer, "-" an error."""
    for answer in answers:
        breaker.record(answer == "-", seconds, now)


def opened(spec: BreakerSpec = SPEC, now: float = 0.0) -> Breaker:
    breaker = Breaker(spec)
    feed(breaker, "-" * spec.minimum, now)
    assert breaker.phase is Phase.OPEN
    return breaker


def trials_of(breaker: Breaker) -> Trials:
    assert breaker.trials is not None
    return breaker.trials


@pytest.mark.parametrize(
    ("answers", "phase"),
    [
        ("---", Phase.CLOSED),  # fewer than the minimum, however bad
        ("--++", Phase.OPEN),  # exactly the share
        ("-+++", Phase.CLOSED),
        ("+++---", Phase.OPEN),
        ("++++--", Phase.CLOSED),
    ],
)
def test_share_of_errors_on_both_sides(answers: str, phase: Phase) -> None:
    breaker = Breaker(SPEC)
    feed(breaker, answers)
    assert breaker.phase is phase


@pytest.mark.parametrize(("seconds", "phase"), [(0.999, Phase.CLOSED), (1.0, Phase.OPEN)])
def test_latency_on_both_sides(seconds: float, phase: Phase) -> None:
    breaker = Breaker(replace(SPEC, errors=None, latency=1.0))
    feed(breaker, "----", seconds=seconds)
    assert breaker.phase is phase
    assert breaker.reason == ("answers took 1s on average, 4 in 10s" if phase is Phase.OPEN else "")


def test_what_took_no_time_does_not_lower_the_average() -> None:
    breaker = Breaker(replace(SPEC, errors=None, latency=1.0))
    feed(breaker, "--", seconds=None)
    feed(breaker, "+", seconds=1.5)
    feed(breaker, "+", seconds=0.4)
    assert breaker.until is None
    feed(breaker, "+", seconds=1.1)
    assert breaker.phase is Phase.OPEN


def test_says_why_and_since_when() -> None:
    breaker = opened(now=7.0)
    assert (breaker.reason, breaker.since, breaker.until) == ("4 of 4 answers in 10s were errors", 7.0, 37.0)


@pytest.mark.parametrize(("pause", "phase"), [(10.0, Phase.OPEN), (11.0, Phase.CLOSED)])
def test_the_window_forgets_in_slices(pause: float, phase: Phase) -> None:
    breaker = Breaker(SPEC)
    feed(breaker, "---", 0.0)
    feed(breaker, "-", pause)
    assert breaker.phase is phase
    assert SLICES == 10, "the pauses above are a window, and a slice more"


def test_open_until_its_time_then_trials() -> None:
    breaker = opened()
    assert not breaker.review(29.999)
    assert breaker.phase is Phase.OPEN and breaker.trials is None
    assert breaker.review(30.0)
    assert (breaker.phase, breaker.since, breaker.reason) == (Phase.HALF_OPEN, 30.0, "30s are over")
    assert trials_of(breaker).has_room


def test_enough_good_trials_close_it() -> None:
    breaker = opened()
    breaker.review(30.0)
    trials = trials_of(breaker)
    trials.begin()
    assert not breaker.end_trial(trials, Result.PASSED, "", 31.0)
    trials.begin()
    assert breaker.end_trial(trials, Result.PASSED, "", 32.0)
    assert (breaker.phase, breaker.reason) == (Phase.CLOSED, "2 of 2 trials passed")
    feed(breaker, "---", 33.0)
    assert breaker.phase is Phase.CLOSED, "what was before it opened is forgotten"


def test_one_bad_trial_opens_it_again() -> None:
    breaker = opened()
    breaker.review(30.0)
    trials = trials_of(breaker)
    trials.begin()
    assert breaker.end_trial(trials, Result.FAILED, "answered 503", 31.0)
    assert (breaker.phase, breaker.until) == (Phase.OPEN, 61.0)
    assert breaker.reason == "trial failed: answered 503"


def test_trials_that_hang_are_not_waited_for() -> None:
    breaker = opened()
    breaker.review(30.0)
    old = trials_of(breaker)
    old.begin()
    old.begin()
    assert not old.has_room
    assert not breaker.review(59.9) and trials_of(breaker) is old
    assert not breaker.review(60.0), "it stays half-open"
    assert trials_of(breaker) is not old and trials_of(breaker).has_room


def test_what_was_asked_before_counts_for_nothing() -> None:
    breaker = opened()
    feed(breaker, "++++++++", 1.0)
    assert breaker.since == 0.0
    breaker.review(30.0)
    feed(breaker, "--------", 31.0)
    assert breaker.phase is Phase.HALF_OPEN


def of_workers(spec: BreakerSpec = SPEC, count: int = 2) -> list[Breaker]:
    breakers = [Breaker(spec) for _ in range(count)]
    for breaker, sheet in zip(breakers, sheets(count), strict=True):
        breaker.share(sheet)
    return breakers


def tell(one: Breaker, *others: Breaker) -> None:
    assert one.since is not None
    for other in others:
        other.follow(one.phase, one.reason, one.since, one.until)


@pytest.mark.parametrize(("first", "second"), [("--", "--"), ("-", "+-+"), ("-++-", ""), ("", "--++")])
def test_what_all_workers_see_opens_it(first: str, second: str) -> None:
    here, there = of_workers()
    feed(here, first[:-1] or first)
    feed(there, second[:-1])
    phases = [here.phase, there.phase]
    assert phases == [Phase.CLOSED] * 2
    feed(here, first[-1:] if len(first) > 1 else "")
    feed(there, second[-1:])
    assert [here.phase, there.phase].count(Phase.OPEN) == 1, "who sees the last one"


def test_latency_is_the_average_of_all() -> None:
    here, there = of_workers(replace(SPEC, errors=None, latency=1.0))
    feed(here, "++", seconds=0.5)
    feed(there, "+", seconds=0.5)
    feed(there, "+", seconds=2.4)
    assert there.phase is Phase.CLOSED
    feed(here, "+", seconds=1.1)
    assert (here.phase, here.reason) == (Phase.OPEN, "answers took 1s on average, 5 in 10s")


@pytest.mark.parametrize(("pause", "phase"), [(10.0, Phase.OPEN), (11.0, Phase.CLOSED)])
def test_what_others_saw_is_forgotten_in_slices(pause: float, phase: Phase) -> None:
    here, there = of_workers()
    feed(there, "---", 0.0)
    feed(here, "-", pause)
    assert here.phase is phase


def test_what_was_before_it_opened_is_forgotten_by_all() -> None:
    here, there = of_workers(replace(SPEC, open=0.25, trials=1))
    feed(there, "---", 0.0)
    feed(here, "-", 0.0)
    tell(here, there)
    here.review(0.25)
    trials_of(here).begin()
    assert here.end_trial(trials_of(here), Result.PASSED, "", 0.3)
    tell(here, there)
    feed(here, "--", 0.4)
    feed(there, "-", 0.4)
    assert [here.phase, there.phase] == [Phase.CLOSED] * 2
    feed(there, "-", 0.4)
    assert there.phase is Phase.OPEN


def test_trials_are_those_of_all() -> None:
    here, there = of_workers()
    feed(here, "----")
    tell(here, there)
    here.review(30.0)
    there.review(30.5)
    mine, theirs = trials_of(here), trials_of(there)
    for trials in (mine, theirs):
        assert trials.claim()
        trials.begin()
    assert not mine.claim() and not theirs.claim(), "two run"
    assert not here.end_trial(mine, Result.PASSED, "", 31.0)
    assert there.end_trial(theirs, Result.PASSED, "", 31.0)
    assert (there.phase, there.reason) == (Phase.CLOSED, "2 of 2 trials passed")
    tell(there, here)
    assert here.phase is Phase.CLOSED


def test_trials_of_all_that_hang_are_not_waited_for() -> None:
    here, there = of_workers()
    feed(here, "----")
    tell(here, there)
    here.review(30.0)
    there.review(30.0)
    old = trials_of(here)
    for _ in range(2):
        old.begin()
    assert not trials_of(there).claim()
    here.review(60.0)
    assert trials_of(there).claim()
    assert trials_of(here) is not old


def test_who_is_alone_again_counts_alone() -> None:
    here, there = of_workers()
    here.share(None)
    feed(there, "---")
    feed(here, "-")
    assert here.phase is Phase.CLOSED


class BreakerMachine(RuleBasedStateMachine):
    """Anything in any order, against the laws and a naive count."""

    @initialize(
        errors=st.sampled_from([10.0, 50.0, 100.0]), minimum=st.integers(1, 5), trials=st.integers(1, 3)
    )
    def build(self, errors: float, minimum: int, trials: int) -> None:
        self.breaker = Breaker(
            BreakerSpec(errors=errors, minimum=minimum, trials=trials, window=5.0, open=3.0)
        )
        self.now = 0.0
        self.seen: list[tuple[float, bool]] = []
        self.running: list[Trials] = []

    @rule(is_error=st.booleans())
    def record(self, is_error: bool) -> None:
        was = self.breaker.phase
        has_opened = self.breaker.record(is_error, 0.1, self.now)
        assert has_opened == (was is Phase.CLOSED and self.breaker.phase is Phase.OPEN)
        if was is not Phase.CLOSED:
            assert self.breaker.phase is was
            return
        self.seen.append((self.now, is_error))
        spec = self.breaker.spec
        assert spec.errors is not None
        for memory in (spec.window, spec.window * (1 + 1 / SLICES)):
            recent = [error for at, error in self.seen if at > self.now - memory]
            is_due = len(recent) >= spec.minimum and sum(recent) * 100 >= spec.errors * len(recent)
            if is_due == has_opened:
                break
        else:
            raise AssertionError(f"{self.breaker!r} opened: {has_opened}, after {self.seen}")
        if has_opened:
            self.seen.clear()

    @rule(pause=st.sampled_from([0.2, 1.0, 3.0, 6.0]))
    def time_passes(self, pause: float) -> None:
        self.now += pause
        was = self.breaker.phase
        if self.breaker.review(self.now):
            assert (was, self.breaker.phase) == (Phase.OPEN, Phase.HALF_OPEN)

    @precondition(lambda self: self.breaker.trials is not None and self.breaker.trials.has_room)
    @rule()
    def begin(self) -> None:
        trials = trials_of(self.breaker)
        trials.begin()
        self.running.append(trials)

    @precondition(lambda self: self.running)
    @rule(result=st.sampled_from(Result), data=st.data())
    def end(self, result: Result, data: st.DataObject) -> None:
        trials = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        if trials is not self.breaker.trials:
            return  # `Comeback` asks that first
        has_changed = self.breaker.end_trial(trials, result, "x", self.now)
        if result is Result.FAILED:
            assert has_changed and self.breaker.phase is Phase.OPEN
        elif has_changed:
            assert result is Result.PASSED and self.breaker.phase is Phase.CLOSED

    @invariant()
    def phase_and_trials_agree(self) -> None:
        breaker = self.breaker
        assert (breaker.trials is not None) == (breaker.phase is Phase.HALF_OPEN)
        assert (breaker.until is None) == (breaker.phase is Phase.CLOSED)
        assert breaker.phase is Phase.CLOSED or (breaker.reason and breaker.since is not None)


TestBreakerMachine = BreakerMachine.TestCase
