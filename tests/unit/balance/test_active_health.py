"""Passes and fails in a row, draining, and when a backend is asked again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from posthouse.balance.active_health import (
    FIRST_ROUND,
    FIRST_STEP,
    JITTER,
    ActiveHealth,
    Finding,
    State,
    Verdict,
    first_pause,
    pause,
)
from posthouse.config.specs import CheckSpec, HealthSpec

SPEC = HealthSpec(CheckSpec("/h"))


def states(findings: str, passes: int = 1, fails: int = 1) -> str:
    """The first letters of the states after each finding: p = pass, f = fail, d = drain. D means draining."""
    spec = HealthSpec(CheckSpec("/h"), passes=passes, fails=fails)
    health, found = ActiveHealth(), []
    for letter in findings:
        verdict = {"p": Verdict.PASS, "f": Verdict.FAIL, "d": Verdict.DRAIN}[letter]
        before = health.state
        changed = health.observe(Finding(verdict, "why"), spec)
        assert changed == (health.state is not before)
        found.append({State.UP: "u", State.DOWN: "-", State.DRAINING: "D"}[health.state])
    return "".join(found)


def test_up_until_it_is_known_better() -> None:
    assert ActiveHealth().state is State.UP


@pytest.mark.parametrize(
    ("findings", "expected", "passes", "fails"),
    [
        ("pfp", "u-u", 1, 1),
        ("fffppp", "uu---u", 3, 3),
        ("ffpfff", "uuuuu-", 1, 3),
        ("fppfppp", "------u", 3, 1),
        ("dpd", "DuD", 1, 1),
        ("dfp", "D-u", 1, 1),
        ("dfpf", "DDuu", 1, 2),
        ("fdp", "-Du", 1, 1),
        ("fddp", "--Du", 2, 1),
        ("fdpd", "--uD", 2, 1),
    ],
)
def test_rows(findings: str, expected: str, passes: int, fails: int) -> None:
    assert states(findings, passes, fails) == expected


def test_thresholds_may_change_on_the_way() -> None:
    health = ActiveHealth()
    for _ in range(2):
        health.observe(Finding(Verdict.FAIL, "x"), HealthSpec(CheckSpec("/h"), fails=5))
    assert health.state is State.UP
    assert health.observe(Finding(Verdict.FAIL, "x"), HealthSpec(CheckSpec("/h"), fails=3))
    assert repr(health) == "<ActiveHealth down passes=0 fails=3>"


class Machine(RuleBasedStateMachine):
    """Against the laws, told by looking back at the whole history."""

    @initialize(passes=st.integers(1, 4), fails=st.integers(1, 4))
    def begin(self, passes: int, fails: int) -> None:
        self.spec = HealthSpec(CheckSpec("/h"), passes=passes, fails=fails)
        self.health = ActiveHealth()
        self.history: list[Verdict] = []

    @rule(verdict=st.sampled_from(Verdict))
    def find(self, verdict: Verdict) -> None:
        before = self.health.state
        changed = self.health.observe(Finding(verdict, "x"), self.spec)
        self.history.append(verdict)
        assert changed == (self.health.state is not before)

    @invariant()
    def laws(self) -> None:
        failed = [verdict is Verdict.FAIL for verdict in self.history]
        is_down = False
        for end in range(1, len(failed) + 1):
            if failed[max(0, end - self.spec.fails) : end] == [True] * self.spec.fails:
                is_down = True
            if failed[max(0, end - self.spec.passes) : end] == [False] * self.spec.passes:
                is_down = False
        answers = [verdict for verdict in self.history if verdict is not Verdict.FAIL]
        is_draining = bool(answers) and answers[-1] is Verdict.DRAIN
        expected = State.DOWN if is_down else State.DRAINING if is_draining else State.UP
        assert self.health.state is expected
        assert 0 in (self.health.passes, self.health.fails)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@given(chance=st.floats(0, 1, exclude_max=True), interval=st.floats(0.001, 1e6))
def test_pauses_stay_near_the_interval(chance: float, interval: float) -> None:
    spec = HealthSpec(CheckSpec("/h"), interval=interval, down_interval=interval / 10)
    for state, of in ((State.UP, interval), (State.DRAINING, interval), (State.DOWN, interval / 10)):
        assert of * (1 - JITTER) * 0.999 <= pause(spec, state, chance) <= of * (1 + JITTER) * 1.001


def test_pauses_differ() -> None:
    assert pause(SPEC, State.DOWN, 0.5) == pytest.approx(30.0), "none of its own while it is down"
    assert pause(SPEC, State.UP, 0.0) == pytest.approx(27.0)
    assert pause(SPEC, State.UP, 0.5) == pytest.approx(30.0)
    assert pause(SPEC, State.UP, 0.999999) == pytest.approx(33.0, abs=0.01)


def test_the_first_round_is_prompt_and_spread() -> None:
    assert first_pause(SPEC, 1000, 0.0) == 0.0
    assert first_pause(SPEC, 1000, 0.5) == FIRST_ROUND / 2
    assert first_pause(SPEC, 3, 0.5) == 1.5 * FIRST_STEP
    quick = HealthSpec(CheckSpec("/h"), interval=0.05)
    assert first_pause(quick, 1000, 0.5) == 0.025
