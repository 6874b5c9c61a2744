"""The request of a health check, byte for byte."""

from __future__ import annotations

from typing import Any

import pytest

from posthouse.config.specs import CheckSpec, EndpointSpec, HeaderRule, HealthSpec
from posthouse.proxy.check_head import check_head
from unit.proxy.samples import endpoint, route, rules

OURS = [b"User-Agent: Posthouse health check", b"Accept-Encoding: identity"]
A = endpoint("a")


def sent(
    to: EndpointSpec = A, path: str = "/h", site: str = "", ask: Any = None, **facts: Any
) -> list[bytes]:
    """The lines of the head, without the empty one."""
    health = HealthSpec(CheckSpec(path, **(ask or {})))
    head = check_head(route(to, **facts), to, health, site)
    assert head.endswith(b"\r\nConnection: close\r\n\r\n")
    lines = head[:-4].split(b"\r\n")
    assert lines.pop() == b"Connection: close"
    return lines


def target(path: str, **base: str) -> bytes:
    return sent(endpoint("a", **base), path)[0].split(b" ")[1]


def host(site: str = "", to: EndpointSpec = A, ask: Any = None, **facts: Any) -> bytes:
    line = sent(to, site=site, ask=ask, **facts)[1]
    assert line.startswith(b"Host: ")
    return line[6:]


def test_plain() -> None:
    assert sent() == [b"GET /h HTTP/1.1", b"Host: a", *OURS]


@pytest.mark.parametrize(
    ("path", "base", "expected"),
    [
        ("/h", {}, b"/h"),
        ("/h?a=b", {}, b"/h?a=b"),
        ("/?a", {}, b"/?a"),
        ("/h", {"base_path": "/base"}, b"/base/h"),
        ("/h", {"base_path": "/base/"}, b"/base/h"),
        ("/", {"base_path": "/base"}, b"/base/"),
        ("/h?a=b", {"base_path": "/base", "base_query": "k=v"}, b"/base/h?k=v&a=b"),
        ("/h", {"base_query": "k=v"}, b"/h?k=v"),
        ("/h%2Fx//y", {}, b"/h%2Fx//y"),
    ],
)
def test_the_path_is_joined(path: str, base: dict[str, str], expected: bytes) -> None:
    assert target(path, **base) == expected


def test_methods() -> None:
    assert sent(ask={"method": "HEAD"})[0] == b"HEAD /h HTTP/1.1"
    assert b"Content-Length: 0" not in sent(ask={"method": "OPTIONS"})
    assert sent(ask={"method": "POST"})[-1] == b"Content-Length: 0"


@pytest.mark.parametrize(
    ("facts", "site", "expected"),
    [
        ({}, "site.test", b"a"),
        ({"is_transparent": True}, "site.test", b"site.test"),
        ({"is_transparent": True}, "", b"a"),
        ({"header_upstream": rules("Host {host}")}, "site.test", b"site.test"),
        ({"header_upstream": rules("Host {host}:81")}, "site.test", b"site.test:81"),
        ({"header_upstream": rules("host x.{hostonly}")}, "site.test", b"x.site.test"),
        ({"header_upstream": rules("Host {host}")}, "", b"a"),
        ({"header_upstream": rules("Host {>X-Host}")}, "site.test", b"a"),
        ({"header_upstream": rules("Host other.test")}, "site.test", b"other.test"),
        ({"header_upstream": rules("Host other.test"), "is_transparent": True}, "site.test", b"other.test"),
        ({"header_upstream": rules("Host {>X}"), "is_transparent": True}, "site.test", b"site.test"),
        ({"header_upstream": rules("Host a/b")}, "site.test", b"a"),
    ],
)
def test_host(facts: dict[str, Any], site: str, expected: bytes) -> None:
    assert host(site, **facts) == expected


def test_the_checks_own_host_wins() -> None:
    ask = {"headers": (("host", "probe.test"),)}
    assert host("site.test", ask=ask, is_transparent=True, header_upstream=rules("Host other.test")) == (
        b"probe.test"
    )


def test_rules_that_need_no_request_act() -> None:
    lines = sent(
        header_upstream=rules(
            "X-A const",
            "X-B {remote}",
            "+X-C {>X}",
            "+X-D a{fragment}b",
            "-User-Agent",
            "X-E {host}",
            "Upgrade x",
        ),
        site="site.test",
    )
    assert lines[2:] == [b"Accept-Encoding: identity", b"X-A: const", b"X-D: ab"]


def test_regular_expressions_act_where_they_need_no_request() -> None:
    replaced = (
        HeaderRule("set", "X-A", "one"),
        HeaderRule("replace", "X-A", "t$1", pattern="o(n)"),
        HeaderRule("replace", "Host", "$1.test", pattern="^(.).*$"),
        HeaderRule("replace", "User-Agent", "{remote}", pattern="health"),
    )
    assert sent(header_upstream=replaced, is_transparent=True, site="site.test")[1:] == [
        b"Host: s.test",
        *OURS,
        b"X-A: tne",
    ]


def test_fields_of_the_check_replace_those_of_rules_and_ours() -> None:
    ask = {"headers": (("X-A", "1"), ("user-agent", "me"), ("X-A", "{host} \\{2"))}
    lines = sent(ask=ask, site="site.test", header_upstream=rules("X-A const", "X-B b"))
    assert lines[2:] == [
        b"Accept-Encoding: identity",
        b"X-A: 1",
        b"X-A: {host} \\{2",
        b"X-B: b",
        b"user-agent: me",
    ]


def test_credentials_of_the_to() -> None:
    to = endpoint("a", credentials="user:pw")
    basic = b"Authorization: Basic dXNlcjpwdw=="
    assert sent(to)[-1] == basic
    assert sent(to, ask={"headers": (("Authorization", "other"),)})[-1] == b"Authorization: other"
    assert sent(to, header_upstream=rules("Authorization Bearer"))[-1] == b"Authorization: Bearer"


def test_text_beyond_ascii() -> None:
    assert "X-A: é→".encode() in sent(ask={"headers": (("X-A", "é→"),)})
