"""Failures expire one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from posthouse.balance.health import NEVER, FailureWindow


def test_two_at_the_same_moment_are_two_and_one_that_is_known_is_found() -> None:
    window = FailureWindow()
    first, second = window.add(0.0, 5.0), window.add(0.0, 5.0)
    assert (window.count(1.0), window.has(first), window.has(second), window.has(6.0)) == (
        2,
        True,
        True,
        False,
    )
    assert 4.999 < second < first == 5.0


def test_empty() -> None:
    window = FailureWindow()
    assert window.count(0.0) == 0
    assert window.below(1) == -NEVER


def test_each_expires_alone_and_at_its_time() -> None:
    window = FailureWindow()
    window.add(0.0, 1.0)
    window.add(0.7, 1.7)
    assert [window.count(t) for t in (0.7, 0.999, 1.0, 1.699, 1.7)] == [2, 2, 1, 1, 0]


def test_below_says_when_the_limit_is_no_longer_reached() -> None:
    window = FailureWindow()
    for expiry in (1.0, 2.0, 3.0):
        window.add(0.0, expiry)
    assert [window.below(limit) for limit in (1, 2, 3, 4)] == [3.0, 2.0, 1.0, -NEVER]


def test_a_shorter_memory_expires_before_an_older_longer_one() -> None:
    window = FailureWindow()
    window.add(0.0, 10.0)
    window.add(1.0, 2.0)
    assert window.count(2.0) == 1
    window.forget(2.0)
    assert window.below(1) == 10.0


def test_adding_lets_go_of_the_expired() -> None:
    window = FailureWindow()
    for number in range(1000):
        window.add(float(number), number + 2.0)
    assert repr(window) == "<FailureWindow 2 remembered>"


def test_clear() -> None:
    window = FailureWindow()
    window.add(0.0, 1.0)
    window.clear()
    assert window.count(0.0) == 0


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0.1, 10))), st.floats(0, 20), st.integers(1, 4))
def test_counts_what_is_alive(steps: list[tuple[float, float]], later: float, limit: int) -> None:
    window, now, alive = FailureWindow(), 0.0, []
    for pause, memory in steps:
        now += pause
        window.add(now, now + memory)
        alive.append(now + memory)
    now += later
    assert window.count(now) == sum(expiry > now for expiry in alive)
    window.forget(now)
    falls = window.below(limit)
    assert (falls > now) == (window.count(now) >= limit)
    if falls > now:
        assert window.count(falls) < limit
