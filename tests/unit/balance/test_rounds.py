"""Rounds: several workers take numbers from one row."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.balance.pool import Pool, build_pool
from posthouse.balance.rounds import LONGEST_ROUND, LOOK_THROUGH, MOST_TAKEN, can_go_round
from posthouse.config.specs import PassiveSpec, PoolSpec
from unit.balance.samples import Request, make_backends, pool_spec, setting

ASKS = Request()


def numbers(begin: int = 5) -> Callable[[], int]:
    return itertools.count(begin).__next__


def workers(spec: PoolSpec, count: int, begin: int = 5) -> list[Pool]:
    take = numbers(begin)
    pools = [build_pool(spec, random.Random(number), None, None, 0.0, take) for number in range(count)]
    for pool in pools:
        pool.start()
    return pools


def ask(pool: Pool, now: float = 0.0) -> str:
    backend = pool.select(ASKS, now)
    assert backend is not None
    return backend.endpoint.host


def hosts(count: int) -> list[str]:
    return [f"b{number}" for number in range(count)]


def spread(counts: Counter[str], names: list[str]) -> int:
    return max(counts[name] for name in names) - min(counts[name] for name in names)


@given(
    count=st.integers(2, 9),
    many=st.integers(1, 4),
    begin=st.integers(0, 1 << 40),
    order=st.randoms(use_true_random=False),
    down=st.sets(st.integers(0, 8), max_size=7),
    times=st.integers(1, 100),
)
def test_no_two_usable_ones_differ_by_more_than_one(
    count: int, many: int, begin: int, order: random.Random, down: set[int], times: int
) -> None:
    pools = workers(pool_spec(hosts(count), "round_robin"), many, begin)
    left = [place for place in range(count) if place not in down] or [0]
    for pool in pools:
        for place, backend in enumerate(pool.backends):
            backend.is_up = place in left
    counts = Counter(ask(order.choice(pools)) for _ in range(times))
    names = [f"b{place}" for place in left]
    assert sum(counts[name] for name in names) == times
    assert spread(counts, names) <= 1


@given(
    weights=st.lists(st.sampled_from([1, 1, 2, 3, 5, 10, 100]), min_size=2, max_size=9),
    many=st.integers(1, 4),
    order=st.randoms(use_true_random=False),
    rounds=st.integers(1, 3),
)
def test_parts_by_weight_are_exact_over_a_round(
    weights: list[int], many: int, order: random.Random, rounds: int
) -> None:
    pools = workers(pool_spec(hosts(len(weights)), "round_robin", weights=weights), many)
    counts = Counter(ask(order.choice(pools)) for _ in range(rounds * sum(weights)))
    assert counts == {f"b{place}": rounds * weight for place, weight in enumerate(weights)}


@given(weights=st.lists(st.integers(1, 20), min_size=2, max_size=9), times=st.integers(1, 200))
def test_places_are_evenly_spaced(weights: list[int], times: int) -> None:
    """Twice as far from its part as `turns` are, at most: begin and end are anywhere."""
    (pool,) = workers(pool_spec(hosts(len(weights)), "round_robin", weights=weights), 1)
    counts = Counter(ask(pool) for _ in range(times))
    for place, weight in enumerate(weights):
        part = weight / sum(weights)
        assert abs(counts[f"b{place}"] - part * times) <= 2 * (1 + part * (len(weights) - 2)) + 1e-9


def test_a_retry_goes_to_another_and_favours_nobody() -> None:
    """The first always fails, and nothing is remembered of it: each request for it ends at one of the others."""
    pools = workers(pool_spec("abc", "round_robin"), 2)
    served: Counter[str] = Counter()
    for number in range(300):
        pool, tried = pools[number % 2], []
        backend = pool.select(ASKS, 0.0)
        while backend is pool.backends[0]:
            tried.append(backend)
            backend = pool.select(ASKS, 0.0, tried)
        assert backend is not None
        served[backend.endpoint.host] += 1
    assert spread(served, ["b", "c"]) <= 1


@pytest.mark.parametrize("count", [LOOK_THROUGH, LOOK_THROUGH + 2 * MOST_TAKEN])
@pytest.mark.parametrize("down", [MOST_TAKEN - 1, MOST_TAKEN + 5])
def test_many_in_a_row_that_can_not_be_used(count: int, down: int) -> None:
    """Up to a number exact; beyond it each worker takes turns of its own, and everybody gets some all the same."""
    pools = workers(pool_spec(hosts(count), "round_robin"), 2)
    for pool in pools:
        for backend in pool.backends[:down]:
            backend.is_up = False
    counts = Counter(ask(pools[number % 2]) for number in range(20 * (count - down)))
    names = hosts(count)[down:]
    assert set(counts) == set(names)
    assert spread(counts, names) <= (1 if down < MOST_TAKEN else 2 + 2 * 2)


def test_fallbacks_have_rounds_of_their_own() -> None:
    pools = workers(pool_spec("abcd", "round_robin", fallbacks=2), 2)
    counts = Counter(ask(pools[number % 2]) for number in range(21))
    assert set(counts) == {"a", "b"} and spread(counts, ["a", "b"]) == 1
    for pool in pools:
        for backend in pool.backends[:2]:
            backend.is_up = False
    counts = Counter(ask(pools[number % 2]) for number in range(21))
    assert set(counts) == {"c", "d"} and spread(counts, ["c", "d"]) == 1


def test_panic_too_is_even() -> None:
    spec = pool_spec("abc", "round_robin", passive=PassiveSpec(fail_timeout=100.0, panic=True))
    pools = workers(spec, 2)
    for pool in pools:
        for backend in pool.backends:
            backend.fail(0.0)
    counts = Counter(ask(pools[number % 2], 1.0) for number in range(31))
    assert spread(counts, ["a", "b", "c"]) == 1


def test_one_in_its_slow_start_takes_a_part_of_its_places() -> None:
    pools = workers(pool_spec("abc", "round_robin", slow_start=100.0), 2)
    for pool in pools:
        pool.select(ASKS, 0.0)
        pool.backends[0].cool()
        pool.select(ASKS, 0.0)
    counts = Counter(ask(pools[number % 2], 50.0) for number in range(500))
    assert 85 <= counts["a"] <= 115, "half of what each of the others gets"
    assert spread(counts, ["b", "c"]) <= 30
    counts = Counter(ask(pools[number % 2], 101.0) for number in range(300))
    assert spread(counts, ["a", "b", "c"]) <= 1, "all of it afterwards"


@pytest.mark.parametrize(
    ("weights", "can"),
    [
        ((LONGEST_ROUND - 1, 1), True),
        ((LONGEST_ROUND, 1), False),
        ((2 * LONGEST_ROUND - 2, 2), True),
        ((1000,) * 9, True),
    ],
)
def test_a_round_has_a_length(weights: tuple[int, ...], can: bool) -> None:
    backends = make_backends(len(weights))
    assert can_go_round(setting(backends, weights=weights)) is can


def test_whose_round_would_be_too_long_takes_turns_alone() -> None:
    def take() -> int:
        raise AssertionError("no number is taken")

    spec = pool_spec("abcdefg", "round_robin", weights=(997, 991, 983, 977, 971, 967, 953))
    pool = build_pool(spec, random.Random(1), None, None, 0.0, take)
    pool.start()
    assert {ask(pool) for _ in range(50)} == set("abcdefg")
