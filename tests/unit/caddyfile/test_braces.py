"""Braces that match, and what is said of those that don't."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from posthouse.caddyfile.braces import balance
from posthouse.caddyfile.lexer import MAX_MISTAKES, lex, lex_leniently
from unit.caddyfile.odd_text import odd_texts


def mended(text: str) -> list[str]:
    tokens, _ = balance(lex(text, "f"))
    return [token.text for token in tokens]


def complaints(text: str) -> list[tuple[str, str, str]]:
    _, mistakes = balance(lex(text, "f"))
    return [(f"{one.place.line}:{one.place.column}", one.message, one.hint) for one in mistakes]


UNOPENED = "this `}` closes nothing: no `{` is open here"
UNCLOSED = "this `{` is never closed: found the end of the file, expected `}`"


@pytest.mark.parametrize("text", ["", "a b", "a { b { c } d } e { }", '"}" `{` {x}', "a { x{ }"])
def test_matching_braces_are_left_alone(text: str) -> None:
    assert complaints(text) == []
    assert mended(text) == [token.text for token in lex(text, "f")]


def test_what_is_missing_is_added_and_what_is_too_many_left_out() -> None:
    assert mended("a { b {\nc") == ["a", "{", "b", "{", "c", "}", "}"]
    assert mended("a } b }") == ["a", "b"]
    assert mended("} {") == ["{", "}"]


def test_what_follows_a_brace_too_many_begins_the_line_in_its_place() -> None:
    tokens, _ = balance(lex("a\n} b", "f"))
    assert [(token.text, token.is_first) for token in tokens] == [("a", True), ("b", True)]


def test_each_is_found_with_its_place() -> None:
    assert complaints("a {\n}\n}") == [("3:1", UNOPENED, "")]
    assert [place for place, *_ in complaints("} a {\n b { } c {")] == ["1:1", "1:5", "2:10"]


def test_a_forgotten_opening_brace_is_guessed() -> None:
    assert complaints("a.test\n\tproxy / x\n}") == [
        ("3:1", UNOPENED, "is a `{` missing after `a.test` in line 1?")
    ]


def test_a_closing_brace_too_many_is_guessed_by_indentation() -> None:
    text = "a.test {\n\tproxy / x {\n\t}\n\t}\n}\n"
    assert complaints(text) == [
        ("5:1", UNOPENED, "by its indentation, the `}` in line 4 may be the one too many")
    ]


def test_a_forgotten_closing_brace_is_guessed_by_indentation() -> None:
    inner = "a.test {\n\tproxy / x {\n\t\twebsocket\n\tlog stdout\n}\n"
    assert complaints(inner) == [
        ("1:8", UNCLOSED, "by its indentation, a `}` is missing before line 4"),
    ]
    unindented = "a.test {\n\tproxy / x {\n\t\twebsocket\n}\n"
    assert complaints(unindented) == [
        ("1:8", UNCLOSED, "by its indentation, a `}` is missing before line 4"),
    ]
    outer = "a.test {\n\tproxy / x\n\nb.test {\n\tproxy / y\n}\n"
    assert complaints(outer) == [
        ("1:8", UNCLOSED, "by its indentation, a `}` is missing before line 4"),
    ]
    assert complaints("a {\n b\n") == [("1:3", UNCLOSED, "")]


def test_a_brace_glued_to_a_word_is_the_one_mistake() -> None:
    assert complaints("a.test{\n\tproxy / x\n}") == [
        ("1:1", "found `a.test{`, expected `{` as a word of its own", "write a blank before the `{`")
    ]
    assert [place for place, *_ in complaints("a { proxy / x { websocket} {host} }")] == ["1:17"]


def test_no_more_is_said_than_anyone_reads() -> None:
    assert len(complaints("} " * 500 + "{ " * 500)) == MAX_MISTAKES
    assert len(complaints("a{ " * 500 + "}")) == MAX_MISTAKES


@settings(max_examples=200, deadline=None)
@given(odd_texts)
def test_the_result_always_matches(text: str) -> None:
    tokens, mistakes = balance(lex_leniently(text, "f")[0])
    assert balance(tokens) == (tokens, [])
    assert all(one.width >= 1 for one in mistakes)
