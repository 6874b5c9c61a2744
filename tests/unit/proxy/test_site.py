"""Sites: which one takes a request, and what a site says about a path."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.config.specs import HeaderScopeSpec, LimitsSpec, RequestIdSpec, SiteSpec
from posthouse.protocol.target import Targets
from posthouse.proxy.rewrite import NO_RULES
from posthouse.proxy.site import LogScope, RequestIds, Site, Sites, path_key
from unit.observe.fake_subject import FakeSubject
from unit.proxy.playbook import Lines
from unit.proxy.samples import address, build_route, route, rules

TARGETS = Targets()
SENSITIVE = Targets(is_case_sensitive=True)


def site(
    text: str = "", *routes: Any, logs: tuple[LogScope, ...] = (), targets: Targets = TARGETS, **facts: Any
) -> Site:
    """A site with its first address."""
    spec = SiteSpec((address(text),), routes=routes, **facts)
    return Site(spec, [build_route(one, targets) for one in routes], logs, targets)


def sites(*texts: str, targets: Targets = TARGETS) -> Sites:
    """A listener with a site for each address."""
    return Sites([(one.host, one.path, site(one.text)) for one in map(address, texts)], targets)


def find(index: Sites, host: str, path: str = "/", targets: Targets = TARGETS) -> str | None:
    found = index.find(host, targets.parse(path.encode("latin-1")))
    return None if found is None else found[0].address


# -- hosts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("a.test", "a.test"),
        ("b.test", "*.test"),
        ("x.a.test", "*.a.test"),
        ("x.y.a.test", None),
        ("x.y.test", "*.*.test"),
        ("test", None),
        ("1.2.3.4", "1.2.3.4"),
        ("::1", "::1"),
        ("", None),
        (".a.test", "*.a.test"),
    ],
)
def test_exact_before_wildcard(host: str, expected: str | None) -> None:
    """A `*` is exactly one label (caddy1.md 8.1)."""
    index = sites("a.test", "*.test", "*.a.test", "*.*.test", "1.2.3.4", "::1")
    assert find(index, host) == expected
    assert find(index, host) == expected, "remembered"


@pytest.mark.parametrize("any_host", ["", "0.0.0.0", "::"])
def test_the_catch_all_takes_what_is_left(any_host: str) -> None:
    index = sites("a.test", "*.test", any_host)
    assert find(index, "a.test") == "a.test"
    assert find(index, "b.test") == "*.test"
    assert [find(index, host) for host in ("", "other", "1.2.3.4", "0.0.0.0")] == [any_host] * 4


def test_who_has_the_host_has_all_its_paths() -> None:
    """As in v1: what none of a host's path sites takes is not looked for elsewhere."""
    index = sites("a.test/foo", "")
    assert find(index, "a.test", "/foo/x") == "a.test/foo"
    assert find(index, "a.test", "/bar") is None
    assert find(index, "b.test", "/bar") == ""


def test_many_hosts_do_not_grow_the_memory() -> None:
    index = sites("*.test")
    for number in range(10_000):
        assert find(index, f"{number}.test") == "*.test"
    assert len(index._memo) <= 4096


def test_a_host_that_is_no_name_is_not_looked_at_label_by_label() -> None:
    """Counted, not timed: the walk joins the labels once for each of them."""
    joined = 0

    class Labels(str):
        def split(self, *args: Any) -> Any:
            nonlocal joined
            joined = self.count(".")
            return super().split(*args)

    sites("")._find_host(Labels(".".join(["a"] * 2000)))
    assert joined < 300


# -- paths of sites ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", ""),
        ("/foo", "/foo"),
        ("/FOO/x", "/foo"),
        ("/foobar", "/foo"),
        ("/foo/bar", "/foo/bar"),
        ("/foo/barx", "/foo/bar"),
        ("/fo", ""),
        ("//foo//bar", "/foo/bar"),
        ("/%66oo", "/foo"),
        ("/x/../foo", "/foo"),
        ("/foo/../x", ""),
    ],
)
def test_the_longest_path_wins(path: str, expected: str) -> None:
    assert find(sites("/foo", "", "/foo/bar"), "x", path) == expected


