"""From a site's text to what its backends are asked."""

from __future__ import annotations

import random

import pytest

from posthouse.adapt import adapt
from posthouse.balance.pool import build_pool
from posthouse.config.specs import AddressSpec
from posthouse.probe.check import Check
from posthouse.protocol.target import Targets
from posthouse.proxy.route import Route
from posthouse.server.checks import at_port, checks_of, site_host


def checks(block: str, to: str = "a b:81", address: str = "http://site.test:2015") -> list[Check]:
    config = adapt(f"{address} {{\nproxy / {to} {{\n{block}\n}}\n}}\n", "Caddyfile", env={}).config
    [site] = config.sites
    [spec] = site.routes
    pool = build_pool(spec.pool, random.Random(1), None)
    return checks_of(site, Route(spec, pool, ["/", ""], Targets()))


def hosts(found: list[Check]) -> list[bytes]:
    return [check.head.split(b"\r\n")[1] for check in found]


def test_no_checks() -> None:
    assert checks("transparent") == []
    assert checks("health_check_interval 90s") == []


def test_each_backend_is_asked() -> None:
    found = checks("health_check /h\ntimeout 3s")
    assert [(one.endpoint.host, one.endpoint.port) for one in found] == [("a", 80), ("b", 81)]
    assert [one.backend.name for one in found] == ["http://a", "http://b:81"]
    assert {one.pool for one in found} == {"http://site.test:2015 /"}
    assert {one.timeouts.connect for one in found} == {3.0}
    assert hosts(found) == [b"Host: a", b"Host: b:81"]


def test_the_port_of_the_check() -> None:
    found = checks("health_check /h\nhealth_check_port 9", "a b:81 [::1]:82 [::1] unix:/s :83")
    assert [one.endpoint.port for one in found] == [9, 9, 9, 9, 0, 9]
    assert hosts(found) == [
        b"Host: a:9",
        b"Host: b:9",
        b"Host: [::1]:9",
        b"Host: [::1]:9",
        b"Host: localhost",
        b"Host: localhost:9",
    ]
    assert found[4].endpoint.unix == "/s"
    assert found[1].backend.endpoint.port == 81, "requests still go to the backend's own"


def test_what_only_choosing_looks_at_is_not_asked_about() -> None:
    """Or a backend that is down would be believed to be well when it weighs something else."""
    one, other = (
        checks(f"health_check /h\nupstream c {options}", "a")[1].endpoint
        for options in ("", "weight=5 max_conns=3 role=fallback")
    )
    assert one == other


def test_no_port_of_its_own() -> None:
    [check] = checks("health_check /h", "a")
    assert at_port(check.endpoint, 0) is check.endpoint


def test_connecting_alone_sends_nothing() -> None:
    assert [one.head for one in checks("health_check_tcp")] == [b"", b""]


def test_host_under_transparent() -> None:
    assert hosts(checks("health_check /h\ntransparent")) == [b"Host: site.test"] * 2
    assert hosts(checks("health_check /h\ntransparent", address="http://:80")) == [b"Host: a", b"Host: b:81"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([""], ""),
        (["*.site.test"], ""),
        (["a.test"], "a.test"),
        (["", "*.b.test", "c.test", "d.test"], "c.test"),
        (["::1"], "[::1]"),
    ],
)
def test_what_the_site_is_called(names: list[str], expected: str) -> None:
    assert site_host(tuple(AddressSpec(name, "http", name, 80, "") for name in names)) == expected


def test_checks_of_https_backends_have_the_pools_identity() -> None:
    config = adapt("http://a {\nproxy / https://a b {\nhealth_check /h\n}\n}\n", "Caddyfile", env={}).config
    [site] = config.sites
    [spec] = site.routes
    pool = build_pool(spec.pool, random.Random(1), None, "identity")
    found = checks_of(site, Route(spec, pool, ["/", ""], Targets()))
    assert [one.tls for one in found] == ["identity", None]


def test_what_checks_begin_with() -> None:
    """The PROXY protocol is the backend's own port's; another port is another service."""
    assert {one.preface for one in checks("health_check /h")} == {b""}
    assert {one.preface for one in checks("health_check /h\nproxy_protocol v1")} == {b"PROXY UNKNOWN\r\n"}
    assert {one.preface[12:] for one in checks("health_check_tcp\nproxy_protocol v2")} == {b"\x20\0\0\0"}
    assert {one.preface for one in checks("health_check /h\nproxy_protocol v1\nhealth_check_port 9")} == {b""}
