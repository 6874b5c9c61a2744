from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.config.specs import HeaderRule, HeaderScopeSpec, SiteSpec

ONE_LINE = 'header / { -Server X-A "b c" +X-B d -X-C }'
MANY_LINES = 'header / {\n-Server\nX-A "b c"\n+X-B d\n-X-C\n}'


@pytest.mark.parametrize("text", [ONE_LINE, MANY_LINES])
def test_a_block_on_one_line_or_many(read_site: Callable[[str], SiteSpec], text: str) -> None:
    rules = (
        HeaderRule("remove", "Server"),
        HeaderRule("set", "X-A", "b c"),
        HeaderRule("add", "X-B", "d"),
        HeaderRule("remove", "X-C"),
    )
    assert read_site(text).headers == (HeaderScopeSpec("/", rules),)


def test_without_a_block(read_site: Callable[[str], SiteSpec]) -> None:
    site = read_site("header /api X-A b\nheader / -Server")
    assert site.headers == (
        HeaderScopeSpec("/api", (HeaderRule("set", "X-A", "b"),)),
        HeaderScopeSpec("/", (HeaderRule("remove", "Server"),)),
    )
    assert [scope.place.line for scope in site.headers] == [2, 3]


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("header", ["1:1 too few arguments for `header`: found none, expected 2 to 3 arguments"]),
        ("header /", ["1:1 too few arguments for `header`: found only `/`, expected 2 to 3 arguments"]),
        ("header / A", ["1:10 a value for `A` is missing"]),
        ("header / A b c", ["1:14 too many arguments for `header`: found `c`, expected 2 to 3 arguments"]),
        ("header x A b", ["1:8 the path of `header` must begin with `/`, found `x`: it would never match"]),
        ("header / A {\n}", ["1:10 too many arguments for `header`: found `A`, expected 1 argument"]),
        (
            "header / {\nA\nB: c\nD ( f\n-G h\n}",
            [
                "2:1 a value for `A` is missing",
                "3:1 `B:` is not a field name",
                "4:3 `(` is not a regular expression: missing ): (",
            ],
        ),
    ],
)
def test_mistakes(find_mistakes: Callable[[str], list[str]], text: str, mistakes: list[str]) -> None:
    assert find_mistakes(text) == mistakes
