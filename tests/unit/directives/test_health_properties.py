"""The `health_check*` properties: what each means, and what cannot be meant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from posthouse.config.specs import CheckSpec, HealthSpec, SiteSpec

ReadSite = Callable[[str], SiteSpec]
FindMistakes = Callable[[str], list[str]]

PLAIN = HealthSpec(CheckSpec("/h"))


def health(read_site: ReadSite, *properties: str) -> HealthSpec | None:
    block = "\n".join(properties)
    return read_site(f"proxy / a {{\n{block}\n}}").routes[0].pool.health


def test_defaults(read_site: ReadSite) -> None:
    spec = health(read_site, "health_check /h")
    assert spec == PLAIN
    assert (spec.interval, spec.down_interval, spec.timeout) == (30.0, None, 60.0)
    assert (spec.passes, spec.fails) == (1, 1)
    assert (spec.check.method, spec.check.statuses, spec.check.drain) == ("GET", ((200, 399),), ())


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("/health", "/health"),
        ("health", "/health"),
        ("/", "/"),
        ("?ready", "/?ready"),
        ("/h?a=b&c=/d", "/h?a=b&c=/d"),
        ("/h%2Fx", "/h%2Fx"),
        ("/hé{x}", "/h%C3%A9%7Bx%7D"),
        ("host:80/x", "/host:80/x"),
    ],
)
def test_paths(read_site: ReadSite, written: str, path: str) -> None:
    spec = health(read_site, f"health_check {written}")
    assert spec is not None and spec.check.path == path


@pytest.mark.parametrize(
    ("line", "check"),
    [
        ("health_check_port 1", CheckSpec("/h", port=1)),
        ("health_check_port 65535", CheckSpec("/h", port=65535)),
        ("health_check_method HEAD", CheckSpec("/h", method="HEAD")),
        ("health_check_contains ok", CheckSpec("/h", contains="ok")),
        ('health_check_contains "all is well"', CheckSpec("/h", contains="all is well")),
        ('health_check_contains ""', CheckSpec("/h")),
        ("health_check_status 200", CheckSpec("/h", statuses=((200, 200),))),
        ("health_check_status 2xx 3XX", CheckSpec("/h", statuses=((200, 299), (300, 399)))),
        ("health_check_status 200-599 404", CheckSpec("/h", statuses=((200, 599), (404, 404)))),
        ("health_check_status 500\nhealth_check_status 200-200", CheckSpec("/h", statuses=((200, 200),))),
        ("health_check_drain 503 429-431", CheckSpec("/h", drain=((503, 503), (429, 431)))),
        ("health_check_drain 503\nhealth_check_drain off", CheckSpec("/h")),
        (
            "health_check_drain X-Draining 503 Gone-Soon",
            CheckSpec("/h", drain=((503, 503),), drain_fields=("X-Draining", "Gone-Soon")),
        ),
        ("health_check_drain 503 X-Draining\nhealth_check_drain X-D", CheckSpec("/h", drain_fields=("X-D",))),
        ("health_check_drain 503 X-Draining\nhealth_check_drain off", CheckSpec("/h")),
        (
            'health_check_header A b\nhealth_check_header A "{c} d"',
            CheckSpec("/h", headers=(("A", "b"), ("A", "{c} d"))),
        ),
    ],
)
def test_what_is_asked(read_site: ReadSite, line: str, check: CheckSpec) -> None:
    assert health(read_site, "health_check /h", line) == replace(PLAIN, check=check)
    assert health(read_site, line, "health_check /h") == replace(PLAIN, check=check), "in any order"


@pytest.mark.parametrize(
    ("line", "spec"),
    [
        ("health_check_interval 1ms", replace(PLAIN, interval=0.001)),
        ("health_check_interval 90s", replace(PLAIN, interval=90.0)),
        ("health_check_down_interval 1s", replace(PLAIN, down_interval=1.0)),
        ("health_check_timeout 5s", replace(PLAIN, timeout=5.0)),
        ("health_check_passes 2", replace(PLAIN, passes=2)),
        ("health_check_fails 3", replace(PLAIN, fails=3)),
    ],
)
def test_pace_and_thresholds(read_site: ReadSite, line: str, spec: HealthSpec) -> None:
    assert health(read_site, line, "health_check /h") == spec


def test_connecting_alone(read_site: ReadSite) -> None:
    assert health(read_site, "health_check_tcp") == HealthSpec(CheckSpec())
    assert health(read_site, "health_check_tcp", "health_check_port 9") == HealthSpec(CheckSpec(port=9))


def test_off(read_site: ReadSite) -> None:
    assert health(read_site) is None
    assert health(read_site, "health_check_interval 1s") is None
    assert health(read_site, 'health_check ""') is None


@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        (
            "health_check http://a/h",
            "2:14 expected a path, found `http://a/h`: each backend is asked at its own address",
        ),
        ('health_check "/a b"', "2:14 the path of a health check has no blanks or control characters in it"),
        ('health_check "/a#b"', "2:14 a fragment (`#…`) is never sent to a backend"),
        ("health_check /%zz", "2:14 a percent sign is not followed by two hexadecimal digits"),
        ("health_check_port 0", "2:19 expected a port from 1 to 65535, found `0`"),
        ("health_check_port -1", "2:19 expected a port from 1 to 65535, found `-1`"),
        ("health_check_port 65536", "2:19 expected a port from 1 to 65535, found `65536`"),
        ("health_check_port 99999", "2:19 expected a port from 1 to 65535, found `99999`"),
        (
            "health_check_port http",
            "2:19 expected a whole number, found `http`: only digits can be in it",
        ),
        ("health_check_interval 0", "2:23 expected a duration of at least `1ms`, found `0`"),
        ("health_check_interval -5s", "2:23 expected a duration of at least `1ms`, found `-5s`"),
        ("health_check_interval 999us", "2:23 expected a duration of at least `1ms`, found `999us`"),
        ("health_check_down_interval 0s", "2:28 expected a duration of at least `1ms`, found `0s`"),
        ("health_check_timeout 0", "2:22 expected a duration of at least `1ms`, found `0`"),
        (
            "health_check_timeout 10",
            "2:22 expected a duration such as `30s`, found `10`: a unit is missing (`10s`, `10ms`, `10m`?)",
        ),
        ("health_check_passes 0", "2:21 must be at least 1, found `0`"),
        ("health_check_fails 0", "2:20 must be at least 1, found `0`"),
        (
            "health_check_status 199",
            "2:21 expected a status such as `200`, `2xx` or `200-399` (200 to 599), found `199`",
        ),
        (
            "health_check_status 200 600",
            "2:25 expected a status such as `200`, `2xx` or `200-399` (200 to 599), found `600`",
        ),
        (
            "health_check_status 1xx",
            "2:21 expected a status such as `200`, `2xx` or `200-399` (200 to 599), found `1xx`",
        ),
        ("health_check_status 399-200", "2:21 `399-200` is no range of statuses: it must go up"),
        ("health_check_drain X-D:", "2:20 `X-D:` is not a field name"),
        ("health_check_drain *", "2:20 expected a status or the name of a field, found `*`"),
        (
            "health_check_drain X-D 5x",
            "2:24 expected a status such as `200`, `2xx` or `200-399` (200 to 599), found `5x`",
        ),
        (
            "health_check_drain 503 off",
            "2:24 expected a status such as `200`, `2xx` or `200-399` (200 to 599), found `off`",
        ),
        (
            "health_check_header A",
            "2:1 too few arguments for `health_check_header`: found only `A`, expected 2 arguments",
        ),
        ("health_check_header +A b", "2:21 expected the name of a field, found `+A`"),
        ('health_check_header A ""', "2:23 the value of `A` is empty"),
        (
            "health_check_header Content-Length 3",
            "2:21 no rule can change `Content-Length`: it is part of how a message is framed",
        ),
        (
            "health_check_header connection close",
            "2:21 `connection` belongs to the connection, not to the check",
        ),
        ("health_check_header A: b", "2:21 `A:` is not a field name"),
        ("health_check_method get", "2:21 methods are case-sensitive: found `get`"),
        ("health_check_method CONNECT", "2:21 expected a method such as `GET` or `HEAD`, found `CONNECT`"),
        ('health_check_method "G T"', '2:21 expected a method such as `GET` or `HEAD`, found `"G T"`'),
        ("health_check_grpc", "2:1 `health_check_grpc` is not in this release yet"),
    ],
)
def test_mistakes(find_mistakes: FindMistakes, line: str, mistake: str) -> None:
    assert find_mistakes(f"proxy / a {{\n{line}\n}}") == [mistake]


def test_on_one_line(read_site: ReadSite) -> None:
    line = "proxy / a { health_check /h health_check_status 2xx 301 health_check_fails 2 transparent }"
    route = read_site(line).routes[0]
    assert route.is_transparent
    assert route.pool.health == HealthSpec(CheckSpec("/h", statuses=((200, 299), (301, 301))), fails=2)
