"""`posthouse reload`: what the answer becomes. Asking a real process is in e2e/test_reload_command.py."""

from __future__ import annotations

from typing import Any

import pytest

from posthouse.admin import client
from posthouse.commands.command_line import UsageError
from posthouse.commands.reload import COMMAND, SECONDS


def answering(monkeypatch: pytest.MonkeyPatch, status: int, report: dict[str, Any]) -> list[tuple[Any, ...]]:
    asked: list[tuple[Any, ...]] = []

    def ask(*words: Any) -> tuple[int, dict[str, Any]]:
        asked.append(words)
        return status, report

    monkeypatch.setattr(client, "ask", ask)
    return asked


def test_done(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    report = {"generation": 4, "sites": 5000, "changed": 1, "took_ms": 40}
    asked = answering(monkeypatch, 200, report)
    assert COMMAND.run(["--admin", "/a.sock"]) == 0
    assert asked == [("/a.sock", "POST", "/reload", SECONDS)]
    assert capsys.readouterr().out == "reloaded: generation 4, sites 5000, changed 1, 40ms\n"


def test_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    report = {"error": "2 mistakes", "mistakes": [{"shown": "C:1:1: one"}, {"shown": "C:2:1: two"}]}
    answering(monkeypatch, 422, report)
    assert COMMAND.run(["--admin", "/a.sock"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        "C:1:1: one\nC:2:1: two\nposthouse: not reloaded, the old configuration stays: 2 mistakes\n"
    )


def test_one_that_does_not_know_how(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A former release."""
    answering(monkeypatch, 404, {})
    assert COMMAND.run(["--admin", "/a.sock"]) == 1
    assert capsys.readouterr().err.endswith("stays: it says 404\n")


def test_nobody_to_ask() -> None:
    with pytest.raises(UsageError, match="off"):
        COMMAND.run(["--admin", "off"])