def test_paths_with_letter_case() -> None:
    index = sites("/Foo", targets=SENSITIVE)
    assert find(index, "x", "/Foo", SENSITIVE) == "/Foo"
    assert find(index, "x", "/foo", SENSITIVE) is None
    assert find(sites("/Foo"), "x", "/fOO") == "/Foo"


@pytest.mark.parametrize(
    ("path", "key", "kept", "wire"),
    [
        ("/foo", "/", "/", b"/"),
        ("/foo/", "/", "/", b"/"),
        ("/foo/Bar", "/bar", "/Bar", b"/Bar"),
        ("/foobar", "/bar", "/bar", b"/bar"),
        ("/foo/a%2Fb%20c", "/a/b c", "/a/b c", b"/a%2Fb%20c"),
        ("//foo//Bar//", "/bar/", "/Bar/", b"/Bar//"),
        ("/foo../x", "/x", "/x", b"/x"),
    ],
)
def test_the_path_of_a_site_is_cut(path: str, key: str, kept: str, wire: bytes) -> None:
    found = sites("/foo").find("x", TARGETS.parse(path.encode()))
    assert found is not None
    assert found[1:] == (key, kept, wire)


def test_the_root_site_sees_the_path_as_it_is() -> None:
    found = sites("").find("x", TARGETS.parse(b"//A/b%2fc"))
    assert found is not None and found[1:] == ("/a/b/c", "/A/b/c", b"//A/b%2fc")


@given(st.text("/.aA%2fFeE5c", max_size=14))
def test_what_is_cut_is_matched_and_sent_the_same(tail: str) -> None:
    """Rule 13: matchers and the backend agree on the path, whatever comes behind the prefix."""
    try:
        target = TARGETS.parse(b"/foo" + tail.encode())
    except Exception:
        return
    found = sites("/foo").find("x", target)
    if found is None:
        return
    _, key, path, wire = found
    assert wire.startswith(b"/") and not wire.startswith(b"//")
    again = TARGETS.parse(wire)
    assert (again.key, again.wire_path) == (key, wire), "a backend reads what was matched"
    assert path.lower() == key


# -- routes --------------------------------------------------------------------------------------------------------


def routed(one: Site, path: str) -> str | None:
    found = one.find_route(TARGETS.parse(path.encode()).key)
    return None if found is None else found.spec.pool.name


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "/"),
        ("/api", "/api"),
        ("/API/x", "/api"),
        ("/apix", "/api"),
        ("/api%2Fx", "/api"),
        ("/%61pi", "/api"),
        ("//api/x", "/api"),
        ("/x/../api", "/api"),
        ("/api/v2", "/api/v2/"),
        ("/api/v2/", "/api/v2/"),
        ("/api/v2/x", "/api/v2/"),
        ("/api/../x", "/"),
        ("/api/static/x", "/"),
        ("/api/%2e/STATIC", "/"),
        ("/api/v2/static", "/api/v2/"),
    ],
)
def test_the_longest_from_wins(path: str, expected: str) -> None:
    made = site(
        "",
        route(base="/", name="/"),
        route(base="/api", name="/api", excepts=("/api/static",)),
        route(base="/API/v2/", name="/api/v2/"),
    )
    # A slash at the end of FROM counts.
    assert routed(made, path) == (expected if path != "/api/v2" else "/api")


def test_the_first_of_equal_froms_wins() -> None:
    made = site("", route(base="/api", name="1"), route(base="/api", name="2"), route(base="/Api", name="3"))
    assert routed(made, "/api") == "1"


def test_an_excepted_request_falls_to_the_next_of_the_same_length() -> None:
    made = site("", route(base="/api", name="1", excepts=("/api/x",)), route(base="/api", name="2"))
    assert routed(made, "/api/x") == "2"
    assert routed(site("", route(base="/api", excepts=("/api",))), "/api") is None
    assert routed(site(), "/") is None


@pytest.mark.parametrize("bad", ["//", "/%2e%2e/x/", "/./", "/x//../"])
@pytest.mark.parametrize("spelling", ["secret", "SECRET", "%73ecret", "s%65cret", "secre%74", "secret%2Fx"])
def test_an_excepted_path_is_excepted_however_it_is_spelt(bad: str, spelling: str) -> None:
    made = site("", route(base="/", excepts=("/secret",)))
    path = bad.replace("/%2e%2e/x/", "/x/%2e%2e/") + spelling
    assert routed(made, path) is None


