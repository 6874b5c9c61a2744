"""Who goes first among the waiters of several workers, and for how long that is respected."""

from __future__ import annotations

from collections.abc import Callable

from posthouse.balance.group import Oldest
from posthouse.balance.health import NEVER
from posthouse.balance.seniority import PATIENCE_SECONDS, Seniority
from unit.balance.samples import sheets


class FakeLine:
    """Worker 1 of some; says what the test has written down."""

    def __init__(self, *others: Oldest) -> None:
        self.worker = 1
        self.sheet = sheets(1)[0]
        self.on_wake: Callable[[], None] = lambda: None
        self.oldest = list(others)
        self.woken: list[int] = []

    def others(self) -> list[Oldest]:
        return self.oldest

    def wake(self, worker: int) -> None:
        self.woken.append(worker)

    def publish(self, length: int, since: float) -> None:
        raise AssertionError

    def claim(self, length: int, size: int) -> bool:
        raise AssertionError

    def length(self) -> int:
        raise AssertionError


def test_who_came_first_goes_first() -> None:
    seniority = Seniority(FakeLine((5.0, 0), (7.0, 2)))
    assert seniority.comes_after(6.0, 10.0)
    assert not seniority.comes_after(4.0, 10.0)
    assert seniority.comes_after(NEVER, 10.0), "who has not waited at all comes last"
    assert not Seniority(FakeLine()).comes_after(NEVER, 10.0)


def test_of_two_who_came_at_once_one_goes_first() -> None:
    assert Seniority(FakeLine((5.0, 0))).comes_after(5.0, 10.0)
    assert not Seniority(FakeLine((5.0, 2))).comes_after(5.0, 10.0)


def test_patience_ends() -> None:
    line = FakeLine((5.0, 0))
    seniority = Seniority(line)
    assert seniority.until == NEVER
    assert seniority.comes_after(6.0, 10.0) and seniority.until == 10.0 + PATIENCE_SECONDS
    assert seniority.comes_after(6.0, 9.99 + PATIENCE_SECONDS), "not yet"
    assert not seniority.comes_after(6.0, 10.0 + PATIENCE_SECONDS)
    assert seniority.until == NEVER
    assert not seniority.comes_after(6.0, 20.0), "nor for the same one again"
    line.oldest = [(5.5, 0)]
    assert seniority.comes_after(6.0, 20.0), "its next waiter is respected"


def test_after_one_that_is_passed_over_the_next_one_has_its_time() -> None:
    seniority = Seniority(FakeLine((5.0, 0), (5.5, 2)))
    assert seniority.comes_after(6.0, 10.0)
    assert seniority.comes_after(6.0, 10.0 + PATIENCE_SECONDS)
    assert seniority.until == 10.0 + 2 * PATIENCE_SECONDS
    assert not seniority.comes_after(6.0, 10.0 + 2 * PATIENCE_SECONDS)


def test_patience_runs_only_while_something_is_free() -> None:
    seniority = Seniority(FakeLine((5.0, 0)))
    assert seniority.comes_after(6.0, 10.0)
    seniority.settle()
    assert seniority.comes_after(6.0, 99.0) and seniority.until == 99.0 + PATIENCE_SECONDS


def test_the_oldest_is_woken() -> None:
    line = FakeLine((5.0, 2), (4.0, 0))
    Seniority(line).wake_first(None)
    assert line.woken == [0]
    Seniority(line).wake_first(4.5)
    assert line.woken == [0, 0]
    Seniority(line).wake_first(3.0)
    assert line.woken == [0, 0], "ours has been asked already"
    Seniority(FakeLine()).wake_first(None)


def test_where_one_was_woken_before_for_the_same_waiter_the_next_one_is_too() -> None:
    line = FakeLine((4.0, 0), (5.0, 2), (6.0, 3))
    seniority = Seniority(line)
    seniority.wake_first(None)
    seniority.wake_first(None)
    assert line.woken == [0, 0, 2]
    line.oldest = [(4.5, 0), (5.0, 2), (6.0, 3)]
    seniority.wake_first(None)
    assert line.woken == [0, 0, 2, 0], "it has served one: it turns its loop"
    seniority.wake_first(4.7)
    assert line.woken == [0, 0, 2, 0, 0], "and none that came after ours"
