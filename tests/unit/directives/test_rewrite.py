from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.config.specs import SiteSpec
from posthouse.config.step_specs import ConditionSpec, ConditionsSpec, RewriteSpec


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("rewrite /from /to", RewriteSpec(("/to",), pattern="/from")),
        ("rewrite a b c", RewriteSpec(("b", "c"), pattern="a")),
        ('rewrite a "b c"', RewriteSpec(("b", "c"), pattern="a")),
        ("rewrite not a b c", RewriteSpec(("b", "c"), pattern="a", is_negated=True)),
        ('rewrite "not" b c', RewriteSpec(("b", "c"), pattern="not")),
        ("rewrite {\nr .*\nto /to /index.php?\n}", RewriteSpec(("/to", "/index.php?"), pattern=".*")),
        (
            "rewrite /app {\nregexp ^/(\\w+)/?$\next / .html !.txt\nif {path} match /\nto /x?y={1}\n}",
            RewriteSpec(
                ("/x?y={1}",),
                "/app",
                "^/(\\w+)/?$",
                extensions=("/", ".html", "!.txt"),
                conditions=ConditionsSpec((ConditionSpec("{path}", "match", "/"),)),
            ),
        ),
        ("rewrite / { r a ext .b if c is d to /e /f }",
            RewriteSpec(("/e", "/f"), "/", "a", extensions=(".b",),
                conditions=ConditionsSpec((ConditionSpec("c", "is", "d"),)))),
        ("rewrite {\nif {file} not favicon.ico\nto {path} {path}/ /index.php\n}",
            RewriteSpec(("{path}", "{path}/", "/index.php"),
                conditions=ConditionsSpec((ConditionSpec("{file}", "not", "favicon.ico"),)))),
    ],
)  # fmt: skip
def test_forms(read_site: Callable[[str], SiteSpec], text: str, spec: RewriteSpec) -> None:
    assert read_site(text).rewrites == (spec,)


def test_several_in_the_order_of_the_file(read_site: Callable[[str], SiteSpec]) -> None:
    site = read_site("rewrite a /1\nrewrite /x {\nto /2\n}\nrewrite b /3")
    assert [(one.destinations, one.place.line) for one in site.rewrites] == [
        (("/1",), 2), (("/2",), 3), (("/3",), 6),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("rewrite", "1:1 too few arguments for `rewrite`: found none, expected at least 2 arguments"),
        ("rewrite a", "1:1 too few arguments for `rewrite`: found only `a`, expected at least 2 arguments"),
        ("rewrite not a", "1:13 a TO is missing: expected `rewrite not FROM TO...`"),
        ("rewrite ( /x", "1:9 `(` is not a regular expression: missing ): ("),
        ("rewrite (?=a) /x", "1:9 `(?=a)` is not a regular expression: invalid perl operator: (?="),
        ("rewrite {\nr [\nto /x\n}", "2:3 `[` is not a regular expression: missing ]: ["),
        ("rewrite {\nr .*\n}", "1:1 `rewrite` has no `to`: expected one or more paths to rewrite to"),
        ("rewrite {\n}", "1:1 `rewrite` has no `to`: expected one or more paths to rewrite to"),
        ("rewrite x {\nto /y\n}",
            "1:9 the base path of `rewrite` must begin with `/`, found `x`: it would never match"),
        ("rewrite / /x {\nto /y\n}", "1:11 too many arguments for `rewrite`: found `/x`, expected at most 1 argument"),
        ("rewrite {\nstatus 404\nto /x\n}", "2:1 unknown property `status` of `rewrite`"),
        ("rewrite {\next html\nto /x\n}", "2:5 expected an extension such as `.php`, found `html`"),
        ("rewrite {\next .tar.gz\nto /x\n}", "2:5 expected an extension such as `.php`, found `.tar.gz`"),
        ("rewrite {\next !\nto /x\n}", "2:5 expected an extension such as `.php`, found `!`"),
        ('rewrite a ""', "1:11 a TO is empty"),
        ("rewrite a https://b.test/c",
            "1:11 a TO of `rewrite` is a path of this site, found `https://b.test/c`"),
        ("rewrite a ?b=c", "1:11 `?b=c` has a query and no path"),
        ("rewrite a /b#c", "1:11 `/b#c`: what follows a `#` never reaches a server"),
        ("rewrite a /b%zz", "1:11 `/b%zz` is no path: a control character or a broken %-escape"),
        ("rewrite a /b%00", "1:11 `/b%00` is no path: a control character or a broken %-escape"),
        ("rewrite a /{1}/../b", "1:11 `/{1}/../b` has a `.` or `..` in it: write the path that it comes to"),
        ("rewrite a /%2e%2E/b", "1:11 `/%2e%2E/b` has a `.` or `..` in it: write the path that it comes to"),
    ],
)  # fmt: skip
def test_mistakes(find_mistakes: Callable[[str], list[str]], text: str, mistake: str) -> None:
    assert find_mistakes(text) == [mistake]


@pytest.mark.parametrize("to", ["/a...b", "/b?x=../%zz", "/100{1}%25", "/{1}..", "{uri}"])
def test_what_only_looks_wrong(read_site: Callable[[str], SiteSpec], to: str) -> None:
    assert read_site(f"rewrite a {to}").rewrites[0].destinations == (to,)
