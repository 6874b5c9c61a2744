"""`policy random`."""

from __future__ import annotations

from posthouse.balance.policies.random_pick import RandomPick
from posthouse.testing import check_policy
from unit.balance.samples import Request, make_pool, pool_spec


def test_keeps_the_promises() -> None:
    check_policy(lambda setting: RandomPick((), setting), "even")


def test_differs_by_seed() -> None:
    answers = []
    for seed in (1, 2):
        pool = make_pool(pool_spec("abcdefgh", "random"), seed)
        answers.append([pool.select(Request(), 0.0) for _ in range(20)])
    assert [str(b) for b in answers[0]] != [str(b) for b in answers[1]]
