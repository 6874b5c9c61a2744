"""Bounded load: the paper's bound, exactly, whatever the way from key to backend."""

from __future__ import annotations

from math import ceil

import pytest

from posthouse.balance.bounded_load import Bound
from posthouse.balance.tally import COUNT_ABOVE
from posthouse.testing.check_policy import SampleChoice
from unit.balance.samples import make_backends, make_pool, pool_spec, setting

SIZES = (2, 5, 32, 40, COUNT_ABOVE + 1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("percent", [100, 125, 300])
def test_one_key_for_all_never_passes_the_bound(size: int, percent: int) -> None:
    pool = make_pool(pool_spec([f"b{n}" for n in range(size)], "uri_hash", hash_balance=percent))
    same = SampleChoice(1)
    home = pool.select(same, 0.0)
    for number in range(3 * size):
        backend = pool.select(same, 0.0)
        assert backend is not None
        pool.acquire(backend)
        most = ceil(percent / 100 * (number + 1) / size)
        assert backend.in_flight <= most
    assert home is not None and home.in_flight == max(one.in_flight for one in pool.backends)
    for backend in pool.backends:
        while backend.in_flight:
            pool.release(backend)
    assert pool.select(same, 0.0) is home, "and it comes back"


@pytest.mark.parametrize("size", SIZES)
def test_keys_stay_while_nobody_has_too_much(size: int) -> None:
    hosts = [f"b{n}" for n in range(size)]
    plain = make_pool(pool_spec(hosts, "uri_hash"))
    bounded = make_pool(pool_spec(hosts, "uri_hash", hash_balance=125))
    for number in range(200):
        one, other = plain.select(SampleChoice(number), 0.0), bounded.select(SampleChoice(number), 0.0)
        assert one is not None and other is not None and one.name == other.name


def test_by_weight() -> None:
    pool = make_pool(pool_spec("abc", "uri_hash", weights=(1, 1, 8), hash_balance=100))
    for _ in range(30):
        backend = pool.select(SampleChoice(3), 0.0)
        assert backend is not None
        pool.acquire(backend)
    assert [backend.in_flight for backend in pool.backends] == [3, 3, 24]


@pytest.mark.parametrize("size", [3, COUNT_ABOVE + 1])
def test_what_cannot_be_used_does_not_count(size: int) -> None:
    pool = make_pool(pool_spec([f"b{n}" for n in range(size)], "uri_hash", hash_balance=100))
    for _ in range(10):
        pool.acquire(pool.backends[0])
    pool.backends[0].is_up = False
    for _ in range(size - 1):
        backend = pool.select(SampleChoice(3), 0.0)
        assert backend is not None
        pool.acquire(backend)
    assert {backend.in_flight for backend in pool.backends[1:]} == {1}


def test_counts_itself_where_nobody_counts_for_it() -> None:
    backends = make_backends(COUNT_ABOVE + 1)
    bound = Bound(setting(backends, hash_balance=2.0))
    backends[0].in_flight = 9
    assert bound.tally is not None and not bound.tally.is_live
    assert bound.per_share(backends) == 2.0 * 10 / len(backends)
