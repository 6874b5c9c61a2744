"""What a person is told: places, counts, one line; never an exception on the way."""

from __future__ import annotations

import sys

import pytest

from posthouse.commands.report import complain, complain_of_mistakes, complain_of_refusal, show_notices
from posthouse.errors import NOWHERE, ConfigError, Mistake, Notice, Place


def test_complain(capsys: pytest.CaptureFixture[str]) -> None:
    complain("no such thing")
    assert capsys.readouterr().err == "posthouse: no such thing\n"


def test_what_was_refused_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    complain_of_refusal("not done", 409, {"error": "1 mistake", "mistakes": [{"shown": "C:1:3: wrong"}]})
    complain_of_refusal("not done", 500, {})
    assert (
        capsys.readouterr().err
        == "C:1:3: wrong\nposthouse: not done: 1 mistake\nposthouse: not done: it says 500\n"
    )


def test_mistakes_with_their_places_and_how_many(capsys: pytest.CaptureFixture[str]) -> None:
    error = ConfigError(
        [Mistake(Place("C", 1, 3), "wrong", 2), Mistake(Place("D", 9, 1), "bad", hint="try x")]
    )
    complain_of_mistakes(error, {"C": "ab cd\n"})
    assert capsys.readouterr().err.splitlines() == [
        *("C:1:3: wrong", "  1 | ab cd", "    |   ^^"),
        *("D:9:1: bad", "  hint: try x"),
        "posthouse: 2 mistakes in C, D",
    ]


def test_a_mistake_from_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    complain_of_mistakes(ConfigError(Mistake(NOWHERE, "wrong")))
    assert capsys.readouterr().err == "wrong\nposthouse: 1 mistake\n"


def test_notices(capsys: pytest.CaptureFixture[str]) -> None:
    show_notices((Notice(Place("C", 1, 1), "listens on 2015"),), {"C": "x\n"})
    assert capsys.readouterr().err.splitlines()[0] == "warning: C:1:1: listens on 2015"


def test_nobody_reads_stderr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    complain("into the void")
    assert capsys.readouterr().out == "", "stdout is for what was asked for"
