"""Routes: the head of an attempt, byte for byte."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from posthouse.config.specs import EndpointSpec, RouteSpec
from posthouse.errors import FailureKind, Place
from posthouse.protocol.target import Targets
from posthouse.proxy.route import Origin
from unit.proxy.playbook import Play
from unit.proxy.samples import build_route, endpoint, route, rules


def sent(spec: RouteSpec, *lines: str, at: str = "", sensitive: bool = False) -> list[bytes]:
    """The lines of the outgoing head."""
    play = Play(spec, at=(at,))
    play.codec.targets.is_case_sensitive = sensitive
    play.request(*lines)
    backend = play.connect(spec.pool.endpoints[0].host)
    return [backend.line, *backend.fields]


def target(path: str, to: EndpointSpec | None = None, at: str = "", **facts: Any) -> str:
    """The target that is sent for a GET of `path`."""
    line, *_ = sent(route(to or endpoint("a"), **facts), f"GET {path} HTTP/1.1", "Host: x", at=at)
    method, sent_target, version = line.split(b" ")
    assert (method, version) == (b"GET", b"HTTP/1.1")
    return sent_target.decode("latin-1")


# -- paths (caddy1.md 2.4) -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "path", "expected"),
    [
        ("", "/", "/"),
        ("", "/x", "/x"),
        ("/", "/x", "/x"),
        ("/b", "/", "/b/"),
        ("/b", "/x", "/b/x"),
        ("/b/", "/x", "/b/x"),
        ("/b/", "/", "/b/"),
        ("/b/c", "/x/", "/b/c/x/"),
        ("/b%2Fc", "/x%2Cy", "/b%2Fc/x%2Cy"),
        ("/b", "//x", "/b//x"),
        ("/b", "/%2e%2e/x", "/b/x"),
    ],
)
def test_base_path_and_path_have_one_slash_between(base: str, path: str, expected: str) -> None:
    assert target(path, endpoint("a", base_path=base)) == expected


@pytest.mark.parametrize(
    ("query", "path", "expected"),
    [
        ("", "/x?a=1", "/x?a=1"),
        ("", "/x?", "/x?"),
        ("k=v", "/x", "/x?k=v"),
        ("k=v", "/x?a=1", "/x?k=v&a=1"),
        ("k=v", "/x?a?b=%20&c", "/x?k=v&a?b=%20&c"),
        ("k=v", "/x?", "/x?k=v"),
    ],
)
def test_the_query_of_the_to_comes_first(query: str, path: str, expected: str) -> None:
    assert target(path, endpoint("a", base_query=query)) == expected


@pytest.mark.parametrize(
    "path",
    [
        *("/x%2Fy", "/%61pi", "/a;b=c", "//x//y", "/x/", "/%25", "/a+b", "/a%20b", "/~u/*'()!$&,=:@"),
        *("/x?", "/x??", "/x?a=b&&c", "/x?%zz", "/[x]", "/x?[y]", "/.x", "/x..", "/..x/y"),
    ],
)
def test_a_path_goes_on_as_it_came(path: str) -> None:
    assert target(path) == path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/x/../y", "/y"),
        ("/x/%2e%2E/y?q", "/y?q"),
        ("/./x", "/x"),
        ("/x/..", "/"),
        ("/../../x", "/x"),
        ("/\xc3\xbc", "/%C3%BC"),
        ("/\xff[x]", "/%FF%5Bx%5D"),
        ("/a<b>", "/a%3Cb%3E"),
    ],
)
def test_what_could_be_read_in_two_ways_goes_on_resolved_or_encoded(path: str, expected: str) -> None:
    assert target(path) == expected


@pytest.mark.parametrize(
    ("without", "path", "expected"),
    [
        ("/api", "/api/x", "/x"),
        ("/api", "/api", "/"),
        ("/api", "/api/", "/"),
        ("/api", "/apix", "/x"),
        ("/api", "/API/x", "/x"),
        ("/api", "//api//x", "/x"),
        ("/api", "/%61pi/x%2Fy", "/x%2Fy"),
        ("/api", "/api%2Fx", "/%2Fx"),
        ("/api", "/y/../api/x", "/x"),
        ("/api", "/other", "/other"),
        ("/api/", "/api/x", "/x"),
        ("/api/", "/api", "/api"),
        ("/api", "/api/x?q=/api", "/x?q=/api"),
        ("/\xfc", "/%C3%BC/x", "/x"),
    ],
)
def test_without(without: str, path: str, expected: str) -> None:
    """Cut by the same rule that FROM matches with; what is left begins with one slash."""
    assert target(path, without=without) == expected


def test_without_and_base_path_and_the_prefix_of_the_site() -> None:
    to = endpoint("a", base_path="/base")
    assert target("/site/api/x?q", to, at="/site", without="/api") == "/base/x?q"
    assert target("/site", to, at="/site") == "/base/"


def test_without_keeps_to_letter_case_where_paths_do() -> None:
    spec = route("a", without="/api")
    assert sent(spec, "GET /API/x HTTP/1.1", "Host: x", sensitive=True)[0] == b"GET /API/x HTTP/1.1"


def test_join_by_itself() -> None:
    assert Origin(endpoint("a", base_path="/b")).join(b"x", b"") == b"/b/x"
    assert not Origin(endpoint("a")).has_base and Origin(endpoint("a", base_query="q")).has_base


# -- fields --------------------------------------------------------------------------------------------------------


def test_a_whole_head() -> None:
    came = (
        "POST /x HTTP/1.1",
        "hOsT: x",
        "content-length: 2",
        "X-One: 1",
        "x-two:2",
        "X-One: 3",
        "Connection: close",
    )
    assert sent(route("a"), *came, "Keep-Alive: 5") == [
        b"POST /x HTTP/1.1",
        b"Host: a",
        b"X-One: 1",
        b"x-two: 2",
        b"X-One: 3",
        b"X-Forwarded-For: 192.0.2.7",
        b"X-Forwarded-Proto: http",
        b"X-Forwarded-Host: x",
        b"Via: 1.1 posthouse",
        b"Content-Length: 2",
    ]


def test_the_version_is_ours() -> None:
    assert sent(route("a"), "GET /x HTTP/1.0")[0] == b"GET /x HTTP/1.1"


@pytest.mark.parametrize(
    ("facts", "host"),
    [
        ({}, b"a"),
        ({"is_transparent": True}, b"X.Test:81"),
        ({"header_upstream": rules("Host b.test")}, b"b.test"),
        ({"header_upstream": rules("Host {>X-H}:1")}, b"h.test:1"),
        ({"header_upstream": rules("Host {>Absent}")}, b"a"),
        ({"header_upstream": rules("-Host")}, b"a"),
        ({"header_upstream": rules("Host {>X-Bad}")}, b"a"),
        ({"header_upstream": rules("Host {?evil}")}, b"a"),
        ({"header_upstream": rules("Host {>X-Bad}"), "is_transparent": True}, b"X.Test:81"),
    ],
)
def test_the_host_that_is_sent(facts: dict[str, Any], host: bytes) -> None:
    head = ("GET /?evil=a%0d%0ab HTTP/1.1", "Host: X.Test:81", "X-H: h.test", "X-Bad: evil/../x y")
    fields = sent(route("a", **facts), *head)[1:]
    assert fields[0] == b"Host: " + host
    assert sum(line.lower().startswith(b"host:") for line in fields) == 1


def test_the_credentials_of_the_to() -> None:
    to = endpoint("a", credentials="me:pä")
    basic = b"Authorization: Basic bWU6cMOk"
    theirs = b"Authorization: Bearer x"

    def authorization(*came: str, **facts: Any) -> list[bytes]:
        lines = sent(route(to, **facts), "GET / HTTP/1.1", "Host: x", *came)
        return [line for line in lines if line.startswith(b"Authorization")]

    assert authorization() == [basic]
    assert authorization(theirs.decode()) == [theirs], "only where the client sent none"
    assert authorization(header_upstream=rules("Authorization Bearer x")) == [theirs]
    assert authorization(header_upstream=rules("+Authorization Bearer x")) == [theirs]
    assert authorization(theirs.decode(), header_upstream=rules("-Authorization")) == [basic]


def test_rules_see_the_backend_that_was_chosen() -> None:
    lines = sent(
        route(endpoint("a", base_path="/b", credentials="u:p"), header_upstream=rules("X-To {upstream}")),
        "GET / HTTP/1.1",
        "Host: x",
    )
    assert b"X-To: http://a/b" in lines


def test_a_rule_acts_on_what_the_client_sent() -> None:
    lines = sent(
        route("a", header_upstream=rules("X-User {>X-Auth}", "-X-Secret*", "+X-More {method}")),
        "GET / HTTP/1.1",
        "Host: x",
        "X-User: forged",
        "X-Secret-1: s",
        "x-more: 1",
    )
    names = [line.split(b":")[0] for line in lines[1:]]
    assert b"X-User" not in names and b"X-Secret-1" not in names
    assert b"x-more: 1" in lines and b"X-More: GET" in lines


def test_heads_whose_rules_say_the_same_again_are_made_once_per_course() -> None:
    play = Play(route("a", "b", duration=9.0))
    exchange = play.request()
    play.refuse("a")
    head = play.connect("b").head
    (kept,) = exchange.course.heads.values()
    assert kept == head
    for changing in ("X-A {latency}", "Host {request_id}.test"):
        play = Play(route("a", header_upstream=rules(changing)))
        exchange = play.request()
        play.connect("a")
        assert exchange.course.heads == {}, "a rule may say something else the next time"
    for same in ("X-A {>Cookie} {upstream}", "Host {host}"):
        play = Play(route("a", header_upstream=rules(same)))
        exchange = play.request()
        head = play.connect("a").head
        assert list(exchange.course.heads.values()) == [head]


# -- settings ------------------------------------------------------------------------------------------------------


def test_excepts() -> None:
    made = build_route(route("a", base="/api", excepts=("/api/static", "/api/Robots.txt")), Targets())
    assert made.is_excepted("/api/static/x") and made.is_excepted("/api/staticfoo")
    assert made.is_excepted("/api/robots.txt")
    assert not made.is_excepted("/api/x") and not made.is_excepted("/static")
    assert not build_route(route("a"), Targets()).is_excepted("/")


def test_timers_know_their_place() -> None:
    names = ("timeout", "response_timeout", "idle_timeout", "exchange_timeout")
    made = build_route(
        route("a", places=tuple((n, Place("f", 1, i)) for i, n in enumerate(names))), Targets()
    )
    kinds = (
        FailureKind.CONNECT_TIMEOUT,
        FailureKind.RESPONSE_TIMEOUT,
        FailureKind.IDLE_TIMEOUT,
        FailureKind.EXCHANGE_TIMEOUT,
    )
    assert [made.timer_place(kind) for kind in kinds] == [Place("f", 1, i) for i in range(4)]
    assert made.timer_place(FailureKind.RESET) is None
    assert build_route(route("a"), Targets()).timer_place(FailureKind.CONNECT_TIMEOUT) is None


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        ({}, True),
        ({"max_conns": 7}, True),
        ({"endpoints": (endpoint("b"),)}, True),
        ({"keepalive": 1}, False),
        ({"slow_start": 1.0}, False),
    ],
)
def test_the_same_but_for_the_backends(change: dict[str, Any], is_same: bool) -> None:
    one = route("a")
    other = replace(one, pool=replace(one.pool, **change))
    assert build_route(one, Targets()).is_same_but_backends(build_route(other, Targets())) == is_same


@pytest.mark.parametrize(
    "change", [{"without": "/x"}, {"header_upstream": rules("X: y")}, {"is_transparent": True}]
)
def test_another_rule_is_another_route(change: dict[str, Any]) -> None:
    one = route("a")
    other = build_route(replace(one, **change), Targets())
    assert not build_route(one, Targets()).is_same_but_backends(other)


def test_repr() -> None:
    assert repr(build_route(route("a", base="/api"), Targets())).startswith("<Route '/api' <Pool ")


# -- members that come and go --------------------------------------------------------------------------------------


def test_a_backend_that_left_while_it_was_dialled_still_gets_its_head() -> None:
    play = Play(route(endpoint("a", base_path="/b")), at=("",))
    play.request("GET /x HTTP/1.1", "Host: x")
    (play_route,) = play.routes
    play_route.use(build_route(route(endpoint("other")), play.codec.targets).pool)
    assert play.connect("a").line == b"GET /b/x HTTP/1.1"
    assert [backend.endpoint.host for backend in play_route.pool.backends] == ["other"]
    assert [origin.text for origin in play_route.origins.values()] == ["http://other"]


@pytest.mark.parametrize(
    ("policy", "is_direct"), [("random", True), ("least_conn", True), ("ewma", False), ("sticky", False)]
)
def test_responses_are_looked_at_only_where_the_policy_wants_it(policy: str, is_direct: bool) -> None:
    made = build_route(route("a", "b", policy=policy), Targets())
    assert made.is_direct is is_direct
    assert (made.sessions is not None) == (policy == "sticky")
    play = Play(route("a", policy=policy))
    assert play.request().course.is_direct is is_direct
