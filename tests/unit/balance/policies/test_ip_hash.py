"""`policy ip_hash`."""

from __future__ import annotations

from posthouse.balance.policies.ip_hash import IpHash
from posthouse.testing import check_policy
from unit.balance.samples import Request, make_pool, pool_spec


def test_keeps_the_promises() -> None:
    check_policy(lambda setting: IpHash((), setting), "hash")


def test_only_the_peer_counts() -> None:
    pool = make_pool(pool_spec("abcdefgh", "ip_hash"))
    home = pool.select(Request("192.0.2.7"), 0.0)
    for number in range(50):
        request = Request("192.0.2.7", b"/%d" % number, x_forwarded_for=f"198.51.100.{number}")
        assert pool.select(request, 0.0) is home
    assert len({pool.select(Request(f"192.0.2.{n}"), 0.0) for n in range(100)}) == 8
