"""`policy uri_hash`."""

from __future__ import annotations

from posthouse.balance.policies.uri_hash import UriHash
from posthouse.testing import check_policy
from unit.balance.samples import Request, make_pool, pool_spec


def test_keeps_the_promises() -> None:
    check_policy(lambda setting: UriHash((), setting), "hash")


def test_the_raw_target_counts_with_its_query() -> None:
    pool = make_pool(pool_spec("abcdefgh", "uri_hash"))
    home = pool.select(Request(target=b"/a"), 0.0)
    assert all(pool.select(Request(f"192.0.2.{n}", b"/a"), 0.0) is home for n in range(50))
    assert len({pool.select(Request(target=b"/a?%d" % n), 0.0) for n in range(100)}) == 8
