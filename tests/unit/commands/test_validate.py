"""`posthouse validate`: everything that shows without starting, and nothing is touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from posthouse.adapt import AdaptError
from posthouse.commands.validate import COMMAND


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_valid(capsys: pytest.CaptureFixture[str]) -> None:
    Path("Caddyfile").write_text(":80 {\n log\n proxy / localhost:9000\n}\n")
    assert COMMAND.run([]) == 0
    assert capsys.readouterr().out == "Caddyfile is valid\n"
    assert os.listdir() == ["Caddyfile"], "no log file is opened"


def test_warnings_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    Path("x").write_text("example.com {\n proxy / localhost:9000\n}\n")
    assert COMMAND.run(["x"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "x is valid\n"
    assert "warning: x:1:1: " in shown.err


def test_a_misspelt_policy_gets_its_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    Path("Caddyfile").write_text(":80 {\n proxy / a:1 b:1 {\n  policy round_robbin\n }\n}\n")
    assert COMMAND.run([]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Caddyfile:3:10: " in shown.err
    assert "did you mean `round_robin`?" in shown.err


def test_mistakes_of_the_text_are_raised() -> None:
    Path("Caddyfile").write_text(":80 {\n prxy\n}\n")
    with pytest.raises(AdaptError):
        COMMAND.run([])
