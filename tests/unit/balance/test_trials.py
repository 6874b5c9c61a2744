"""Trials: a few at a time, and enough in a row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.balance.trials import Result, Trials


def test_one() -> None:
    trials = Trials(1)
    assert trials.has_room and not trials.is_over
    trials.begin()
    assert not trials.has_room
    trials.end(Result.PASSED)
    assert trials.is_over and not trials.has_room


@pytest.mark.parametrize("result", [Result.FAILED, Result.UNDECIDED])
def test_what_did_not_pass_makes_room_for_another(result: Result) -> None:
    trials = Trials(1)
    trials.begin()
    trials.end(result)
    assert trials.has_room and not trials.is_over


def test_a_failure_starts_the_count_anew_and_an_undecided_one_does_not() -> None:
    trials = Trials(3)
    for result in (Result.PASSED, Result.PASSED, Result.UNDECIDED):
        trials.begin()
        trials.end(result)
    assert trials.passed == 2
    trials.begin()
    assert not trials.has_room, "two have passed and one runs: no more are needed"
    trials.end(Result.FAILED)
    assert (trials.passed, trials.has_room) == (0, True)
    assert repr(trials) == "<Trials 0 of 3 passed, 0 running>"


@given(st.integers(1, 4), st.lists(st.sampled_from([None, *Result])))
def test_never_more_than_are_needed(most: int, events: list[Result | None]) -> None:
    """None: begin one, if there is room."""
    trials = Trials(most)
    for event in events:
        if event is None and trials.has_room:
            trials.begin()
        elif event is not None and trials.running:
            trials.end(event)
        assert 0 <= trials.running + trials.passed <= most
