"""`policy client_ip_hash`."""

from __future__ import annotations

from posthouse.balance.policies.client_ip_hash import ClientIpHash
from posthouse.testing import check_policy
from unit.balance.samples import Request, make_pool, pool_spec


def test_keeps_the_promises() -> None:
    check_policy(lambda setting: ClientIpHash((), setting), "hash")


def test_the_client_counts_whoever_the_peer_is() -> None:
    pool = make_pool(pool_spec("abcdefgh", "client_ip_hash"))
    homes = set()
    for number in range(60):
        request, same = Request("192.0.2.7"), Request(f"198.51.100.{number}")
        request.client_ip = same.client_ip = f"203.0.113.{number}"
        home = pool.select(request, 0.0)
        assert pool.select(same, 0.0) is home
        homes.add(home)
    assert len(homes) == 8
