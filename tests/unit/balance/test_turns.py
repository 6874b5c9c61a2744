"""Turns by weight: exact over a round, spread within it, nobody makes up for what it missed."""

from __future__ import annotations

from collections import Counter

import pytest

from posthouse.balance.policy import Choice
from posthouse.balance.pool import Pool
from posthouse.balance.turns import HEAP_ABOVE
from unit.balance.samples import Request, make_pool, pool_spec

MANY = [f"b{number}" for number in range(HEAP_ABOVE + 1)]
ASKS: Choice = Request()


def ask(pool: Pool, times: int) -> list[str]:
    chosen = [pool.select(ASKS, 0.0) for _ in range(times)]
    return [backend.endpoint.host for backend in chosen if backend is not None]


@pytest.mark.parametrize("seed", range(5))
def test_exact_and_spread(seed: int) -> None:
    pool = make_pool(pool_spec("abc", "round_robin", weights=(5, 1, 1)), seed)
    turns = "".join(ask(pool, 70))
    assert all(Counter(turns[at : at + 7]) == {"a": 5, "b": 1, "c": 1} for at in range(0, 70, 7))
    assert "aaaaaa" not in turns


def test_exact_in_a_large_pool() -> None:
    weights = [1 + place % 3 for place in range(len(MANY))]
    pool = make_pool(pool_spec(MANY, "round_robin", weights=weights))
    counts = Counter(ask(pool, 4 * sum(weights)))
    for host, weight in zip(MANY, weights, strict=True):
        assert abs(counts[host] - 4 * weight) <= 1


@pytest.mark.parametrize("hosts", ["abc", MANY])
def test_who_was_away_does_not_make_up_for_it(hosts: list[str]) -> None:
    pool = make_pool(pool_spec(hosts, "round_robin", weights=(2,)))
    pool.backends[0].is_up = False
    assert hosts[0] not in ask(pool, 50 * len(hosts))
    pool.backends[0].is_up = True
    assert ask(pool, 2 * len(hosts)).count(hosts[0]) <= 5, "four are its share of two rounds"


def test_the_few_that_are_left_in_a_large_pool() -> None:
    pool = make_pool(pool_spec(MANY, "round_robin", weights=(3, 1, 1)))
    for backend in pool.backends[3:]:
        backend.is_up = False
    counts = Counter(ask(pool, 2000))
    assert set(counts) == set(MANY[:3])
    assert 1000 < counts[MANY[0]] < 1400


def test_fallbacks_have_turns_of_their_own() -> None:
    for hosts in (list("abcd"), MANY):
        pool = make_pool(pool_spec(hosts, "round_robin", weights=(3,), fallbacks=2))
        assert set(ask(pool, 3 * len(hosts))) == set(hosts[:-2])
        for backend in pool.backends[:-2]:
            backend.is_up = False
        assert set(ask(pool, 8)) == set(hosts[-2:])
