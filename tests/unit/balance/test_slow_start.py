"""Slow start: from a floor to everything, in a line, never back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from posthouse.balance.slow_start import FLOOR, LEAST_PAUSE, STEPS, pause, warmth


def test_from_the_floor_to_everything() -> None:
    assert [warmth(elapsed, 10.0) for elapsed in (-1.0, 0.0, 0.1)] == [FLOOR, FLOOR, FLOOR]
    assert warmth(5.0, 10.0) == FLOOR + (1 - FLOOR) / 2
    assert warmth(9.999, 10.0) < 1.0
    assert [warmth(elapsed, 10.0) for elapsed in (10.0, 11.0)] == [1.0, 1.0]
    assert warmth(0.0, 0.0) == 1.0, "off"


@given(st.floats(0.001, 1e6), st.lists(st.floats(0, 2), min_size=2, max_size=20))
def test_never_goes_back(duration: float, parts: list[float]) -> None:
    values = [warmth(part * duration, duration) for part in sorted(parts)]
    assert values == sorted(values)
    assert all(FLOOR <= value <= 1.0 for value in values)


def test_as_many_shares_as_steps() -> None:
    assert len({warmth(number / 1000, 1.0) for number in range(1000)}) == STEPS


def test_a_pause_is_a_step_but_not_too_short() -> None:
    assert pause(64.0) == 64.0 / STEPS
    assert pause(0.1) == LEAST_PAUSE
