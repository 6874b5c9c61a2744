"""The two contracts of a policy, as far as a type checker cannot prove them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from posthouse.balance.policies import POLICIES
from posthouse.balance.policy import Choice, Policy, tiers_of
from posthouse.balance.pool import Pool
from posthouse.testing.check_policy import SampleChoice
from unit.balance.samples import Request, make_backends, make_pool, pool_spec


def test_choices_of_the_tests_are_choices() -> None:
    choices: list[Choice] = [SampleChoice(1), Request()]
    assert [choice.peer for choice in choices] == ["10.0.0.1", "192.0.2.1"]


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_says_how_it_is_written(name: str) -> None:
    policy: type[Policy] = POLICIES[name]
    least, most = policy.arguments
    words = policy.usage.split()
    assert words[0] == name
    assert least == len([word for word in words[1:] if not word.startswith("[")])
    assert most == len(words) - 1


# --- tiers -----------------------------------------------------------------------------------------------------


def test_one_tier_costs_nothing() -> None:
    assert tiers_of(pool_spec("ab"), make_backends(2)) == {}


def test_the_role_comes_before_the_priority() -> None:
    spec = pool_spec("abcd", fallbacks=2)
    endpoints = [
        replace(one, priority=number) for one, number in zip(spec.endpoints, (7, 3, 3, 1), strict=True)
    ]
    backends = make_backends(4)
    tiers = tiers_of(replace(spec, endpoints=tuple(endpoints)), backends)
    assert [tiers[backend] for backend in backends] == [1, 0, 3, 2]


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


@pytest.mark.parametrize(
    "policy", ["random", "round_robin", "least_conn", "uri_hash", "ip_hash", "random_choose", "ewma"]
)
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
