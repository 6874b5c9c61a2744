"""Turns by weight: exact over a round, spread within it, nobody makes up for what it missed."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.balance.policy import Choice
from posthouse.balance.pool import Pool, build_pool
from posthouse.balance.turns import HEAP_ABOVE, begins_at
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


SECRET = b"k" * 32


def worker(weights: list[int], number: int, workers: int) -> Pool:
    """Its pool, as it starts."""
    spec = pool_spec([f"b{place}" for place in range(len(weights))], "round_robin", weights=weights)
    begin = begins_at(spec.name, SECRET, number, workers)
    return build_pool(spec, random.Random(number), None, None, begin)


@given(
    weights=st.lists(st.sampled_from([1, 1, 2, 3, 5, 10, 100, 1000]), min_size=2, max_size=9)
    | st.integers(2, 9).map(lambda count: [1] * count),
    workers=st.integers(1, 4),
    order=st.randoms(use_true_random=False),
    turns=st.integers(1, 200),
)
def test_how_far_a_backend_may_be_from_its_share(
    weights: list[int], workers: int, order: random.Random, turns: int
) -> None:
    """Whatever the workers' parts of all requests are."""
    pools = [worker(weights, number, workers) for number in range(workers)]
    chosen = Counter(ask(order.choice(pools), 1)[0] for _ in range(turns))
    for place, weight in enumerate(weights):
        part = weight / sum(weights)
        bound = 1 - part if len(set(weights)) == 1 else 1 + part * (len(weights) - 2)
        assert abs(chosen[f"b{place}"] - part * turns) <= workers * bound + 1e-9


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_workers_begin_with_different_backends(workers: int) -> None:
    for count in (workers, workers + 1, 2 * workers):
        first = [ask(worker([1] * count, number, workers), 1)[0] for number in range(workers)]
        assert len(set(first)) == workers


def test_where_the_first_begins_is_by_chance_and_by_pool() -> None:
    begins = [begins_at(f"pool {number}", SECRET, 0, 1) for number in range(400)]
    assert all(0 <= begin < 1 for begin in begins)
    assert all(60 < count < 140 for count in Counter(int(4 * begin) for begin in begins).values())
    assert begins_at("pool 0", b"other", 0, 1) != begins[0] == begins_at("pool 0", SECRET, 0, 1)
    assert begins_at("pool 0", SECRET, 1, 2) == pytest.approx((begins[0] + 0.5) % 1)
