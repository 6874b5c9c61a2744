"""`posthouse fmt`: to stdout, in place, or only looked at."""

from __future__ import annotations

import io
import os
import stat
import sys
from pathlib import Path

import pytest

from posthouse.commands.command_line import UsageError
from posthouse.commands.fmt import COMMAND
from posthouse.errors import StartError

UGLY = "a.test   {\n  # why\n log   stdout\n}\n"
NEAT = "a.test {\n\t# why\n\tlog stdout\n}\n"


@pytest.fixture(autouse=True)
def caddyfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "Caddyfile"
    path.write_text(UGLY)
    return path


def test_to_stdout(caddyfile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["Caddyfile"]):
        assert COMMAND.run(words) == 0
        assert capsys.readouterr().out == NEAT
    assert caddyfile.read_text() == UGLY


def test_stdin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(UGLY.encode())))
    assert COMMAND.run(["-"]) == 0
    assert capsys.readouterr().out == NEAT


def test_in_place_keeping_the_mode(caddyfile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    caddyfile.chmod(0o640)
    assert COMMAND.run(["--write"]) == 0
    assert caddyfile.read_text() == NEAT
    assert stat.S_IMODE(caddyfile.stat().st_mode) == 0o640
    assert os.listdir() == ["Caddyfile"]
    assert capsys.readouterr().out == ""


def test_in_place_through_a_link(caddyfile: Path) -> None:
    link = caddyfile.with_name("link")
    link.symlink_to("Caddyfile")
    assert COMMAND.run(["link", "--write"]) == 0
    assert link.is_symlink()
    assert caddyfile.read_text() == NEAT


def test_what_is_neat_is_not_written_again(caddyfile: Path) -> None:
    caddyfile.write_text(NEAT)
    before = caddyfile.stat()
    assert COMMAND.run(["--write"]) == 0
    assert caddyfile.stat().st_ino == before.st_ino


def test_check(caddyfile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert COMMAND.run(["--check"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "posthouse: Caddyfile is not formatted (`posthouse fmt --write Caddyfile` does it)\n"
    caddyfile.write_text(NEAT)
    assert COMMAND.run(["--check"]) == 0


def test_what_cannot_be_read_as_a_caddyfile(caddyfile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    caddyfile.write_text('a.test {\n log "stdout\n}\n')
    assert COMMAND.run(["--write"]) == 1
    assert "Caddyfile:2:" in capsys.readouterr().err
    assert caddyfile.read_text().startswith("a.test {\n log")


def test_files_that_are_not_there(caddyfile: Path) -> None:
    with pytest.raises(StartError, match="cannot read nowhere"):
        COMMAND.run(["nowhere"])
    caddyfile.write_bytes(b"\xff")
    with pytest.raises(StartError, match="it is not UTF-8 text"):
        COMMAND.run([])
    with pytest.raises(UsageError, match="--write needs a file"):
        COMMAND.run(["-", "--write"])


def test_a_folder_that_takes_no_file(caddyfile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(StartError, match=r"^cannot write Caddyfile: Permission denied$"):
        COMMAND.run(["--write"])
    assert os.listdir() == ["Caddyfile"], "nothing is left beside it"
