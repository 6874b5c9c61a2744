"""Blocks, addresses, directives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings

from posthouse.caddyfile.parser import GLOBAL_OPTIONS, Parsed, parse, parse_leniently
from posthouse.errors import ConfigError
from unit.caddyfile.memory_files import MAIN, read_from
from unit.caddyfile.odd_text import odd_texts

Parse = Callable[..., Parsed]
Shape = Callable[[Parsed], list[list[list[str]]]]
Complaints = Callable[[Parsed], list[str]]

ONE_PROXY = [[["a.test"], ["proxy", "/", "x"]]]


@pytest.mark.parametrize(
    "text",
    [
        "a.test {\n\tproxy / x\n}\n",
        "a.test\n{\n\tproxy / x\n}",
        "a.test # why\n\n# still\n{\n\tproxy / x\n}",
        "a.test { proxy / x }",
        "a.test { proxy / x\n}",
        "a.test {\n proxy / x }",
        "a.test { proxy \\\n / \\\n x }",
        "a.test\nproxy / x",
        "a.test\r\n\r\nproxy / x\r\n",
        '"a.test" {\n"proxy" "/" `x`\n}',
    ],
)
def test_a_site_in_all_its_layouts(text: str, parse_files: Parse, shape: Shape) -> None:
    parsed = parse_files(text)
    assert parsed.mistakes == ()
    assert shape(parsed) == ONE_PROXY


@pytest.mark.parametrize(
    "text",
    [
        "a.test b.test c.test {\n}",
        "a.test, b.test, c.test {\n}",
        "a.test,\nb.test\tc.test\n{\n}",
        "a.test,\n\n# between\nb.test,\nc.test { }",
        "a.test , b.test , c.test { }",
        '"a.test", b.test, c.test { }',
    ],
)
def test_several_addresses(text: str, parse_files: Parse, shape: Shape) -> None:
    parsed = parse_files(text)
    assert parsed.mistakes == ()
    assert shape(parsed) == [[["a.test", "b.test", "c.test"]]]


def test_several_sites(parse_files: Parse, shape: Shape) -> None:
    parsed = parse_files("a.test { log x }\nb.test {\n\tproxy / y { websocket }\n} c.test {\n}\n")
    assert parsed.mistakes == ()
    assert shape(parsed) == [
        [["a.test"], ["log", "x"]],
        [["b.test"], ["proxy", "/", "y", "{", "websocket", "}"]],
        [["c.test"]],
    ]


def test_without_braces_all_the_rest_is_one_site(parse_files: Parse, shape: Shape) -> None:
    parsed = parse_files("a.test { }\nb.test\nproxy / x {\n\twebsocket\n}\nc.test\nlog y")
    assert [block.is_braced for block in parsed.blocks] == [True, False]
    assert shape(parsed)[1] == [
        ["b.test"],
        ["proxy", "/", "x", "{", "websocket", "}"],
        ["c.test"],
        ["log", "y"],
    ]


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "\ufeff"])
def test_an_empty_file_says_nothing(text: str, parse_files: Parse) -> None:
    assert parse_files(text) == Parsed(())


def test_a_site_may_have_no_directives(parse_files: Parse, shape: Shape) -> None:
    assert shape(parse_files("localhost:8080")) == [[["localhost:8080"]]]


def test_a_directive_ends_with_its_line_or_its_block(parse_files: Parse, shape: Shape) -> None:
    parsed = parse_files(
        "a.test {\n\tproxy / x { websocket } log y\n\tlimits {\n\t\theader 1KB\n\t} bind z }"
    )
    assert parsed.mistakes == ()
    assert shape(parsed) == [
        [
            ["a.test"],
            ["proxy", "/", "x", "{", "websocket", "}"],
            ["log", "y"],
            ["limits", "{", "header", "1KB", "}"],
            ["bind", "z"],
        ]
    ]


def test_quoted_braces_are_text(parse_files: Parse, shape: Shape) -> None:
    parsed = parse_files('a.test { header / X "}" `{` "import" y }')
    assert shape(parsed) == [[["a.test"], ["header", "/", "X", "}", "{", "import", "y"]]]


def test_the_environment_is_expanded_everywhere_and_never_syntax(parse_files: Parse, shape: Shape) -> None:
    text = "{$HOST}:{$PORT}, b.test {\n\t{$NAME} / {$TO} {$NONE} {%BRACE%}{\n}\n}"
    parsed = parse_files(
        text.replace("}{\n", "} {\n"), HOST="a.test", PORT="80", NAME="proxy", TO="x y, }", BRACE="{"
    )
    assert parsed.mistakes == ()
    assert shape(parsed) == [[["a.test:80", "b.test"], ["proxy", "/", "x y, }", "", "{", "{", "}"]]]
    brace = parsed.blocks[0].directives[0].tokens[3]
    assert (brace.text, brace.is_word("{")) == ("{", False)


def test_a_value_ends_in_a_comma_without_being_a_list(parse_files: Parse, shape: Shape) -> None:
    assert shape(parse_files("{$A} { }", A="a.test,")) == [[["a.test,"]]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.test, { }", ["1:7 expected another address after this comma, found `{`"]),
        ("a.test,", ["1:7 expected another address after this comma, found the end of the file"]),
        ("a.test,, b.test { }", ["1:8 found a `,` too many, expected an address"]),
        ("a.test, , b.test { }", ["1:9 found a `,` too many, expected an address"]),
        (", a.test { }", ["1:1 found a `,` too many, expected an address"]),
        ('"" { }', ['1:1 the address `""` is empty']),
        ("{$NONE} { }", ["1:1 the address `{$NONE}` is empty"]),
        ("a.test {}", ["1:8 found `{}` as one word, expected `{`"]),
        ("{\n}", ["1:1 found `{`, expected the address of a site before it"]),
        ("a.test {\n\tproxy / x\n\t{\n\t}\n}", ["3:2 found `{`, expected a directive"]),
        ("a.test {\n\t{$NONE} x\n}", ["2:2 the name of this directive, `{$NONE}`, is empty"]),
        ("(s), a.test { }", ["1:1 the snippet `(s)` has its block for itself: found an address beside it"]),
        ("() { }", ["1:1 a snippet needs a name: found `()`"]),
        ("(s)\nproxy / x", ["1:1 expected `{` after the snippet `(s)`"]),
        ("(s) { }\n(s) { }", ["2:1 the snippet `(s)` is defined a second time"]),
    ],
)
def test_mistakes_with_their_places(
    text: str, expected: list[str], parse_files: Parse, complaints: Complaints
) -> None:
    assert complaints(parse_files(text)) == [f"{MAIN}:{one}" for one in expected]


def test_all_mistakes_in_one_go_in_the_order_of_the_file(parse_files: Parse, complaints: Complaints) -> None:
    parsed = parse_files("a.test, { }\nimport nothing.conf\nb.test {\n\t{ }\n\timport\n}\nc.test, \n")
    places = [line.split(" ")[0] for line in complaints(parsed)]
    assert places == [f"{MAIN}:{place}" for place in ("1:7", "2:8", "4:2", "5:2", "7:7")]


def test_what_could_be_read_comes_with_the_mistakes(parse_files: Parse, shape: Shape) -> None:
    parsed = parse_files("import nothing.conf\na.test { proxy / x }")
    assert len(parsed.mistakes) == 1
    assert shape(parsed) == ONE_PROXY


@pytest.mark.parametrize("text", ["a.test {\n\tproxy / x\n", "a.test\nproxy / x\n}", 'a.test { proxy / "x }'])
def test_nothing_is_read_when_braces_or_quotes_do_not_match(text: str, parse_files: Parse) -> None:
    parsed = parse_files(text)
    assert len(parsed.mistakes) == 1
    assert parsed.blocks == ()


def test_parse_raises_them() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("a.test, { }", MAIN, env={}, read=read_from({}))
    assert [str(one.place) for one in caught.value.mistakes] == [f"{MAIN}:1:7"]
    assert len(parse("a.test", MAIN, env={}, read=read_from({})).blocks) == 1


def test_depth_costs_no_stack(parse_files: Parse) -> None:
    parsed = parse_files("a.test { x " + "{ " * 20_000 + "} " * 20_000 + "}")
    assert parsed.mistakes == ()
    assert len(parsed.blocks[0].directives[0].tokens) == 40_000


@settings(max_examples=400, deadline=None)
@given(odd_texts, odd_texts, odd_texts)
def test_nothing_but_mistakes_ever_comes_out(text: str, first: str, second: str) -> None:
    """Any text at all, importing files that hold any text at all, each other and themselves."""
    files = {MAIN: text, "a": first, "b": second}
    parsed = parse_leniently(text, MAIN, env={"A": "{ x\n}", "B": "import"}, read=read_from(files))
    assert all(one.place.line >= 1 and one.place.column >= 1 and one.width >= 1 for one in parsed.mistakes)
    for block in parsed.blocks:
        assert block.addresses
        for segment in block.directives:
            balance = [token.is_word("{") - token.is_word("}") for token in segment.tokens]
            assert sum(balance) == 0
            assert all(sum(balance[:end]) >= 0 for end in range(len(balance)))
    if parsed.mistakes:
        with pytest.raises(ConfigError):
            parse(text, MAIN, env={"A": "{ x\n}", "B": "import"}, read=read_from(files))


@pytest.mark.parametrize(
    ("text", "hint"),
    [("{\n}\na.test { }", GLOBAL_OPTIONS), ("a.test { }\n{\n}", ""), ("(s) { }\n{\n}", "")],
)
def test_a_block_that_opens_the_file_is_a_habit_of_caddy_2(text: str, hint: str, parse_files: Parse) -> None:
    assert [one.hint for one in parse_files(text).mistakes] == [hint]
