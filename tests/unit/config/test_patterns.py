"""Regular expressions in Go's syntax: groups, replacements, and what hostile text costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.config.patterns import Pattern


def replaced(expression: str, replacement: str, text: bytes) -> bytes:
    pattern = Pattern(expression)
    pieces = tuple(
        piece.encode("utf-8") if isinstance(piece, str) else piece for piece in pattern.pieces(replacement)
    )
    return pattern.replace_all(text, pieces)


@pytest.mark.parametrize(
    ("expression", "text", "groups"),
    [
        ("^/old/(.*)$", b"/old/x", (b"/old/x", b"x")),
        ("b", b"abc", (b"b",)),
        ("x", b"abc", None),
        ("(a)|(b)", b"b", (b"b", b"", b"b")),
        ("(?i)ABC", b"xabc", (b"abc",)),
        ("^/(.*)$", b"/\xff\xfe", (b"/\xff\xfe", b"\xff\xfe")),
        ("^/(ü)$", "/ü".encode(), ("/ü".encode(), "ü".encode())),
    ],
)
def test_groups(expression: str, text: bytes, groups: tuple[bytes, ...] | None) -> None:
    pattern = Pattern(expression)
    assert pattern.groups(text) == groups
    assert pattern.matches(text) is (groups is not None)


@pytest.mark.parametrize(
    ("expression", "replacement", "text", "result"),
    [
        ("a", "b", b"aXa", b"bXb"),
        ("(a)(b)?", "[$1$2]", b"ab a", b"[ab] [a]"),
        ("(a)", "${1}x", b"a", b"ax"),
        ("(a)", "$1x", b"a", b""),
        ("(?P<who>a)", "<$who>", b"a", b"<a>"),
        ("(?P<who>a)", "<${who}>$0", b"a", b"<a>a"),
        ("a", "$$", b"a", b"$"),
        ("a", "$9", b"a", b""),
        ("a", "$99999999", b"a", b""),
        ("a", "$", b"a", b"$"),
        ("a", "ü", b"a", "ü".encode()),
        ("(a)", "$nobody.", b"a", b"."),
        ("", "-", b"ab", b"-a-b-"),
        (".*", "x", b"ab", b"x"),
        (".*", "x", b"", b"x"),
        ("a*", "x", b"baac", b"xbxcx"),
        ("^", "x", b"ab", b"xab"),
        ("$", "x", b"ab", b"abx"),
    ],
)
def test_replacements_are_gos(expression: str, replacement: str, text: bytes, result: bytes) -> None:
    assert replaced(expression, replacement, text) == result


@pytest.mark.parametrize("expression", ["(", "a**", "[", "(?=a)", r"(a)\1", "a{2000}"])
def test_what_is_no_expression_is_refused_with_a_reason(expression: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Pattern(expression)


def test_time_is_linear() -> None:
    """Backtracking engines take longer than the universe for this one."""
    assert not Pattern("^(a+)+$").matches(b"a" * 60_000 + b"!")


@given(st.binary(max_size=200))
def test_a_pattern_that_takes_everything_gives_it_back(text: bytes) -> None:
    pattern = Pattern("(?s)^(.*)$")
    assert pattern.groups(text) == (text, text)
    assert pattern.replace_all(text, (1,)) == text


def test_it_introduces_itself() -> None:
    assert repr(Pattern("a+")) == "<Pattern 'a+'>"
