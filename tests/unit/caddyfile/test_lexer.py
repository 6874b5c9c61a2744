"""Text to tokens."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from posthouse.caddyfile.lexer import MAX_MISTAKES, MAX_TOKENS, lex, lex_leniently, normalize, scan
from posthouse.errors import ConfigError, Place
from unit.caddyfile.odd_text import odd_texts


def words(text: str) -> list[str]:
    return [token.text for token in lex(text, "f")]


def complaints(text: str) -> list[str]:
    _, mistakes = lex_leniently(text, "f")
    return [f"{one.place} {one.message}" for one in mistakes]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("a b\tc\nd", ["a", "b", "c", "d"]),
        ("\ufeffa", ["a"]),
        ("a\r\nb\r\n", ["a", "b"]),
        ("a\rb", ["ab"]),
        ("a\u00a0b\u2003c\u0085d\u3000e", ["a", "b", "c", "d", "e"]),
        ("localhost{ }x", ["localhost{", "}x"]),
        ("{a} { }", ["{a}", "{", "}"]),
    ],
)
def test_white_space_separates_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"a b" c', ["a b", "c"]),
        ('"a b"c', ["a b", "c"]),
        ('a"b c"d', ['a"b', 'c"d']),
        ('""', [""]),
        ('"a\nb"', ["a\nb"]),
        ('"a\\"b"', ['a"b']),
        ('"a\\nb\\\\"', ["a\\nb\\\\"]),
        ('"a\\\\\\"b"', ['a\\\\"b']),
        ("'a b'", ["'a", "b'"]),
        ('"# { }"', ["# { }"]),
    ],
)
def test_double_quotes(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("`a b`c", ["a b", "c"]),
        ('`a "b" \\` c', ['a "b" \\', "c"]),
        ("`a\nb`", ["a\nb"]),
        ("a`b c`d", ["a`b", "c`d"]),
        ("``", [""]),
    ],
)
def test_back_quotes_keep_everything(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a # b c\nd", ["a", "d"]),
        ("a#b", ["a#b"]),
        ("http://x/#f #c", ["http://x/#f"]),
        ('"a"#b', ["a"]),
        ("# a \\\nb", ["b"]),
        ('# "never closed\nb', ["b"]),
    ],
)
def test_comments_begin_where_a_token_could(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a \\\nb", [("a", True), ("b", False)]),
        ("a\\\nb", [("a", True), ("b", False)]),
        ("a \\\r\nb", [("a", True), ("b", False)]),
        ("a \\\n\\\nb", [("a", True), ("b", False)]),
        ("a \\\n\nb", [("a", True), ("b", True)]),
        ("a \\ \nb", [("a", True), ("\\", False), ("b", True)]),
        ("a \\b", [("a", True), ("\\b", False)]),
        ("a \\", [("a", True), ("\\", False)]),
        ("a \\\n# c\nb", [("a", True), ("b", True)]),
        ("\\\na", [("a", True)]),
    ],
)
def test_a_backslash_at_the_end_joins_lines(text: str, expected: list[tuple[str, bool]]) -> None:
    assert [(token.text, token.is_first) for token in lex(text, "f")] == expected


def test_places_count_characters_from_one() -> None:
    tokens = lex('\ufeffa\tb\r\n  日本 "c\nd" e \\\nf\n\n\ng', "f")
    assert [(token.text, token.place.line, token.place.column, token.width) for token in tokens] == [
        ("a", 1, 1, 1),
        ("b", 1, 3, 1),
        ("日本", 2, 3, 2),
        ("c\nd", 2, 6, 2),
        ("e", 3, 4, 1),
        ("f", 4, 1, 1),
        ("g", 7, 1, 1),
    ]
    assert [token.end_line for token in tokens] == [1, 1, 2, 3, 3, 4, 7]


def test_only_unquoted_words_can_be_syntax() -> None:
    assert [token.is_word("{") for token in lex('{ "{" `{`', "f")] == [True, False, False]


def test_an_unclosed_quote_is_found_with_its_place() -> None:
    with pytest.raises(ConfigError) as caught:
        lex('a\n b "c d\n', "f")
    assert [one.place for one in caught.value.mistakes] == [Place("f", 2, 4)]
    assert complaints("a\n `c") == [
        "f:2:2 this back-quote is never closed: found the end of the file, expected another `"
    ]


def test_after_an_unclosed_quote_reading_goes_on_in_the_next_line() -> None:
    tokens, mistakes = lex_leniently('a "b c\nd `e\nf', "f")
    assert [token.text for token in tokens] == ["a", "b c", "d", "e", "f"]
    assert [one.place.line for one in mistakes] == [1, 2]


def test_invisible_characters_are_refused() -> None:
    assert complaints("a\x00b \x1b") == [
        "f:1:2 found the control character U+0000, expected text",
        "f:1:5 found the control character U+001B, expected text",
    ]
    assert complaints('"a\nb\x07"') == ["f:2:2 found the control character U+0007, expected text"]
    assert complaints("a\udc80") == ["f:1:2 found a byte that is not UTF-8, expected text"]
    assert complaints("a\nb\ufeff") == ["f:2:2 found a byte-order mark (U+FEFF), expected text"]
    assert complaints("# \x00 in a comment") == []


def test_mistakes_and_words_are_bounded() -> None:
    assert len(complaints("\x00 " * (MAX_MISTAKES + 1))) == MAX_MISTAKES
    assert complaints("a b c") == []
    tokens, mistakes = lex_leniently("a b c\nd", "f", most=3)
    assert [token.text for token in tokens] == ["a", "b", "c"]
    assert [str(one.place) for one in mistakes] == ["f:2:1"]
    assert str(MAX_TOKENS) in mistakes[0].message
    assert lex_leniently("a b c\n", "f", most=3)[1] == []


@settings(max_examples=300, deadline=None)
@given(odd_texts)
def test_every_character_is_accounted_for(text: str) -> None:
    """Pieces and tokens come in order, at the place they claim, and leave out nothing but white space."""
    source = normalize(text)
    lines = source.split("\n")
    for piece in scan(source):
        assert "\n".join(lines[piece.line - 1 :])[piece.column - 1 :].startswith(piece.text)
    assert "".join("".join(piece.text for piece in scan(source)).split()) == "".join(source.split())
    tokens, _ = lex_leniently(text, "f")
    assert tokens == sorted(tokens, key=lambda token: token.place)
    for token in tokens:
        start = lines[token.place.line - 1][token.place.column - 1 :]
        assert start.startswith(token.raw.split("\n")[0])
        assert token.width >= 1
        assert token.end_line == token.place.line + token.raw.count("\n")
