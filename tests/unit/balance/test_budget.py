"""The budget for retries: a share of the traffic, a little more, and nothing that is long over."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from posthouse.balance.budget import STEP, WINDOW, RetryBudget
from unit.balance.samples import sheets


def spent(budget: RetryBudget, now: float, percent: float, least: float, most: int = 1000) -> int:
    """How many retries there is room for; they are made."""
    count = 0
    while count < most and budget.has_room(now, percent, least):
        budget.spend(now)
        count += 1
    return count


@pytest.mark.parametrize(
    ("requests", "percent", "least", "retries"),
    [(0, 20, 0, 0), (0, 20, 1, 10), (100, 20, 0, 20), (100, 20, 10, 120), (99, 20, 0, 19), (100, 0, 0, 0)],
)
def test_share_and_minimum(requests: int, percent: float, least: float, retries: int) -> None:
    budget = RetryBudget()
    for _ in range(requests):
        budget.count(5.0)
    assert spent(budget, 5.0, percent, least) == retries


def test_room_comes_back_with_traffic_and_with_time() -> None:
    budget = RetryBudget()
    assert spent(budget, 0.0, 20, 1) == 10
    for _ in range(10):
        budget.count(1.0)
    assert spent(budget, 1.0, 20, 1) == 2
    assert spent(budget, WINDOW - 0.1, 20, 1) == 0
    assert spent(budget, WINDOW + 1.1, 20, 1) == 10


def test_old_traffic_pays_for_nothing() -> None:
    budget = RetryBudget()
    for _ in range(1000):
        budget.count(0.0)
    assert budget.has_room(WINDOW - STEP, 20, 0)
    assert not budget.has_room(WINDOW + STEP, 20, 0)
    assert not budget.has_room(1e6, 20, 0)


def of_workers(count: int = 2) -> list[RetryBudget]:
    budgets = [RetryBudget() for _ in range(count)]
    for budget, sheet in zip(budgets, sheets(count), strict=True):
        budget.share(sheet)
    return budgets


@pytest.mark.parametrize(
    ("requests", "percent", "least", "retries"),
    [((0, 0), 20, 1, 10), ((60, 40), 20, 0, 20), ((0, 100), 20, 10, 120), ((99, 0), 20, 0, 19)],
)
def test_workers_share_one(requests: tuple[int, int], percent: float, least: float, retries: int) -> None:
    budgets = of_workers()
    for budget, count in zip(budgets, requests, strict=True):
        for _ in range(count):
            budget.count(5.0)
    here, there = budgets
    assert spent(here, 5.0, percent, least, most=7) == 7
    assert spent(there, 5.0, percent, least) == retries - 7
    assert not here.has_room(5.0, percent, least)
    assert here.has_room(5.0 + WINDOW + STEP, percent, least) is bool(least)


def test_it_goes_on_with_the_same_sheet() -> None:
    """A reload shares it again."""
    one, _ = sheets(2)
    budget = RetryBudget()
    for _ in range(2):
        budget.share(one)
        assert spent(budget, 5.0, 0, 1, most=5) == 5
    assert not budget.has_room(5.0, 0, 1)


class BudgetMachine(RuleBasedStateMachine):
    """Law 1 over every window, whatever happens when."""

    @initialize(percent=st.sampled_from([0.0, 20.0, 100.0]), least=st.sampled_from([0.0, 0.3, 2.0]))
    def build(self, percent: float, least: float) -> None:
        self.budget = RetryBudget()
        self.percent, self.least = percent, least
        self.now = 0.0
        self.requests: list[float] = []
        self.retries: list[float] = []

    @rule(count=st.integers(1, 30))
    def traffic(self, count: int) -> None:
        for _ in range(count):
            self.budget.count(self.now)
            self.requests.append(self.now)

    @rule()
    def retry(self) -> None:
        """Never more than the window pays for; never refused where even its shortest reading pays."""
        has_room = self.budget.has_room(self.now, self.percent, self.least)
        if has_room:
            self.budget.spend(self.now)
            self.retries.append(self.now)
        if has_room:
            # Judged when one is made: traffic that paid for it may go out of sight before it does.
            requests = sum(at > self.now - (WINDOW + STEP) for at in self.requests)
            made = sum(at > self.now - (WINDOW - STEP) for at in self.retries)
            assert made <= requests * self.percent / 100 + self.least * WINDOW
        else:
            requests = sum(at > self.now - (WINDOW - STEP) for at in self.requests)
            made = sum(at > self.now - (WINDOW + STEP) for at in self.retries)
            assert made + 1 > requests * self.percent / 100 + self.least * WINDOW

    @rule(pause=st.sampled_from([0.1, 0.9, 2.5, 7.0, 30.0]))
    def time_passes(self, pause: float) -> None:
        self.now += pause


TestBudgetMachine = BudgetMachine.TestCase
