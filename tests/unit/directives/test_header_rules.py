from __future__ import annotations

from dataclasses import replace

import pytest

from posthouse.caddyfile.lexer import lex
from posthouse.config.specs import HeaderRule
from posthouse.directives.arguments import Rejected
from posthouse.directives.header_rules import field_name, header_rule


def rule(text: str) -> HeaderRule:
    name, *values = lex(text, "f")
    return header_rule(name, values)


@pytest.mark.parametrize(
    ("text", "op", "name", "value"),
    [
        ("X-A b", "set", "X-A", "b"),
        ('X-A "b c"', "set", "X-A", "b c"),
        ("Host {host}", "set", "Host", "{host}"),
        ('X-A ""', "set", "X-A", ""),
        ("+X-A b", "add", "X-A", "b"),
        ("-X-A", "remove", "X-A", ""),
        ("-X-A ignored", "remove", "X-A", ""),
        ("-X-*", "remove", "X-*", ""),
        ("-*-Debug", "remove", "*-Debug", ""),
        ("Connection {>Connection}", "set", "Connection", "{>Connection}"),
    ],
)
def test_the_sign_says_what_is_done(text: str, op: str, name: str, value: str) -> None:
    found = rule(text)
    assert (found.op, found.name, found.value) == (op, name, value)
    assert (found.place.line, found.place.column) == (1, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("X-A", "a value for `X-A` is missing"),
        ("+X-A", "a value for `+X-A` is missing"),
        ("X-A b c d", "too many arguments for the rule `X-A`"),
        ("+X-A b c", "cannot be added by a regular expression"),
        ("X-A ( c", "`(` is not a regular expression: missing )"),
        ('X-A b "c\nd"', "no line breaks"),
        ("-X-A b c", "too many arguments"),
        ('"" b', "a field name is empty"),
        ("+ b", "a field name is empty"),
        ("-", "a field name is empty"),
        ("X-A: b", "`X-A:` is not a field name"),
        ('"X A" b', "`X A` is not a field name"),
        ("{x} b", "`{x}` is not a field name"),
        ("X-* b", "only a name to remove"),
        ("-*", "would remove every field"),
        ("-*X*", "at the beginning or at the end of a name, once"),
        ("-X*Y", "at the beginning or at the end of a name, once"),
        ("-X**", "at the beginning or at the end of a name, once"),
        ("Content-Length 5", "no rule can change `Content-Length`"),
        ("+transfer-encoding x", "no rule can change `transfer-encoding`"),
        ('X-A "b\nc"', "no line breaks"),
    ],
)
def test_a_rule_that_is_none_is_refused(text: str, message: str) -> None:
    with pytest.raises(Rejected) as raised:
        rule(text)
    assert message in raised.value.message


def test_three_words_rewrite() -> None:
    found = rule("Location ^http://(.*) https://$1")
    assert found == HeaderRule("replace", "Location", "https://$1", pattern="^http://(.*)")


def test_a_control_character_of_the_environment_is_refused() -> None:
    """The lexer has seen to those that stand in the file."""
    name, value = lex("X-A b", "f")
    with pytest.raises(Rejected, match="control characters"):
        header_rule(name, [replace(value, text="b\x00")])


def test_a_name_with_a_colon_gets_a_hint() -> None:
    (token,) = lex("X-A:", "f")
    with pytest.raises(Rejected) as raised:
        field_name(token, token.text)
    assert raised.value.hint == "write `X-A`"
