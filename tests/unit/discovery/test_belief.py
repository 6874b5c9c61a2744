"""What is believed of a name, law by law."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.discovery.belief import (
    DOUBT_SECONDS,
    JITTER,
    LEAST_SECONDS,
    MOST_RETRY_SECONDS,
    MOST_SECONDS,
    Belief,
)


def test_nothing_is_known_at_first() -> None:
    belief = Belief()
    assert belief.records is None
    assert repr(belief) == "<Belief records=None failures=0>"


def test_a_failure_changes_nothing_however_long_it_lasts() -> None:
    belief = Belief()
    belief.learn(("a",), 0.0)
    for _ in range(1000):
        belief.fail()
    assert belief.records == ("a",)
    belief.learn(("b",), 1e6)
    assert (belief.records, belief.failures) == (("b",), 0)


def test_that_there_is_none_is_believed_at_once_when_nothing_was_known() -> None:
    belief = Belief()
    belief.learn((), 0.0)
    assert belief.records == ()
    assert not belief.is_doubting


def test_that_there_is_none_any_more_is_doubted_first() -> None:
    belief = Belief()
    belief.learn(("a",), 0.0)
    belief.learn((), 100.0)
    assert belief.is_doubting
    belief.fail()
    belief.learn((), 100.0 + DOUBT_SECONDS * 0.99)
    assert belief.records == ("a",)
    belief.learn((), 100.0 + DOUBT_SECONDS)
    assert not belief.records
    assert not belief.is_doubting


def test_a_good_answer_ends_the_doubt() -> None:
    belief = Belief()
    belief.learn(("a",), 0.0)
    belief.learn((), 10.0)
    belief.learn(("a",), 20.0)
    belief.learn((), 20.0 + DOUBT_SECONDS)
    assert belief.records == ("a",), "the doubt began anew"


@pytest.mark.parametrize(
    ("ttl", "seconds"), [(0.0, LEAST_SECONDS), (0.5, LEAST_SECONDS), (60.0, 60.0), (1e9, MOST_SECONDS)]
)
def test_the_ttl_within_bounds(ttl: float, seconds: float) -> None:
    belief = Belief()
    belief.learn(("a",), 0.0)
    assert belief.pause(ttl, 0.0) == seconds
    assert belief.pause(ttl, 0.999) <= seconds * (1 + JITTER)


def test_after_failures_the_pauses_double() -> None:
    belief = Belief()
    pauses = []
    for _ in range(7):
        belief.fail()
        pauses.append(belief.pause(0.0, 0.0))
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, MOST_RETRY_SECONDS, MOST_RETRY_SECONDS]


@given(
    st.lists(st.sampled_from([("a",), (), None])),
    st.floats(0, 1e12),
    st.floats(0, 1, exclude_max=True),
)
def test_every_pause_is_bounded(answers: list[tuple[str, ...] | None], ttl: float, chance: float) -> None:
    belief = Belief()
    for now, answer in enumerate(answers):
        if answer is None:
            belief.fail()
        else:
            belief.learn(answer, float(now))
        assert LEAST_SECONDS <= belief.pause(ttl, chance) <= MOST_SECONDS