# -- limits, logs, headers -----------------------------------------------------------------------------------------


def test_the_longest_path_of_limits_wins() -> None:
    made = site(limits=LimitsSpec(body=(("/", 10), ("/up", 20), ("/UP/big/", 30))))
    assert [made.body_limit(key) for key in ("/", "/up", "/upx", "/up/big/x", "/up/big")] == [
        10,
        20,
        20,
        30,
        20,
    ]
    assert site(limits=LimitsSpec(body=(("/up", 20),))).body_limit("/") is None


def test_the_most_specific_log_takes_a_request_and_all_of_its_path() -> None:
    sink = Lines()

    def scope(path: str) -> LogScope:
        return LogScope(path, Lines.line, sink)

    root, api, again = scope("/"), scope("/api"), scope("/api")
    made = site(logs=(root, api, again))
    assert list(made.scopes("/")) == [root]
    assert list(made.scopes("/api/x")) == [api, again]
    assert list(site(logs=(api,)).scopes("/other")) == []
    assert list(site(logs=(root,)).scopes("/x")) == [root]
    assert list(site(logs=(root, scope("/"))).scopes("/x")) == list(site(logs=(root, scope("/"))).logs)
    assert list(site().scopes("/")) == []


def test_what_a_log_excepts_it_does_not_take_and_no_other_log_takes_it_over() -> None:
    sink = Lines()

    def scope(path: str, *excepts: str) -> LogScope:
        return LogScope(path, Lines.line, sink, excepts)

    first, second, api = scope("/", "/health", "/x"), scope("/"), scope("/api", "/api/quiet")
    made = site(logs=(first, second, api))
    assert list(made.scopes("/a")) == [first, second]
    assert list(made.scopes("/healthy")) == [second], "its exception is its own"
    assert list(made.scopes("/api/loud")) == [api]
    assert list(made.scopes("/api/quiet")) == []
    alone = site(logs=(scope("/", "/health"),))
    assert len(alone.scopes("/a")) == 1 and list(alone.scopes("/health/x")) == []


def test_header_scopes_that_match_follow_the_rules_of_the_route() -> None:
    spec = route(header_downstream=rules("X-A route", "X-R 1"))
    made = site(
        "",
        spec,
        headers=(
            HeaderScopeSpec("/", rules("X-A site")),
            HeaderScopeSpec("/api", rules("+X-A api", "-X-R")),
        ),
    )
    (one,) = made.routes

    def lines(key: str, routed: bool = True) -> list[bytes]:
        program = made.response_program(key, one if routed else None)
        assert made.response_program(key, one if routed else None) is program, "made once"
        return [line for line in program.apply([], FakeSubject()) if line]

    assert lines("/") == [b"X-A: site\r\n", b"X-R: 1\r\n"]
    assert lines("/api/x") == [b"X-A: site\r\n", b"X-A: api\r\n"]
    assert lines("/api", routed=False) == [b"X-A: site\r\n", b"X-A: api\r\n"]


def test_a_media_type_stands_between_the_route_and_the_header_scopes() -> None:
    spec = route(header_downstream=rules("Content-Type route"))
    own = (HeaderScopeSpec("/own", rules("Content-Type scope")),)
    made = site("", spec, mime=((".x", "image/x"), (".y", "image/y")), headers=own)
    (one,) = made.routes

    def lines(key: str, routed: bool = True) -> list[bytes]:
        program = made.response_program(key, one if routed else None)
        assert made.response_program(key, one if routed else None) is program, "made once"
        return program.apply([], FakeSubject())

    assert lines("/a.x") == [b"Content-Type: image/x\r\n"]
    assert lines("/a.x.y") == [b"Content-Type: image/y\r\n"]
    assert lines("/a.x/b") == [b"Content-Type: route\r\n"]
    assert lines("/own.x") == [b"Content-Type: scope\r\n"]
    assert lines("/a.x", routed=False) == [], "our own answers say themselves what they are"
    sensitive = site("", spec, mime=((".x", "image/x"),), targets=SENSITIVE)
    assert sensitive.response_program("/A.X", sensitive.routes[0]).apply([], FakeSubject()) != lines("/")


