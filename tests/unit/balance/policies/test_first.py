"""`policy first`."""

from __future__ import annotations

from posthouse.balance.policies.first import First
from posthouse.testing import check_policy
from unit.balance.samples import Request, make_pool, pool_spec


def test_keeps_the_promises() -> None:
    check_policy(lambda setting: First((), setting), "ordered")


def test_order_of_the_file() -> None:
    pool = make_pool(pool_spec("abc", "first"))
    for backend in pool.backends:
        assert pool.select(Request(), 0.0) is backend
        backend.is_up = False
    pool.backends[0].is_up = True
    assert pool.select(Request(), 0.0) is pool.backends[0]
