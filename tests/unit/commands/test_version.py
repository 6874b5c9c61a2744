"""`posthouse version`."""

from __future__ import annotations

import platform

import pytest

from posthouse import __version__
from posthouse.commands.version import COMMAND
from posthouse.errors import StartError


def test_it_says_what_runs_here(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTHOUSE_LOOP", "asyncio")
    assert COMMAND.run([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"posthouse {__version__}"
    assert lines[1] == "event loop asyncio"
    assert lines[-1].endswith(platform.python_version())


def test_a_wrong_loop_is_refused_here_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTHOUSE_LOOP", "trio")
    with pytest.raises(StartError):
        COMMAND.run([])