def test_without_header_scopes_the_program_of_the_route_is_enough() -> None:
    made = site("", route(header_downstream=rules("X-A 1")))
    assert made.response_program("/", made.routes[0]) is made.routes[0].downstream_program
    assert made.response_program("/", None) is NO_RULES


# -- who is trusted ------------------------------------------------------------------------------------------------

BEHIND = site(trusted_proxies=("10.0.0.0/8", "192.0.2.7/32", "fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "is_trusted"),
    [
        ("10.1.2.3", True),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("fd00::1", True),
        ("fe80::1", False),
        ("::ffff:10.1.2.3", False),
        ("", False),
        ("unknown", False),
    ],
)
def test_trust(peer: str, is_trusted: bool) -> None:
    assert BEHIND.trusts(peer) is is_trusted
    assert BEHIND.trusts(peer) is is_trusted, "remembered"
    assert not site().trusts(peer) and not site().has_trusted


def test_what_is_remembered_of_peers_is_bounded() -> None:
    made = site(trusted_proxies=("10.0.0.0/8",))
    for number in range(6000):
        made.trusts(f"10.0.{number >> 8}.{number & 255}")
    assert len(made._trust) <= 4096


@pytest.mark.parametrize(
    ("peer", "chain", "client"),
    [
        ("203.0.113.9", [b"1.1.1.1"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [b"1.1.1.1"], "1.1.1.1"),
        ("10.0.0.1", [b"6.6.6.6, 1.1.1.1"], "1.1.1.1"),
        ("10.0.0.1", [b"6.6.6.6, 1.1.1.1, 10.0.0.2"], "1.1.1.1"),
        ("10.0.0.1", [b"6.6.6.6", b"1.1.1.1", b" 10.0.0.2 ,\t10.0.0.3"], "1.1.1.1"),
        ("10.0.0.1", [b"10.0.0.9, 10.0.0.2"], "10.0.0.9"),
        ("10.0.0.1", [b"1.1.1.1, garbage, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [b"1.1.1.1, \xff"], "10.0.0.1"),
        ("10.0.0.1", [b"[2001:DB8::1], fd00::2"], "2001:db8::1"),
        ("10.0.0.1", [b""], "10.0.0.1"),
    ],
)
def test_the_client_is_the_first_from_the_right_that_is_not_trusted(
    peer: str, chain: list[bytes], client: str
) -> None:
    assert BEHIND.client_ip(peer, chain) == client


# -- request ids ---------------------------------------------------------------------------------------------------


def test_request_ids() -> None:
    made = RequestIds("")
    first, second = made.make(FakeSubject()), made.make(FakeSubject())
    assert first != second and str(uuid.UUID(first)) == first
    assert site(request_id=RequestIdSpec()).request_id is not None and site().request_id is None


@pytest.mark.parametrize(
    ("given_id", "is_taken"),
    [
        (b"0F0E0D0C-0B0A-0908-0706-050403020100", True),
        (b"0f0e0d0c0b0a09080706050403020100", True),
        (b"not one", False),
        (b"", False),
        (b"\xff", False),
        (b"0f0e0d0c-0b0a-0908-0706-050403020100\tx", False),
    ],
)
def test_an_id_of_the_client_is_taken_if_it_is_one(given_id: bytes, is_taken: bool) -> None:
    """Whatever is taken is written in one normal form: nothing else of it reaches logs and backends."""
    made = RequestIds("X-Request-ID").make(FakeSubject(fields={b"x-request-id": given_id}))
    assert (made == "0f0e0d0c-0b0a-0908-0706-050403020100") is is_taken
    assert len(made) == 36


def test_path_keys() -> None:
    assert [path_key(path, TARGETS) for path in ("/", "/A//b/../C/", "/ü")] == ["/", "/a/c/", "/ü"]
    assert path_key("/A", SENSITIVE) == "/A"


def test_repr() -> None:
    assert repr(site("a.test", route())) == "<Site 'a.test' routes=1>"
    assert SiteSpec(()).addresses == () and Site(SiteSpec(()), [], [], TARGETS).address == ""
