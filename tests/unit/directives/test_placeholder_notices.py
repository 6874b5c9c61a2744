from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.adapt import adapt
from posthouse.directives.placeholder_notices import KNOWN, LINES
from posthouse.observe import access_lines, placeholders


def notices(directives: str, env: dict[str, str] | None = None) -> list[str]:
    text = f"localhost {{\n{directives}\nroot .\n}}\n"
    found = adapt(text, "Caddyfile", env=env or {}).config.notices
    return [f"{one.place.line - 1}:{one.place.column}+{one.width} {one.message}" for one in found]


def test_the_names_are_those_that_are_resolved() -> None:
    tables = (
        placeholders._CONSTANTS,
        placeholders._OF_TLS,
        placeholders._URL_PARTS,
        placeholders._ELAPSED,
        placeholders._VALUES,
    )
    assert {name for table in tables for name in table} == KNOWN
    assert set(access_lines._WHOLE) == LINES


@pytest.mark.parametrize("name", [*sorted(KNOWN), ">X", "<X", "~x", "?x", "label1", "label12"])
def test_a_known_one_is_nothing_to_speak_of(name: str) -> None:
    assert (
        notices(f'log / stdout "{{common}} {{{name}}}"\nheader / X "a {{{name}}}"\nredir /a /b{{{name}}}')
        == []
    )


@pytest.mark.parametrize(
    ("directives", "at"),
    [
        ('log / stdout "{combine} {usr}"', ["1:15+9 `{combine}` `{combined}`", "1:25+5 `{usr}` `{user}`"]),
        ("header / X-A {combined}", ["1:14+10 `{combined}`"]),
        ("header / {\nX-A b{hots}\n}", ["2:6+6 `{hots}` `{host}`"]),
        ("header / {\nX-A (.*) ${1}{hots}\n}", ["2:14+6 `{hots}` `{host}`"]),
        ("proxy / h {\nheader_upstream X-A {remot}\n}", ["2:21+7 `{remot}` `{remote}`"]),
        ("proxy / h {\nheader_downstream +X-A {remot}\n}", ["2:24+7 `{remot}` `{remote}`"]),
        ("rewrite ^/a(.*) /b{1}{quer} {fil}", ["1:22+6 `{quer}` `{query}`", "1:29+5 `{fil}` `{file}`"]),
        (
            "rewrite {\nif {mehtod} is {hots}\nif {uri} match ^/.{3}$\nto /x{1}{patth}\n}",
            ["2:4+8 `{mehtod}` `{method}`", "2:16+6 `{hots}` `{host}`", "4:9+7 `{patth}` `{path}`"],
        ),
        ("redir https://{hots}{uri}", ["1:15+6 `{hots}` `{host}`"]),
        ("redir /a /b{1} 301", ["1:12+3 `{1}`"]),
        ("redir {\nif {hots} is a\n/a /b{urii}\n}", ["2:4+6 `{hots}` `{host}`", "3:6+6 `{urii}` `{uri}`"]),
        ("log / stdout {remote_host}", ["1:14+13 `{remote_host}` `{remote}`"]),
        ("log / stdout {http.request.uri}", ["1:14+18 `{http.request.uri}` `{uri}`"]),
        ("log / stdout {header.Referer}", ["1:14+16 `{header.Referer}` `{>Referer}`"]),
        ("log / stdout {cookie.a}", ["1:14+10 `{cookie.a}` `{~a}`"]),
        ("log / stdout {zzzzzz}", ["1:14+8 `{zzzzzz}`"]),
    ],
)
def test_an_unknown_one_is_told_with_its_place(directives: str, at: list[str]) -> None:
    expected = []
    for one in at:
        place, name, *meant = one.split()
        hint = f": did you mean {meant[0]}?" if meant else ""
        expected.append(f"{place} unknown placeholder {name}, which stands for nothing{hint}")
    assert notices(directives) == expected


def test_braces_that_are_meant_as_such_are_told_how_to_be_written() -> None:
    (found,) = notices('log / stdout `{"status": {status}}`')
    assert found.endswith(": a brace that is meant as such is written `\\{` or `\\}`")
    assert notices('log / stdout `\\{"status": {status}\\}`') == []


def test_a_value_of_the_environment_is_not_shown() -> None:
    (found,) = notices('log / stdout "{$F} {uri}"', {"F": "{secret}"})
    assert found == '1:14+12 `"{$F} {uri}"` has an unknown placeholder, which stands for nothing'


@pytest.mark.parametrize(
    ("directives", "found"),
    [
        ("header / -X-A foo", ["1:15+3 `foo` is ignored"]),
        ("proxy / h {\nheader_upstream -X-A foo\n}", ["2:22+3 `foo` is ignored"]),
        ("proxy / h {\nheader_downstream -X-A foo\n}", ["2:24+3 `foo` is ignored"]),
        ('proxy / h {\nheader_upstream -X-A ""\nheader_upstream -X-B\n}', []),
    ],
)
def test_the_value_of_a_field_to_remove_is_told_to_be_ignored(directives: str, found: list[str]) -> None:
    rest = ": `-X-A` removes the field, whatever its value; `X-A VALUE` sets it"
    assert notices(directives) == [one + rest for one in found]


def test_a_template_means_what_it_meant(read_site: Callable[[str], object]) -> None:
    assert '"{combine}"' in repr(read_site("log / stdout {combine}")).replace("'", '"')
