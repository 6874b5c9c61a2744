"""Courses: what a head alone decides."""

from __future__ import annotations

import pytest

from posthouse.config.specs import LimitsSpec
from posthouse.proxy.course import Course
from posthouse.proxy.rewrite import NO_RULES
from unit.proxy.playbook import Play
from unit.proxy.samples import read_head, route, rules


def course(*lines: str, play: Play | None = None) -> Course:
    return Course((play or Play(route("a"))).plan, read_head("\n".join(lines)))


def framing(*lines: str, keepalive: int = 64) -> list[bytes]:
    """The framing and hop-by-hop lines that go to the backend."""
    made = course(*lines, play=Play(route("a", keepalive=keepalive)))
    assert made.status == 0
    return made.framing_lines.split(b"\r\n")[:-1]


# -- where to ------------------------------------------------------------------------------------------------------


def test_to_a_route() -> None:
    play = Play(route("a", base="/api", header_downstream=rules("X-A 1")), at=("x/site",))
    made = course("GET /Site/API/%41?q HTTP/1.1", "Host: x", play=play)
    assert (made.status, made.site, made.route) == (0, play.site, play.routes[0])
    assert (made.key, made.path, made.wire_path) == ("/api/a", "/API/A", b"/API/%41")
    assert made.program is play.routes[0].downstream_program


@pytest.mark.parametrize(
    ("line", "host", "status"),
    [
        ("GET /api", "a.test", 0),
        ("GET /API/", "A.Test:99", 0),
        ("GET http://a.test/api", "other", 0),
        ("GET http://other/api", "a.test", 404),
        ("GET /other", "a.test", 404),
        ("GET /api", "other", 404),
        ("OPTIONS *", "a.test", 200),
        ("OPTIONS *", "other", 200),
        ("PUT /api", "a.test", 0),
    ],
)
def test_the_status_that_is_known_already(line: str, host: str, status: int) -> None:
    play = Play(route("a", base="/api"), at=("a.test",))
    assert course(f"{line} HTTP/1.1", f"Host: {host}", play=play).status == status


@pytest.mark.parametrize(
    ("length", "path", "status"), [(10, "/x", 0), (11, "/x", 413), (20, "/up/x", 0), (21, "/up/x", 413)]
)
def test_a_length_over_the_limit_of_its_path(length: int, path: str, status: int) -> None:
    play = Play(route("a"), limits=LimitsSpec(body=(("/", 10), ("/up", 20))))
    made = course(f"PUT {path} HTTP/1.1", "Host: x", f"Content-Length: {length}", play=play)
    assert made.status == status
    assert made.body_limit == (20 if path.startswith("/up") else 10)


def test_loops_are_seen_before_routes() -> None:
    via = "Via: " + ", ".join(["1.1 posthouse"] * 16)
    assert course("GET / HTTP/1.1", "Host: x", via, play=Play(route("a", base="/api"))).status == 508


def test_what_has_no_site_has_nothing() -> None:
    made = course("GET / HTTP/1.1", "Host: other", play=Play(route("a"), at=("x",)))
    assert made.site is None and made.route is None
    assert made.program is NO_RULES
    assert repr(made) == "<Course '' None None status=404>"


# -- framing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["GET / HTTP/1.1"], []),
        (["GET / HTTP/1.1", "Content-Length: 0"], [b"Content-Length: 0"]),
        (["GET / HTTP/1.1", "content-length: 07"], [b"Content-Length: 7"]),
        (["POST / HTTP/1.1"], [b"Content-Length: 0"]),
        (["PUT / HTTP/1.1"], [b"Content-Length: 0"]),
        (["PATCH / HTTP/1.1"], [b"Content-Length: 0"]),
        (["DELETE / HTTP/1.1"], []),
        (["PUT / HTTP/1.1", "Transfer-Encoding: Chunked"], [b"Transfer-Encoding: chunked"]),
        (
            ["PUT / HTTP/1.1", "Transfer-Encoding: chunked", "Trailer: X-A", "Trailer: X-B"],
            [b"Transfer-Encoding: chunked", b"Trailer: X-A", b"Trailer: X-B"],
        ),
        (["PUT / HTTP/1.1", "Content-Length: 1", "Trailer: X-A"], [b"Content-Length: 1"]),
    ],
)
def test_bodies(lines: list[str], expected: list[bytes]) -> None:
    assert framing(lines[0], "Host: x", *lines[1:]) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["GET / HTTP/1.1", "Connection: close"], []),
        (["GET / HTTP/1.1", "Connection: keep-alive", "Keep-Alive: 5", "Proxy-Connection: x"], []),
        (["GET / HTTP/1.1", "TE: trailers"], []),
        (["GET / HTTP/1.1", "Connection: te", "TE: gzip, Trailers"], [b"TE: trailers", b"Connection: TE"]),
        (["GET / HTTP/1.1", "Connection: TE", "TE: gzip"], []),
    ],
)
def test_hop_by_hop_fields_end_here(lines: list[str], expected: list[bytes]) -> None:
    assert framing(lines[0], "Host: x", *lines[1:]) == expected


def test_without_keepalive_the_backend_is_told() -> None:
    assert framing("GET / HTTP/1.1", "Host: x", keepalive=0) == [b"Connection: close"]
    assert framing("GET / HTTP/1.1", "Host: x", "Connection: TE", "TE: trailers", keepalive=0) == [
        b"TE: trailers",
        b"Connection: close, TE",
    ]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["PUT / HTTP/1.1", "Content-Length: 1", "Expect: 100-Continue"], True),
        (["PUT / HTTP/1.1", "Transfer-Encoding: chunked", "Expect: 100-continue"], True),
        (["PUT / HTTP/1.0", "Content-Length: 1", "Expect: 100-continue"], False),
        (["PUT / HTTP/1.1", "Content-Length: 0", "Expect: 100-continue"], False),
        (["GET / HTTP/1.1", "Expect: 100-continue"], False),
        (["PUT / HTTP/1.1", "Content-Length: 1"], False),
    ],
)
def test_expect_needs_a_body_and_http_1_1(lines: list[str], expected: bool) -> None:
    made = course(lines[0], "Host: x", *lines[1:])
    assert made.has_expect is expected
    assert (b"Expect: 100-continue\r\n" in made.framing_lines) is expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            ["GET / HTTP/1.1", "Connection: upgrade", "Upgrade: WebSocket"],
            [b"Upgrade: WebSocket", b"Connection: Upgrade"],
        ),
        (["GET / HTTP/1.1", "Connection: Upgrade, TE", "Upgrade: a", "TE: trailers"], None),
        (["GET / HTTP/1.1", "Upgrade: websocket"], []),
        (["GET / HTTP/1.1", "Connection: upgrade", "Upgrade: h2c"], []),
        (["GET / HTTP/1.0", "Connection: upgrade", "Upgrade: websocket"], []),
        (["POST / HTTP/1.1", "Connection: upgrade", "Upgrade: websocket"], [b"Content-Length: 0"]),
        (
            ["GET / HTTP/1.1", "Connection: upgrade", "Upgrade: websocket", "Content-Length: 1"],
            [b"Content-Length: 1"],
        ),
    ],
)
def test_upgrades(lines: list[str], expected: list[bytes] | None) -> None:
    made = framing(lines[0], "Host: x", *lines[1:])
    if expected is None:
        assert b"Upgrade: a" in made and b"Connection: Upgrade" in made
    else:
        assert made == expected
    assert sum(line.startswith(b"Connection") for line in made) <= 1
