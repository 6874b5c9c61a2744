"""Words of a command line -> options and words."""

from __future__ import annotations

import pytest
from hypothesis import given as forall
from hypothesis import strategies as st

from posthouse.commands.command_line import Command, Given, Option, UsageError, read, suggestion

COMMAND = Command(
    "serve",
    "serve something",
    lambda given: len(given.words),
    options=(Option("--to", "ADDRESS", "where to"), Option("--fast", "", "hurry")),
    usage="[FILE...]",
    most=2,
    epilogue="That is all.",
)


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ([], Given({}, [])),
        (["a", "b"], Given({}, ["a", "b"])),
        (["--to", "x", "--to=y"], Given({"--to": ["x", "y"]}, [])),
        (["--to=a=b"], Given({"--to": ["a=b"]}, [])),
        (["--to="], Given({"--to": [""]}, [])),
        (["--to", "--fast"], Given({"--to": ["--fast"]}, [])),
        (["--fast", "a"], Given({"--fast": [""]}, ["a"])),
        (["-"], Given({}, ["-"])),
        (["--", "--fast"], Given({}, ["--fast"])),
    ],
)
def test_read(words: list[str], given: Given) -> None:
    assert read(words, COMMAND) == given


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ot", "x"], r"unknown option --ot \(did you mean --to\?\)"),
        (["-t"], "unknown option -t"),
        (["--fast=yes"], "--fast takes no value"),
        (["--to"], "--to needs a value: --to ADDRESS"),
        (["a", "b", "c"], "too many words for `serve`: 'c'"),
    ],
)
def test_refused(words: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read(words, COMMAND)


@forall(
    st.lists(st.sampled_from(["--to", "--fast", "--to=x", "--", "-", "a", "-x", ""]) | st.text(max_size=5))
)
def test_any_words_are_read_or_refused(words: list[str]) -> None:
    try:
        given = read(words, COMMAND)
    except UsageError:
        return
    assert set(given.options) <= {"--to", "--fast"}
    assert len(given.words) <= COMMAND.most


def test_what_was_given() -> None:
    given = Given({"--to": ["x", "y"], "--fast": [""]}, [])
    assert given.has("--fast")
    assert not given.has("--slow")
    assert given.last("--to") == "y"
    assert given.last("--slow", "z") == "z"
    assert given.all("--to") == ["x", "y"]
    assert given.all("--slow") == []


def test_a_command_acts_or_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert COMMAND.run(["a"]) == 1
    for word in ("--help", "-h"):
        assert COMMAND.run(["a", word]) == 0
        shown = capsys.readouterr().out
        assert shown == (
            "posthouse serve [options] [FILE...]\n  serve something\n\n"
            "options\n  --to ADDRESS  where to\n  --fast        hurry\n\nThat is all.\n"
        )


def test_no_suggestion_for_what_is_far_away() -> None:
    assert suggestion("xyzzy", ["--to"]) == ""
