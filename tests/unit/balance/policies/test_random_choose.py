"""`policy random_choose`."""

from __future__ import annotations

import pytest

from posthouse.balance.policies.random_choose import RandomChoose
from posthouse.testing import check_policy
from unit.balance.samples import Request, make_pool, pool_spec


@pytest.mark.parametrize("args", [(), ("2",), ("3",), ("5",)])
def test_keeps_the_promises(args: tuple[str, ...]) -> None:
    check_policy(lambda setting: RandomChoose(args, setting), "even")


def test_of_all_it_is_the_least_loaded() -> None:
    pool = make_pool(pool_spec("abcd", "random_choose", "4"))
    for backend, load in zip(pool.backends, (3, 1, 2, 4), strict=True):
        backend.in_flight = load
    assert {pool.select(Request(), 0.0) for _ in range(20)} == {pool.backends[1]}


def test_the_most_loaded_of_many_is_never_taken() -> None:
    """Of two different ones it is always the worse."""
    pool = make_pool(pool_spec("abcdefgh", "random_choose"))
    pool.backends[3].in_flight = 1
    assert pool.backends[3] not in {pool.select(Request(), 0.0) for _ in range(500)}


def test_load_goes_by_weight() -> None:
    pool = make_pool(pool_spec("abc", "random_choose", weights=(1, 3, 6)))
    for _ in range(400):
        backend = pool.select(Request(), 0.0)
        assert backend is not None
        pool.acquire(backend)
    for backend, fair in zip(pool.backends, (40, 120, 240), strict=True):
        assert 0.8 * fair <= backend.in_flight <= 1.2 * fair
