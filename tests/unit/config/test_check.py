from __future__ import annotations

from dataclasses import replace

import pytest

from posthouse.adapt import adapt
from posthouse.config.addresses import parse_address
from posthouse.config.check import check, https_notices, with_root, with_unique_pool_names
from posthouse.config.file_specs import FilesSpec
from posthouse.config.specs import Config, PoolSpec, ProxyProtocolSpec, RouteSpec, SiteSpec
from posthouse.errors import Place


def site(*addresses: str, line: int = 1, bind: str = "", routes: tuple[RouteSpec, ...] = ()) -> SiteSpec:
    specs = tuple(parse_address(one, Place("f", line, 1)) for one in addresses)
    return SiteSpec(specs, bind=bind, routes=routes, place=Place("f", line, 1))


def route(base: str = "/", name: str = "pool", line: int = 1, excepts: tuple[str, ...] = ()) -> RouteSpec:
    return RouteSpec(base, PoolSpec(name, ()), excepts=excepts, place=Place("f", line, 1))


def mistakes_of(*sites: SiteSpec, is_case_sensitive: bool = False) -> list[str]:
    found = check(Config(sites), is_case_sensitive=is_case_sensitive).mistakes
    return [f"{one.place.line} {one.message}" for one in found]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a.test", "a.test"),
        ("a.test", "A.Test:2015"),
        ("http://a.test", "a.test:80"),
        (":81", "0.0.0.0:81"),
        ("a.test/x", "a.test/X"),
        ("a.test", "a.test/"),
        ("*.a.test", "*.A.test"),
    ],
)
def test_one_address_has_one_site(first: str, second: str) -> None:
    expected = [f"2 `{second}` is the same address as `{first}` at f:1:1"]
    assert mistakes_of(site(first), site(second, line=2)) == expected
    assert mistakes_of(site(first, second)) == [expected[0].replace("2 ", "1 ", 1)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a.test", "b.test"),
        ("a.test", "a.test:81"),
        ("a.test", "a.test/x"),
        ("a.test", "*.test"),
        (":0", ":0"),
    ],
)
def test_different_addresses_are_different_sites(first: str, second: str) -> None:
    assert mistakes_of(site(first), site(second)) == []


