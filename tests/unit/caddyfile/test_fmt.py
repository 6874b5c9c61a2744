"""The canonical layout."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from hypothesis import given, settings

from posthouse.caddyfile.fmt import format_caddyfile
from posthouse.caddyfile.lexer import lex, normalize, scan
from posthouse.caddyfile.parser import Parsed, parse_leniently
from posthouse.errors import ConfigError, Mistake, Notice
from unit.caddyfile.memory_files import MAIN, read_from
from unit.caddyfile.odd_text import odd_texts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("\n\n# only\n\n", "# only\n"),
        ("a.test   b.test\r\n", "a.test b.test\n"),
        ("a.test {\nproxy / x\n}", "a.test {\n\tproxy / x\n}\n"),
        ("a.test { proxy / x }", "a.test {\n\tproxy / x\n}\n"),
        ("a.test {\n    proxy / x {\n websocket }\n }", "a.test {\n\tproxy / x {\n\t\twebsocket\n\t}\n}\n"),
        ("a { p { x } log y }", "a {\n\tp {\n\t\tx\n\t}\n\tlog y\n}\n"),
        ("a {\n\n\n p\n\n\n\n q\n\n}\n\n\n\nb { }", "a {\n\tp\n\n\tq\n}\n\nb {\n}\n"),
        ("a,\nb\n{\n}", "a,\nb {\n}\n"),
        ("a # why\n{ # open\n\np # p\n\n# q\n} # end", "a # why\n{ # open\n\tp # p\n\n\t# q\n} # end\n"),
        ("a {\n# one\n\n# two\n}", "a {\n\t# one\n\n\t# two\n}\n"),
        ("p a \\\n     b \\\n\tc", "p a \\\n\tb \\\n\tc\n"),
        ("p a \\\n\n", "p a\n"),
        ("p a\\", "p a\\ \n"),
        ("p a\\  \nq", "p a\\ \nq\n"),
        ('p "a\n   b"   c', 'p "a\n   b" c\n'),
        ('p "a"b`c`#d', 'p "a" b`c`#d\n'),
        ('p "a"#d', 'p "a" #d\n'),
        ("p #d   ", "p #d\n"),
    ],
)
def test_layout(text: str, expected: str) -> None:
    assert format_caddyfile(text, "f") == expected
    assert format_caddyfile(expected, "f") == expected


def test_properties_on_one_line_stay_there() -> None:
    text = "a.test { proxy / x { policy first health_check /h } }"
    assert "\t\tpolicy first health_check /h\n" in format_caddyfile(text, "f")


@pytest.mark.parametrize(
    "text",
    [
        "localhost\nproxy / x\n{\n}\n",
        "localhost\n# and,\nproxy / x\n{\n}\n",
        "import addresses\n{\n}\n",
        "a {\n\tproxy / x\n\t{\n\t}\n}\n",
        "a # b\n{\n}\n",
    ],
)
def test_an_opening_brace_moves_only_to_where_it_surely_belongs(text: str) -> None:
    assert format_caddyfile(text, "f") == text


@pytest.mark.parametrize("text", ["a {", "}", 'a "b', "a{\n}", "a \x00"])
def test_what_cannot_be_read_is_not_touched(text: str) -> None:
    with pytest.raises(ConfigError):
        format_caddyfile(text, "f")


def _comments(text: str) -> list[str]:
    return [piece.text.rstrip() for piece in scan(normalize(text)) if piece.kind == "comment"]


def _words(text: str) -> list[tuple[str, bool]]:
    return [(token.text, token.quoted) for token in lex(text, "f")]


@settings(max_examples=500, deadline=None)
@given(odd_texts)
def test_same_words_same_comments_and_stable(text: str) -> None:
    try:
        formatted = format_caddyfile(text, "f")
    except ConfigError:
        return
    assert _words(formatted) == _words(text)
    assert _comments(formatted) == _comments(text)
    assert format_caddyfile(formatted, "f") == formatted
    assert "\n\n\n" not in re.sub(r'"[^"]*"|`[^`]*`', "q", formatted)


def _parsed(text: str, first: str, second: str) -> Parsed:
    files = {"a": first, "b": second}
    return parse_leniently(text, MAIN, env={"A": "x y", "B": "}"}, read=read_from(files))


def _meaning(parsed: Parsed) -> list[object]:
    return [
        (
            block.is_braced,
            [token.text for token in block.addresses],
            [(one.name.text, [(t.text, t.quoted) for t in one.tokens]) for one in block.directives],
        )
        for block in parsed.blocks
    ]


def _said(remarks: Iterable[Mistake | Notice]) -> set[str]:
    """Without the numbers: formatting moves lines."""
    return {re.sub(r"\d+", "N", one.message) for one in remarks}


@settings(max_examples=400, deadline=None)
@given(odd_texts, odd_texts, odd_texts)
def test_the_meaning_stays_and_so_do_the_mistakes(text: str, first: str, second: str) -> None:
    try:
        formatted = format_caddyfile(text, "f")
    except ConfigError:
        return
    before, after = _parsed(text, first, second), _parsed(formatted, first, second)
    assert _meaning(after) == _meaning(before)
    assert _said(after.mistakes) == _said(before.mistakes)
    assert _said(after.notices) == _said(before.notices)
