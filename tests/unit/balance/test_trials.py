"""Trials: a few at a time, and enough in a row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.balance.ledger import SHEET_CELLS
from posthouse.balance.trials import Result, Trials
from unit.balance.samples import sheets


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


def of_workers(most: int, workers: int = 2, attempt: int = 7) -> list[Trials]:
    return [Trials(most, sheet, attempt) for sheet in sheets(workers)]


def test_workers_have_so_many_together() -> None:
    here, there = of_workers(2)
    assert here.claim()
    here.begin()
    assert there.claim()
    there.begin()
    assert not here.has_room and not here.claim() and not there.claim()
    assert (here.running, there.running) == (1, 1)
    assert not here.end(Result.PASSED) and not there.has_room, "one has passed and one runs"
    assert there.end(Result.PASSED), "enough have passed, of both"
    assert here.is_over and there.is_over


def test_one_that_ends_undecided_makes_room_for_others() -> None:
    here, there = of_workers(1)
    assert here.claim() and not there.claim()
    here.begin()
    here.end(Result.UNDECIDED)
    assert there.claim()
    there.disclaim()
    there.disclaim()
    assert here.claim() and here.running == 1 and there.running == 0


def test_those_of_another_attempt_count_for_nothing() -> None:
    one, two = sheets(2)
    old = Trials(1, one, 7)
    old.begin()
    new = Trials(1, two, 8)
    assert new.has_room and new.claim()
    old.leave()
    old.end(Result.PASSED)
    assert set(one.cells[one.at : one.at + SHEET_CELLS]) == {0}, "nobody hears of it"


@given(st.integers(1, 4), st.lists(st.tuples(st.integers(0, 2), st.sampled_from([None, *Result]))))
def test_never_more_than_are_needed_of_all(most: int, events: list[tuple[int, Result | None]]) -> None:
    """None: begin one, if there is room."""
    workers = of_workers(most, 3)
    for number, event in events:
        trials = workers[number]
        if event is None and trials.claim():
            trials.begin()
        elif event is not None and trials.running:
            trials.end(event)
        running = sum(one.running for one in workers)
        assert running >= 0 and running + sum(one.passed for one in workers) <= most
