"""The options of an `upstream` line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.config.specs import RouteSpec, SiteSpec

ReadSite = Callable[[str], SiteSpec]
ReadRoute = Callable[[str], RouteSpec]
FindMistakes = Callable[[str], list[str]]


@pytest.fixture
def read_route(read_site: ReadSite) -> ReadRoute:
    return lambda text: read_site(f"proxy / a {{\n{text}\n}}").routes[0]


def test_nothing_said(read_route: ReadRoute) -> None:
    endpoint = read_route("upstream b").pool.endpoints[-1]
    assert (endpoint.weight, endpoint.max_conns, endpoint.role) == (1, None, "primary")


@pytest.mark.parametrize(
    ("options", "weight", "max_conns", "role"),
    [
        ("weight=1", 1, None, "primary"),
        ("weight=1000 max_conns=1", 1000, 1, "primary"),
        ("role=fallback max_conns=off weight=7", 7, 0, "fallback"),
        ("role=primary", 1, None, "primary"),
    ],
)
def test_options(read_route: ReadRoute, options: str, weight: int, max_conns: int | None, role: str) -> None:
    first, *ours = read_route(f"upstream b:8000-8002 {options}").pool.endpoints
    assert (first.weight, first.max_conns) == (1, None), "the TO of the first line has none"
    assert [endpoint.port for endpoint in ours] == [8000, 8001, 8002]
    for endpoint in ours:
        assert (endpoint.weight, endpoint.max_conns, endpoint.role) == (weight, max_conns, role)


def test_a_property_may_follow_on_the_line(read_route: ReadRoute) -> None:
    pool = read_route("upstream b weight=3 upstream c max_conns 9 policy first").pool
    assert [endpoint.weight for endpoint in pool.endpoints[-2:]] == [3, 1]
    assert (pool.max_conns, pool.policy.name) == (9, "first")


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        ("weight=0", "expected a weight from 1 to 1000, found `weight=0`"),
        ("weight=1001", "expected a weight from 1 to 1000, found `weight=1001`"),
        ("weight=", "expected a weight from 1 to 1000, found `weight=`"),
        ("weight=٣", "expected a weight from 1 to 1000, found `weight=٣`"),
        ("weight=+3", "expected a weight from 1 to 1000, found `weight=+3`"),
        ("max_conns=0", "expected `max_conns=` with 1 or more, or `off`, found `max_conns=0`"),
        ("max_conns=-1", "expected `max_conns=` with 1 or more, or `off`, found `max_conns=-1`"),
        ("role=backup", "expected `role=fallback` (or `role=primary`), found `role=backup`"),
        ("wait=3", "unknown option `wait=3` of `upstream`"),
        ("c", "too many arguments for `upstream`"),
        ("weight=1 weight=2", "`weight=` is there twice"),
    ],
)
def test_mistakes(find_mistakes: FindMistakes, options: str, mistake: str) -> None:
    [found] = find_mistakes(f"proxy / a {{\nupstream b {options}\n}}")
    place, _, message = found.partition(" ")
    assert message == mistake
    assert place == ("2:21" if "twice" in mistake else "2:12")


def test_not_on_the_line_of_proxy(find_mistakes: FindMistakes) -> None:
    [found] = find_mistakes("proxy / a weight=3")
    assert found.startswith("1:11 ")


@pytest.mark.parametrize(
    ("line", "weight"),
    [
        ("srv://_http._tcp.web.test max_conns=3 role=fallback", 1),
        ("dns://web.test:80 role=fallback weight=5 max_conns=3", 5),
        ("file:backends.json max_conns=3 role=fallback", 1),
    ],
)
def test_what_is_said_of_backends_that_are_found(read_route: ReadRoute, line: str, weight: int) -> None:
    pool = read_route(f"upstream {line}").pool
    (source,) = pool.sources
    assert (source.member.max_conns, source.member.role, source.member.weight) == (3, "fallback", weight)
    assert (pool.endpoints[0].max_conns, pool.endpoints[0].role) == (None, "primary")


@pytest.mark.parametrize(
    ("to", "theirs"), [("srv://_http._tcp.web.test", "the SRV records"), ("file:list", "the list")]
)
def test_weights_come_from_where_the_backends_come_from(
    find_mistakes: FindMistakes, to: str, theirs: str
) -> None:
    (mistake,) = find_mistakes(f"proxy / a {{\nupstream {to} weight=3\n}}")
    assert mistake.endswith(f"the weights come from {theirs}, found `weight=3`")
