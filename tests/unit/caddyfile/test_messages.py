"""What a person gets to see."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.caddyfile.lexer import lex
from posthouse.caddyfile.messages import (
    did_you_mean,
    habit_hint,
    harmless,
    nearest,
    quote,
    render,
    unit_hint,
    without_credentials,
)
from posthouse.errors import NOWHERE, Mistake, Notice, Place
from unit.caddyfile.odd_text import odd_texts


def shown(source: str, line: int, column: int, width: int = 1) -> list[str]:
    """The two lines of the excerpt, without the margin."""
    rendered = render(Mistake(Place("f", line, column), "m", width), {"f": source}).split("\n")
    return [one.partition("| ")[2] for one in rendered[1:]]


def test_a_mistake_like_a_good_compiler_prints_it() -> None:
    source = "a.test {\n\tproxy / x {\n\t\tpolcy first\n\t}\n}\n"
    mistake = Mistake(Place("Caddyfile", 3, 3), "unknown property `polcy`", 5, "did you mean `policy`?")
    assert render(mistake, {"Caddyfile": source}) == (
        "Caddyfile:3:3: unknown property `polcy`\n"
        "  3 |         polcy first\n"
        "    |         ^^^^^\n"
        "  hint: did you mean `policy`?"
    )


def test_a_notice_looks_the_same() -> None:
    assert render(Notice(Place("f", 1, 3), "odd", 2), {"f": "a bb"}) == "f:1:3: odd\n  1 | a bb\n    |   ^^"


def test_a_place_that_is_not_in_a_known_file() -> None:
    assert render(Mistake(NOWHERE, "m"), {}) == "m"
    assert render(Mistake(Place("g", 1, 1), "m", 1, "h"), {"f": ""}) == "g:1:1: m\n  hint: h"
    assert render(Mistake(Place("f", 9, 1), "m"), {"f": "a"}) == "f:9:1: m"


@pytest.mark.parametrize(
    ("source", "column", "width", "expected"),
    [
        ("a\tb", 3, 1, ["a    b", "     ^"]),
        ("日本 x", 4, 1, ["日本 x", "     ^"]),
        ("x 日本", 3, 2, ["x 日本", "  ^^^^"]),
        ("e\u0301 x", 4, 1, ["e\u0301 x", "  ^"]),
        ("a\r\nb", 1, 1, ["a", "^"]),
        ("\ufeffab", 2, 1, ["ab", " ^"]),
        ("ab", 2, 9, ["ab", " ^"]),
        ("ab", 3, 1, ["ab", "  ^"]),
        ("ab", 99, 1, ["ab", "  ^"]),
        ("", 1, 1, ["", "^"]),
    ],
)
def test_the_mark_stands_under_its_place(source: str, column: int, width: int, expected: list[str]) -> None:
    assert shown(source, 1, column, width) == expected


def test_what_could_steer_a_terminal_is_made_visible() -> None:
    assert shown("a\x1b[2J\x00\x7f\u202eb\x9b\udc80", 1, 7) == ["a␛[2J␀␡\ufffdb\ufffd\ufffd", "      ^"]
    assert harmless("plain é 日") == "plain é 日"
    assert harmless("a\nb\x1b\u00a0") == "a␊b␛ "
    rendered = render(Mistake(Place("f\n", 1, 1), "m\x1b", 1, "h\r"), {})
    assert rendered == "f␊:1:1: m␛\n  hint: h␍"


def test_of_a_long_line_the_surroundings_are_shown() -> None:
    line, mark = shown("a" * 500 + "X" + "b" * 500, 1, 501)
    assert len(line) < 160 and line.startswith("…a") and line.endswith("b…")
    assert line[mark.index("^")] == "X"
    line, mark = shown("X" + "b" * 500, 1, 1)
    assert line.startswith("Xb") and mark == "^"
    line, mark = shown("b" * 500 + "X", 1, 501)
    assert line.endswith("bX") and line[mark.index("^")] == "X"
    line, mark = shown("a" * 500, 1, 1, 500)
    assert len(mark) <= len(line)


def test_words_of_the_user_in_messages() -> None:
    assert quote("a\nb") == "`a␊b`"
    assert quote("x" * 100) == f"`{'x' * 59}…`"
    (token,) = lex('"{$SECRET} b"', "f")
    assert quote(token) == '`"{$SECRET} b"`'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("proxy / http://u:p@h", "proxy / http://***@h"),
        ("proxy / http://u:p/q@r@h:1/x u:p/q@h", "proxy / http://*******@h:1/x *****@h"),
        ("proxy / h:1 x@y http://h/x", "proxy / h:1 x@y http://h/x"),
    ],
)
def test_credentials_are_starred_out_in_the_same_width(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("'a", "single quotes mean nothing here: write double quotes"),
        ("b'", "single quotes mean nothing here: write double quotes"),
        ("@api", "named matchers are Caddy 2's: here a directive takes a path"),
        ("\"'a'\"", ""),
        ("it's", ""),
        ("'", ""),
        ("@", ""),
        ("a@b", ""),
    ],
)
def test_habits_from_elsewhere(text: str, hint: str) -> None:
    (token,) = lex(text, "f")
    assert habit_hint(token) == hint


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("10 MB", "write `10MB` as one word"),
        ("1.5 h", "write `1.5h` as one word"),
        ("30 sec", ""),
        ("x s", ""),
        ("10 20", ""),
    ],
)
def test_a_blank_before_a_unit(text: str, hint: str) -> None:
    assert unit_hint(*lex(text, "f")) == hint


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("polcy", "policy"),
        ("Policy", "policy"),
        ("health-check", "health_check"),
        ("roundrobin", "round_robin"),
        ("least_connections", "least_conn"),
        ("xyz", None),
        ("", None),
        ("q" * 100_000, None),
    ],
)
def test_the_nearest_name(word: str, expected: str | None) -> None:
    known = ["policy", "health_check", "round_robin", "least_conn"]
    assert nearest(word, known) == expected
    assert did_you_mean(word, known) == (f"did you mean `{expected}`?" if expected else "")


def test_there_may_be_no_name_at_all() -> None:
    assert nearest("x", []) is None


@settings(max_examples=300, deadline=None)
@given(odd_texts, odd_texts, st.integers(-2, 60), st.integers(-2, 60), st.integers(-2, 60))
def test_whatever_the_file_holds_the_message_is_printable(
    source: str, message: str, line: int, column: int, width: int
) -> None:
    rendered = render(Mistake(Place("f", line, column), message, width, message), {"f": source})
    assert rendered.replace("\n", "").isprintable()
    assert rendered.count("\n") <= 3
    rendered.encode("utf-8")
