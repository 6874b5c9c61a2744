"""The table of policies: names and arguments, and what a person is told."""

from __future__ import annotations

import pytest

from posthouse.balance.policies import POLICIES, find_policy
from posthouse.config.specs import PolicySpec
from posthouse.errors import ConfigError, Mistake, Place
from unit.balance.samples import make_backends, make_pool, pool_spec, setting

PLACE = Place("Caddyfile", 3, 9)
NEEDS_NAME = ("header", "query", "cookie")


def refused(name: str, *args: str) -> Mistake:
    with pytest.raises(ConfigError) as caught:
        find_policy(PolicySpec(name, args, PLACE), setting(make_backends(3)))
    (mistake,) = caught.value.mistakes
    assert mistake.place == PLACE
    assert mistake.width == len(name)
    return mistake


@pytest.mark.parametrize("name", POLICIES)
def test_found_by_name(name: str) -> None:
    args = ("X-Key",) if name in NEEDS_NAME else ()
    policy = find_policy(PolicySpec(name, args), setting(make_backends(3)))
    assert isinstance(policy, POLICIES[name])


@pytest.mark.parametrize(
    ("written", "meant"),
    [("roundrobin", "round_robin"), ("Random", "random"), ("least_con", "least_conn"), ("iphash", "ip_hash")],
)
def test_nearest_name_is_offered(written: str, meant: str) -> None:
    mistake = refused(written)
    assert mistake.message == f"unknown policy `{written}`"
    assert mistake.hint == f"did you mean `{meant}`?"


def test_known_names_are_listed_when_none_is_near() -> None:
    assert refused("xyzzy").hint == "known policies: " + ", ".join(POLICIES)


@pytest.mark.parametrize("name", NEEDS_NAME)
def test_missing_argument(name: str) -> None:
    mistake = refused(name)
    assert mistake.message == f"`policy {name}` needs an argument"
    assert mistake.hint == f"write `policy {name} NAME`"


@pytest.mark.parametrize("name", [name for name, one in POLICIES.items() if one.arguments == (0, 0)])
def test_superfluous_argument(name: str) -> None:
    mistake = refused(name, "extra")
    assert mistake.message == f"too many arguments for `policy {name}`: 'extra'"
    assert mistake.hint == f"write `policy {name}`"


@pytest.mark.parametrize("name", NEEDS_NAME)
def test_one_argument_too_many(name: str) -> None:
    assert "too many" in refused(name, "A", "B").message


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        *[("header", "X Key"), ("header", "Ключ"), ("header", ""), ("cookie", "a;b"), ("query", "")],
        *[("random_choose", "1"), ("random_choose", "65"), ("random_choose", "٣"), ("random_choose", "")],
        *[("ewma", "0s"), ("ewma", "-1s"), ("ewma", "10"), ("ewma", "")],
        *[
            ("sticky", "a b"),
            ("sticky", "ttl=0s"),
            ("sticky", "ttl="),
            ("sticky", "path=x"),
            ("sticky", "path=/;"),
        ],
        *[("sticky", "samesite=lux"), ("sticky", "secret="), ("sticky", "other=1"), ("sticky", "ttl=500ms")],
    ],
)
def test_argument_that_cannot_be_one(name: str, argument: str) -> None:
    assert refused(name, argument).message.startswith(f"`policy {name}`: ")


def test_refused_also_with_one_host() -> None:
    with pytest.raises(ConfigError, match="needs an argument"):
        make_pool(pool_spec(["a"], "header"))


@pytest.mark.parametrize("name", POLICIES)
def test_hash_balance_is_for_those_that_hash(name: str) -> None:
    args = ("k",) if name in NEEDS_NAME else ()
    spec, balanced = PolicySpec(name, args, PLACE), setting(make_backends(3), hash_balance=1.25)
    if name in (*NEEDS_NAME, "ip_hash", "uri_hash", "client_ip_hash"):
        find_policy(spec, balanced)
        return
    with pytest.raises(ConfigError) as caught:
        find_policy(spec, balanced)
    (mistake,) = caught.value.mistakes
    assert (mistake.place, mistake.message) == (
        PLACE,
        f"`hash_balance` does nothing with `policy {name}`: it does not hash",
    )
    assert "uri_hash" in mistake.hint


@pytest.mark.parametrize(("name", "arg"), [("ewma", "fast"), ("sticky", "ttl=fast")])
def test_a_duration_that_is_none_is_shown(name: str, arg: str) -> None:
    assert ", found 'fast': it is not a number with a unit" in refused(name, arg).message


def test_options_of_sticky_come_once_and_after_the_name() -> None:
    assert "`ttl=` is there twice" in refused("sticky", "ttl=1s", "ttl=2s").message
    assert "found 'name'" in refused("sticky", "ttl=1s", "name").message
    assert find_policy(
        PolicySpec("sticky", ("n", "ttl=1h", "path=/a", "samesite=NONE", "secret=f")), setting([])
    )
