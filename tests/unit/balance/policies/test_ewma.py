"""`policy ewma`."""

from __future__ import annotations

from collections import Counter

import pytest

from posthouse.balance.peak_ewma import FAILED_SECONDS
from posthouse.balance.policies.ewma import Ewma
from posthouse.balance.pool import Pool
from posthouse.config.specs import PassiveSpec
from posthouse.testing import check_policy
from unit.balance.samples import Request, make_pool, pool_spec


@pytest.mark.parametrize("args", [(), ("1m",)])
def test_keeps_the_promises(args: tuple[str, ...]) -> None:
    check_policy(lambda setting: Ewma(args, setting), "even")


def ask(pool: Pool, times: int, now: float) -> Counter[str]:
    chosen = [pool.select(Request(), now) for _ in range(times)]
    return Counter(backend.endpoint.host for backend in chosen if backend is not None)


def test_the_quicker_of_two() -> None:
    pool = make_pool(pool_spec("ab", "ewma"))
    a, b = pool.backends
    pool.observe(a, 0.2, 0.0)
    pool.observe(b, 0.1, 0.0)
    assert ask(pool, 20, 0.0) == {"b": 20}
    pool.acquire(b)
    pool.acquire(b)
    assert ask(pool, 20, 0.0) == {"a": 20}, "0.1 × 3 is more than 0.2 × 1"


def test_among_many_two_are_drawn() -> None:
    pool = make_pool(pool_spec("abcd", "ewma"))
    for place, backend in enumerate(pool.backends):
        pool.observe(backend, 1.0 + place, 0.0)
    counts = ask(pool, 600, 0.0)
    assert counts["a"] > counts["b"] > counts["c"] > counts["d"] == 0


def test_who_has_never_answered_is_tried_by_one_at_a_time() -> None:
    pool = make_pool(pool_spec("ab", "ewma"))
    a, b = pool.backends
    pool.observe(a, 0.001, 0.0)
    assert ask(pool, 5, 0.0) == {"b": 5}
    pool.acquire(b)
    for _ in range(50):
        pool.acquire(a)
    assert ask(pool, 20, 0.0) == {"a": 20}


def test_who_is_shunned_is_asked_again_when_it_is_long_ago() -> None:
    pool = make_pool(pool_spec("ab", "ewma", "1s"))
    a, b = pool.backends
    pool.observe(a, 5.0, 0.0)
    pool.observe(b, 0.1, 0.0)
    assert ask(pool, 10, 0.0) == {"b": 10}
    pool.observe(b, 0.1, 6.0)
    assert ask(pool, 10, 6.0) == {"a": 10}


def test_who_refuses_at_once_is_not_quick() -> None:
    pool = make_pool(pool_spec("ab", "ewma", passive=PassiveSpec()))
    a, b = pool.backends
    pool.observe(a, 0.001, 0.0)
    pool.observe(b, FAILED_SECONDS / 2, 0.0)
    pool.fail(a, 0.0)
    assert ask(pool, 10, 0.0) == {"b": 10}


def test_only_this_policy_observes() -> None:
    assert make_pool(pool_spec("ab", "ewma")).observes
    other = make_pool(pool_spec("ab", "random"))
    other.fail(other.backends[0], 0.0)
    assert not other.observes and not other.backends[0].latency.is_known


def test_weights_share_the_load() -> None:
    pool = make_pool(pool_spec("ab", "ewma", weights=(1, 3)))
    for backend in pool.backends:
        pool.observe(backend, 0.1, 0.0)
    for _ in range(40):
        chosen = pool.select(Request(), 0.0)
        assert chosen is not None
        pool.acquire(chosen)
    assert [backend.in_flight for backend in pool.backends] == [10, 30]
