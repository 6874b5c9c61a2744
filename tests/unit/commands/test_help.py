"""`posthouse help`: every command and every option is named."""

from __future__ import annotations

import pytest

from posthouse.commands import COMMANDS, find
from posthouse.commands.command_line import UsageError
from posthouse.commands.help import COMMAND


def test_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert COMMAND.run([]) == 0
    shown = capsys.readouterr().out
    for name in COMMANDS:
        assert f"  {name} " in shown
        assert find(name).summary in shown
    assert max(map(len, shown.splitlines())) <= 100


@pytest.mark.parametrize("name", COMMANDS)
def test_one_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert COMMAND.run([name]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"posthouse {name}")
    for option in find(name).options:
        assert f"  {option.name}" in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_an_unknown_command() -> None:
    with pytest.raises(UsageError, match=r"unknown command 'proxi' \(did you mean proxy\?\)"):
        COMMAND.run(["proxi"])
