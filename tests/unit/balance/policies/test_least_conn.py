"""`policy least_conn`."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.balance.policies.least_conn import LeastConn
from posthouse.testing import check_policy
from unit.balance.samples import Request, make_backends, make_pool, pool_spec, setting


def test_keeps_the_promises() -> None:
    check_policy(lambda setting: LeastConn((), setting), "even")


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_nobody_has_fewer(loads: list[int]) -> None:
    backends = make_backends(len(loads))
    for backend, load in zip(backends, loads, strict=True):
        backend.in_flight = load
    policy = LeastConn((), setting(backends, len(loads)))
    for _ in range(5):
        assert policy.select(backends, Request(), (), 0.0).in_flight == min(loads)


@pytest.mark.parametrize("size", [4, 20])
@pytest.mark.parametrize("least", [0, 2])
def test_equals_are_as_likely(size: int, least: int) -> None:
    pool = make_pool(pool_spec([f"b{n}" for n in range(size)], "least_conn"))
    for number, backend in enumerate(pool.backends):
        backend.in_flight = least if number < 3 else 5
    counts = Counter(pool.select(Request(), 0.0) for _ in range(3000))
    assert set(counts) == set(pool.backends[:3])
    assert all(850 < count < 1150 for count in counts.values())


def test_fills_evenly() -> None:
    pool = make_pool(pool_spec("abc", "least_conn"))
    for _ in range(30):
        backend = pool.select(Request(), 0.0)
        assert backend is not None
        pool.acquire(backend)
    assert [backend.in_flight for backend in pool.backends] == [10, 10, 10]
