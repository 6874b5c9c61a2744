"""The pid file: written in one step, removed only if it is still ours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from posthouse.errors import StartError
from posthouse.server import pidfile


def test_it_holds_our_pid_and_goes(tmp_path: Path) -> None:
    path = tmp_path / "posthouse.pid"
    path.write_text("1\n")
    pidfile.write(str(path))
    assert path.read_text() == f"{os.getpid()}\n"
    assert list(tmp_path.iterdir()) == [path]
    pidfile.remove(str(path))
    assert not path.exists()
    pidfile.remove(str(path))


@pytest.mark.parametrize("content", [b"1\n", b"", b"\xff"])
def test_that_of_a_successor_stays(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "posthouse.pid"
    path.write_bytes(content)
    pidfile.remove(str(path))
    assert path.read_bytes() == content


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "no" / "posthouse.pid"
    with pytest.raises(StartError, match=f"^cannot write the pid file {path}: No such file or directory$"):
        pidfile.write(str(path))
