from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.adapt import AdaptError, adapt
from posthouse.config.specs import ErrorsSpec, SiteSpec


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ("", None),
        ("errors", ErrorsSpec()),
        ("errors stdout", ErrorsSpec("stdout")),
        ("errors error.log", ErrorsSpec("error.log")),
        ("errors syslog", ErrorsSpec("syslog")),
        ("errors visible", ErrorsSpec(is_visible=True)),
        ("errors {\n404 404.html\n}", ErrorsSpec(pages=((404, "404.html"),))),
        (
            "errors error.log {\n* any.html\n400 a\n599 /b c.html\n}".replace("/b c", "/b"),
            ErrorsSpec("error.log", ((0, "any.html"), (400, "a"), (599, "/b.html"))),
        ),
        ("errors { 404 a.html 502 b.html }", ErrorsSpec(pages=((404, "a.html"), (502, "b.html")))),
        (
            "errors {\n404 a.html\n}\nerrors e.log {\n502 b.html\n}",
            ErrorsSpec("e.log", ((404, "a.html"), (502, "b.html"))),
        ),
        ("errors visible {\n404 a.html\n}", ErrorsSpec(pages=((404, "a.html"),), is_visible=True)),
    ],
)
def test_forms(read_site: Callable[[str], SiteSpec], text: str, errors: ErrorsSpec | None) -> None:
    assert read_site(text).errors == errors


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("errors a b", "1:10 too many arguments for `errors`: found `b`, expected at most 1 argument"),
        ("errors {\n399 a\n}", "2:1 unknown property `399` of `errors`"),
        ("errors {\n600 a\n}", "2:1 unknown property `600` of `errors`"),
        ("errors {\n4o4 a\n}", "2:1 unknown property `4o4` of `errors`"),
        ("errors {\n404\n}", "2:1 too few arguments for `404`: found none, expected 1 argument"),
        ('errors {\n404 ""\n}', "2:5 expected the file of a page, found an empty name"),
        ("errors {\n404 a\n404 b\n}", "3:1 there is a page for `404` already"),
        ("errors {\n* a\n}\nerrors {\n* b\n}", "5:1 there is a page for `*` already"),
    ],
)
def test_mistakes(find_mistakes: Callable[[str], list[str]], text: str, mistake: str) -> None:
    assert find_mistakes(text) == [mistake]


@pytest.mark.parametrize(
    ("status", "is_led"), [("200", True), ("40", True), ("399", True), ("600", True), ("4o4", False)]
)
def test_a_status_that_is_no_error_is_told_which_ones_are(status: str, is_led: bool) -> None:
    with pytest.raises(AdaptError) as raised:
        adapt(f"localhost {{\nerrors {{\n{status} a\n}}\n}}", "f", env={})
    (mistake,) = raised.value.mistakes
    assert (
        mistake.hint == "pages are for errors: a status from 400 to 599, or `*` for all of them"
    ) is is_led