def test_paths_differ_by_case_where_matching_does() -> None:
    sites = site("a.test/x"), site("a.test/X")
    assert len(mistakes_of(*sites)) == 1
    assert mistakes_of(*sites, is_case_sensitive=True) == []


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [("", "127.0.0.1"), ("", "::1"), ("", "0.0.0.0"), ("0.0.0.0", "127.0.0.1"), ("::", "::1")],
)
def test_all_addresses_and_one_of_them_cannot_share_a_port(wide: str, narrow: str) -> None:
    listens = f"`a.test:81` (f:1:1) listens on all addresses{f' ({wide})' if wide else ''} of the same port"
    assert mistakes_of(site("a.test:81", bind=wide), site("b.test:81", bind=narrow, line=2)) == [
        f"2 `b.test:81` cannot listen on {narrow} port 81: {listens}"
    ]
    assert len(mistakes_of(site("a.test:81", bind=narrow), site("b.test:81", bind=wide))) == 1
    assert mistakes_of(site("a.test:81", bind=wide), site("b.test:82", bind=narrow)) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [("127.0.0.1", "127.0.0.2"), ("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "::1"), ("::", "0.0.0.0"), ("", "")],
)
def test_other_binds_go_together(one: str, other: str) -> None:
    assert mistakes_of(site("a.test:81", bind=one), site("b.test:81", bind=other)) == []


def test_a_free_port_is_no_conflict() -> None:
    assert mistakes_of(site("a.test:0", bind="127.0.0.1"), site("b.test:0")) == []


def introducing(*ranges: str, port: int = 81, line: int = 1, bind: str = "") -> SiteSpec:
    spec = ProxyProtocolSpec(ranges, Place("f", line + 100, 2)) if ranges else None
    return replace(site(f"http://h{line}.test:{port}", line=line, bind=bind), proxy_protocol=spec)


def test_who_shares_a_port_agrees_on_who_introduces() -> None:
    first = introducing("10.0.0.0/8", "::1/128")
    assert mistakes_of(first, introducing("::1/128", "10.0.0.0/8", line=2)) == []
    assert (
        mistakes_of(first, introducing(port=82, line=2), introducing(bind="127.0.0.1", port=83, line=3)) == []
    )
    has, ranges = (
        "must agree with `http://h1.test:81` (f:1:1), which has",
        "`proxy_protocol 10.0.0.0/8 ::1/128`",
    )
    assert mistakes_of(first, introducing(line=2), introducing("::1/128", line=3)) == [
        f"2 `http://h2.test:81` lacks `proxy_protocol` and {has} {ranges}: they share port 81",
        f"103 `proxy_protocol ::1/128` {has} {ranges}: they share port 81",
    ]
    assert mistakes_of(introducing(), introducing("::1/128", line=2)) == [
        f"102 `proxy_protocol ::1/128` {has} none: they share port 81"
    ]


def test_a_site_without_routes_gets_a_notice() -> None:
    notices = check(Config((site("a.test", line=7),))).notices
    assert [(one.place.line, one.message) for one in notices] == [
        (7, "this site has no `proxy` and no `root`: every request is answered with 404")
    ]


@pytest.mark.parametrize("text", ["redir /b", "status 404 /", "proxy / a", "root /srv", "browse"])
def test_a_site_that_answers_something_gets_none(text: str) -> None:
    assert not any(
        "has no `proxy`" in one.message for one in adapt(f"http://a.test\n{text}", "f").config.notices
    )


def test_a_route_that_is_never_reached_gets_a_notice() -> None:
    routes = route("/x", line=1), route("/X", line=2), route("/", line=3)
    config = Config((site("a.test", routes=routes),))
    assert [one.message for one in check(config).notices] == [
        "this `proxy /X` is never reached: the one at f:1:1 takes its requests"
    ]
    assert check(config, is_case_sensitive=True).notices == []


def test_what_one_route_excepts_can_reach_another() -> None:
    routes = route("/", excepts=("/static",)), route("/")
    assert check(Config((site("a.test", routes=routes),))).notices == []


def test_public_names_are_told_about_https() -> None:
    found = https_notices(site("example.com", "localhost", "http://example.org", "*.example.net"))
    assert [one.message for one in found] == [
        "`example.com` is served over plain HTTP on port 2015: HTTPS is not in this release yet",
        "`*.example.net` is served over plain HTTP on port 2015: HTTPS is not in this release yet",
    ]


def test_a_repeated_pool_name_gets_a_number() -> None:
    names = ["p", "p", "q", "p#2", "p"]
    sites = [
        site("a", routes=tuple(route(name=name) for name in names[:3])),
        site("b", routes=(route(name="p#2"), route(name="p"))),
    ]
    renamed = with_unique_pool_names(sites)
    assert [one.pool.name for each in renamed for one in each.routes] == ["p", "p#2", "q", "p#2#2", "p#3"]


def test_a_root_for_who_has_none() -> None:
    assert with_root(site("a.test"), "/srv").root == "/srv"
    assert with_root(SiteSpec((), root="/own"), "/srv").root == "/own"
    assert with_root(site("a.test"), "").root == ""


def test_a_root_means_files_and_files_have_a_root() -> None:
    index = FilesSpec(index=("a.html",))
    for files, root, expected in (
        (None, "", (None, "")),
        (None, "/srv", (FilesSpec(), "/srv")),
        (index, "", (index, ".")),
        (index, "/srv", (index, "/srv")),
    ):
        found = with_root(SiteSpec((), files=files), root)
        assert (found.files, found.root) == expected


def test_a_star_in_a_path_is_told_to_be_an_ordinary_character() -> None:
    starred = site("a.test", routes=(route("/api/*", line=3), route("/", line=4)))
    (notice,) = check(Config((starred,))).notices
    assert (notice.place.line, notice.message) == (
        3,
        "`*` is an ordinary character here: `proxy /api/` takes all that begins with `/api/`",
    )
