"""Environment placeholders."""

from __future__ import annotations

import pytest

from posthouse.caddyfile import environment
from posthouse.caddyfile.environment import Expander
from posthouse.caddyfile.lexer import Token, lex
from posthouse.errors import ConfigError

ENV = {"A": "one", "B": "{$A} {", "EMPTY": "", "A B": "blank"}


def expand(text: str) -> Token:
    (token,) = lex(text, "f")
    return Expander(ENV).expand(token)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{$A}", "one"),
        ("{%A%}", "one"),
        ("x{$A}y{%A%}z{$A}", "xoneyonezone"),
        ('"{$A} {$A B}"', "one blank"),
        ("`{$A}`", "one"),
        ("{$B}", "{$A} {"),
        ("{$NONE}", ""),
        ("{$EMPTY}", ""),
        ("{$}", "{$}"),
        ("{%%}", "{%%}"),
        ("{$A", "{$A"),
        ("{%A}", "{%A}"),
        ("{A}", "{A}"),
        ("{$A{$A}}", "{$Aone}"),
    ],
)
def test_placeholders_are_replaced_once(text: str, expected: str) -> None:
    assert expand(text).text == expected


def test_a_value_is_never_syntax() -> None:
    assert Expander({"X": "{"}).expand(lex("{$X}", "f")[0]).is_word("{") is False
    assert expand("{$EMPTY}").quoted
    assert not expand("plain").quoted
    assert not expand("{$A").quoted


def test_the_token_remembers_what_was_written() -> None:
    token = expand("x{$A}")
    assert (token.raw, token.width, token.place.column) == ("x{$A}", 5, 1)


def test_what_values_come_to_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "MAX_EXPANDED", 6)
    expander = Expander(ENV)
    first, second = lex("{$A}{$A} {$A}", "f")
    assert expander.expand(first).text == "oneone"
    with pytest.raises(ConfigError) as caught:
        expander.expand(second)
    assert str(caught.value.mistakes[0].place) == "f:1:10"
