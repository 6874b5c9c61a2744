"""`posthouse upgrade`: whom it asks, and what it makes of the answer."""

from __future__ import annotations

from typing import Any

import pytest

from posthouse.admin import client
from posthouse.cli import main


def answer(monkeypatch: pytest.MonkeyPatch, status: int, report: dict[str, Any]) -> list[tuple[object, ...]]:
    asked: list[tuple[object, ...]] = []

    def ask(*question: object) -> tuple[int, dict[str, Any]]:
        asked.append(question)
        return status, report

    monkeypatch.setattr(client, "ask", ask)
    return asked


def test_who_serves_now(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    report = {"before": {"pid": 1, "version": "0.3"}, "pid": 2, "version": "0.4"}
    asked = answer(monkeypatch, 200, report)
    assert main(["upgrade", "--admin", "/a.sock"]) == 0
    assert capsys.readouterr().out == "upgraded: 0.3 (pid 1) drains, 0.4 (pid 2) serves\n"
    assert asked == [("/a.sock", "POST", "/upgrade", 120.0)]


def test_why_not(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answer(monkeypatch, 422, {"error": "1 mistake", "mistakes": [{"shown": "a:1:2: b"}]})
    assert main(["upgrade", "--admin", "/a.sock"]) == 1
    assert capsys.readouterr().err == "a:1:2: b\nposthouse: not upgraded, the old process stays: 1 mistake\n"
    answer(monkeypatch, 404, {})
    assert main(["upgrade", "--admin", "/a.sock"]) == 1
    assert "stays: it says 404" in capsys.readouterr().err
    assert main(["upgrade", "--admin", "off"]) == 2
