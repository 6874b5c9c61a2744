from __future__ import annotations

import pytest

from posthouse.caddyfile.dispenser import Arity, Dispenser, Property
from posthouse.caddyfile.lexer import Token, lex
from posthouse.caddyfile.parser import Segment
from posthouse.config.units import NO_LIMIT
from posthouse.directives.arguments import (
    Rejected,
    all_of,
    count,
    duration,
    each,
    path,
    percent,
    positive_duration,
    size,
    wait,
)


def token(text: str) -> Token:
    return lex(text, "f")[0]


def test_values() -> None:
    assert duration(token("-1.5s")) == -1.5
    assert positive_duration(token("0")) == 0.0
    assert size(token("1kb")) == 1024
    assert size(token("off")) == NO_LIMIT
    assert count(token("-3")) == -3
    assert count(token("3"), least=3) == 3
    assert path(token("/x"), "FROM") == "/x"
    assert percent(token("100%"), most=100) == 100.0


@pytest.mark.parametrize(
    ("text", "seconds"), [("off", None), ("none", None), ("0", None), ("0s", None), ("2s", 2.0)]
)
def test_off_none_and_0_wait_without_limit(text: str, seconds: float | None) -> None:
    assert wait(token(text)) == seconds


def test_what_cannot_be_used_says_what_was_expected_and_found() -> None:
    with pytest.raises(Rejected) as raised:
        duration(token("10"))
    assert raised.value.message == (
        "expected a duration such as `30s`, found `10`: a unit is missing (`10s`, `10ms`, `10m`?)"
    )
    with pytest.raises(Rejected, match="expected a duration of 0 or more, found `-1s`"):
        positive_duration(token("-1s"))
    with pytest.raises(Rejected, match="above 0") as raised:
        size(token("0KB"))
    assert "off" in raised.value.hint
    with pytest.raises(Rejected, match="must be at least 1, found `0`"):
        count(token("0"), least=1)
    with pytest.raises(Rejected, match="FROM must begin with `/`, found `x`"):
        path(token("x"), "FROM")
    with pytest.raises(Rejected, match="must be at most 100%, found"):
        percent(token("100.1%"), most=100)


def test_a_value_of_the_environment_is_not_shown() -> None:
    """It may be a secret that stands in the wrong place."""
    hidden = Token("s3cret", token("x").place, True, 5, "{$PW}")
    with pytest.raises(Rejected) as raised:
        count(hidden)
    assert "s3cret" not in raised.value.message and "{$PW}" in raised.value.message


def test_one_rejected_property_leaves_the_others() -> None:
    name, *rest = lex("limits { header x fields y }", "f")
    dispenser = Dispenser(Segment(name, tuple(rest)))
    seen: list[str] = []

    def read(one: Property) -> None:
        seen.append(one.name.text)
        raise Rejected(one.args[0], "no", "yes")

    each(dispenser, dispenser.properties({"header": Arity(1, 1), "fields": Arity(1, 1)}), read)
    assert seen == ["header", "fields"]
    assert [(one.place.column, one.message, one.hint) for one in dispenser.mistakes] == [
        (17, "no", "yes"),
        (26, "no", "yes"),
    ]


def test_all_words_that_cannot_be_used_are_told() -> None:
    words = lex("1s x 2s y", "f")
    dispenser = Dispenser(Segment(words[0], ()))
    with pytest.raises(Rejected) as raised:
        all_of(words, duration)
    raised.value.tell(dispenser)
    assert [one.place.column for one in dispenser.mistakes] == [4, 9]
    assert all_of(words[::2], duration) == (1.0, 2.0)


def test_a_matcher_is_told_to_be_no_path() -> None:
    with pytest.raises(Rejected, match="FROM must begin") as raised:
        path(token("*"), "FROM")
    assert "Caddy 2" in raised.value.hint
