from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.adapt import adapt
from posthouse.config.specs import SiteSpec
from posthouse.config.step_specs import ConditionSpec, ConditionsSpec, RedirectSpec

IS_HTTP = ConditionsSpec((ConditionSpec("{>X-Forwarded-Proto}", "is", "http"),))


@pytest.mark.parametrize(
    ("text", "specs"),
    [
        ("redir https://b.test{uri}", [RedirectSpec("/", "https://b.test{uri}")]),
        ("redir /a /b", [RedirectSpec("/a", "/b")]),
        ("redir /a /b 307", [RedirectSpec("/a", "/b", 307)]),
        ("redir /a /b meta", [RedirectSpec("/a", "/b", is_meta=True)]),
        (
            "redir 307 {\n/foo /info/foo\n/todo /notes 303\n/api-dev /api meta\n}",
            [
                RedirectSpec("/foo", "/info/foo", 307),
                RedirectSpec("/todo", "/notes", 303),
                RedirectSpec("/api-dev", "/api", 307, is_meta=True),
            ],
        ),
        ("redir meta {\n/a /b\n}", [RedirectSpec("/a", "/b", is_meta=True)]),
        ("redir {\n/x\n}", [RedirectSpec("/", "/x")]),
        (
            "redir 302 {\nif {>X-Forwarded-Proto} is http\n/ https://{host}{uri}\n}",
            [RedirectSpec("/", "https://{host}{uri}", 302, conditions=IS_HTTP)],
        ),
        (
            "redir 302 { if {>X-Forwarded-Proto} is http / https://{host}{uri} }",
            [RedirectSpec("/", "https://{host}{uri}", 302, conditions=IS_HTTP)],
        ),
        (
            "redir / https://{host}{uri} 302 {\nif {>X-Forwarded-Proto} is http\n}",
            [RedirectSpec("/", "https://{host}{uri}", 302, conditions=IS_HTTP)],
        ),
        (
            "redir {\n/a /b\nif {>X-Forwarded-Proto} is http\n/c /d\n}",
            [RedirectSpec("/a", "/b", conditions=IS_HTTP), RedirectSpec("/c", "/d", conditions=IS_HTTP)],
        ),
        ('redir {\n"if" /x\n/if /y\n}', None),
    ],
)
def test_forms(
    read_site: Callable[[str], SiteSpec],
    find_mistakes: Callable[[str], list[str]],
    text: str,
    specs: list[RedirectSpec] | None,
) -> None:
    if specs is None:
        assert find_mistakes(text) == ['2:1 FROM must begin with `/`, found `"if"`: it would never match']
    else:
        assert read_site(text).redirects == tuple(specs)


@pytest.mark.parametrize("code", [300, 301, 302, 303, 304, 305, 307, 308])
def test_codes(read_site: Callable[[str], SiteSpec], code: int) -> None:
    assert read_site(f"redir /a /b {code}").redirects[0].status == code


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("redir", ["1:1 too few arguments for `redir`: found none, expected 1 to 3 arguments"]),
        ("redir /a /b 301 x", ["1:17 too many arguments for `redir`: found `x`, expected 1 to 3 arguments"]),
        ("redir {\n}", ["1:1 too few arguments for `redir`: found none, expected 1 to 3 arguments"]),
        ("redir 301", ["1:7 `301` is a code: a TO is missing"]),
        ("redir 301 {\nif a is b\n}", ["1:7 `301` is a code: a TO is missing"]),
        ("redir {\nmeta\n}", ["2:1 `meta` is a code: a TO is missing"]),
        (
            "redir /a /b {\n/c /d\n}",
            ["1:10 too many arguments for `redir`: found `/b`, expected at most 1 argument"],
        ),
        ("redir 306 {\n/a /b\n}", ["1:7 expected a code, 300 to 308 but 306, or `meta`, found `306`"]),
        ("redir /a /b 200", ["1:13 expected a code, 300 to 308 but 306, or `meta`, found `200`"]),
        ("redir a /b", ["1:7 FROM must begin with `/`, found `a`: it would never match"]),
        ("redir /a?b /c", ["1:7 FROM is a path without a query, found `/a?b`: it would never match"]),
        ('redir /a ""', ["1:10 TO is empty"]),
        ("redir /a /a", ["1:10 FROM and TO are the same, `/a`: that would go round in circles"]),
        ("redir /", ["1:7 FROM and TO are the same, `/`: that would go round in circles"]),
        (
            "redir {\n/a /b\n/a /c\n/d /e 3 4\nf /g\n}",
            [
                "3:1 `/a` is redirected already, to `/b` (Caddyfile:3:1)",
                "4:9 too many arguments: found `4`, expected FROM TO [CODE]",
                "5:1 FROM must begin with `/`, found `f`: it would never match",
            ],
        ),
        ("redir /x\nredir /y", ["2:7 `/` is redirected already, to `/x` (Caddyfile:2:7)"]),
    ],
)
def test_mistakes(find_mistakes: Callable[[str], list[str]], text: str, mistakes: list[str]) -> None:
    assert find_mistakes(text) == mistakes


def test_a_condition_makes_room_for_a_second_line(read_site: Callable[[str], SiteSpec]) -> None:
    site = read_site("redir {\nif a is b\n/x /y\n}\nredir /x /z\nredir {\nif a is c\n/x /w\n}")
    assert [one.to for one in site.redirects] == ["/y", "/z", "/w"]


@pytest.mark.parametrize(
    ("text", "is_odd"),
    [
        ("redir /maintenance.html", True),
        ("redir / /maintenance.html", True),
        ("redir /x /maintenance.html", False),
        ("redir /new{uri}", False),
        ("redir {\nif {path} not /m\n/ /m\n}", False),
        ("redir https://b.test", False),
    ],
)
def test_a_circle_is_pointed_out(text: str, is_odd: bool) -> None:
    notices = adapt(f"http://localhost {{\n{text}\n}}", "f", env={}).config.notices
    assert any("circles" in one.message for one in notices) is is_odd
