"""Priorities: the lowest number that has somebody usable."""

from __future__ import annotations

from dataclasses import replace

import pytest

from posthouse.balance.pool import Pool
from posthouse.balance.priority import first_group, priorities_of
from unit.balance.samples import Request, make_backends, make_pool, pool_spec


def pool_of(policy: str = "round_robin", **priorities: int) -> Pool:
    spec = pool_spec(tuple(priorities), policy)
    endpoints = [replace(one, priority=priorities[one.host]) for one in spec.endpoints]
    return make_pool(replace(spec, endpoints=tuple(endpoints)))


def chosen(pool: Pool, tried: tuple[str, ...] = (), times: int = 60) -> set[str]:
    """The hosts that requests go to, after attempts at some."""
    past = [backend for name in tried for backend in pool.backends if backend.endpoint.host == name]
    hosts = set()
    for number in range(times):
        backend = pool.select(Request(peer=f"192.0.2.{number}", target=b"/%d" % number), 0.0, past)
        assert backend is not None
        hosts.add(backend.endpoint.host)
    return hosts


def down(pool: Pool, *hosts: str) -> None:
    for backend in pool.backends:
        backend.is_up = backend.endpoint.host not in hosts


def test_equal_priorities_cost_nothing() -> None:
    spec = pool_spec(("a", "b"))
    assert priorities_of(make_backends(2), spec) == {}


def test_the_order_stays() -> None:
    backends = make_backends(4)
    priorities = dict(zip(backends, (2, 1, 2, 1), strict=True))
    assert first_group(backends, priorities) == ((backends[1], backends[3]), (backends[0], backends[2]))
    assert first_group((), priorities) == ((), ())


@pytest.mark.parametrize("policy", ["random", "round_robin", "least_conn", "uri_hash", "ip_hash"])
def test_the_first_group_that_has_a_usable_member(policy: str) -> None:
    pool = pool_of(policy, a=20, b=10, c=10, d=20, e=30)
    assert chosen(pool) == {"b", "c"}
    down(pool, "b")
    assert chosen(pool) == {"c"}
    down(pool, "b", "c")
    assert chosen(pool) == {"a", "d"}
    down(pool, "a", "b", "c", "d")
    assert chosen(pool) == {"e"}
    down(pool)
    assert chosen(pool) == {"b", "c"}, "back at once"


def test_a_table_over_all_backends_keeps_to_the_group() -> None:
    pool = pool_of("uri_hash", **{f"h{number}": number % 2 for number in range(80)})
    assert all(int(host[1:]) % 2 == 0 for host in chosen(pool, times=500))


def test_a_retry_goes_on_to_the_next_group() -> None:
    pool = pool_of(a=1, b=1, c=2)
    backends = {backend.endpoint.host: backend for backend in pool.backends}
    assert chosen(pool, ("a",)) == {"b"}
    assert pool.has_untried(0.0, [backends["a"], backends["b"]])
    assert chosen(pool, ("a", "b")) == {"c"}
    assert not pool.has_untried(0.0, list(backends.values()))
    assert chosen(pool, ("a", "b", "c")) == {"a", "b"}
