"""`policy header NAME`."""

from __future__ import annotations

from posthouse.balance.policies.header import Header
from posthouse.testing import check_policy
from unit.balance.samples import Request, make_pool, pool_spec


def test_keeps_the_promises() -> None:
    check_policy(lambda setting: Header(("X-Key",), setting), "hash")


def test_name_in_any_case() -> None:
    pools = [make_pool(pool_spec("abcdefgh", "header", name)) for name in ("X-My-Header", "x-my-header")]
    for number in range(20):
        request = Request(x_my_header=str(number))
        one, two = (pool.select(request, 0.0) for pool in pools)
        assert repr(one) == repr(two)


def test_host_works() -> None:
    pool = make_pool(pool_spec("abcdefgh", "header", "Host"))
    home = pool.select(Request(host="example.org"), 0.0)
    assert all(pool.select(Request(host="example.org"), 0.0) is home for _ in range(20))


def test_absent_or_empty_is_round_robin_of_this_pool_alone() -> None:
    pool = make_pool(pool_spec("abc", "header", "X-Key"))
    other = make_pool(pool_spec("abc", "header", "X-Key"))
    for request in (Request(), Request(x_key="")):
        chosen = []
        for _ in range(3):
            chosen.append(pool.select(request, 0.0))
            other.select(request, 0.0)
        assert set(chosen) == set(pool.backends)


def test_with_one_host_the_field_may_be_absent() -> None:
    pool = make_pool(pool_spec("a", "header", "X-Key"))
    assert pool.select(Request(), 0.0) is pool.backends[0]
