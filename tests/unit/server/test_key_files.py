"""Key files: opened by name, or given by somebody who could read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from posthouse.server import key_files
from posthouse.server.key_files import KeyFiles


def test_what_is_given_is_not_looked_for(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"mine")
    files = KeyFiles()
    with files.open(str(path)) as opened:
        assert opened.read() == b"mine"
    files.given = {str(path): b"given", "/nowhere/key": b"too"}
    assert files.open(str(path)).read() == b"given"
    assert files.open("/nowhere/key").read() == b"too"
    with pytest.raises(FileNotFoundError):
        files.open("/nowhere/other")
    with pytest.raises(ValueError, match="null"):
        files.open("a\0b")
    assert files.noted == {}
    files.note("x", b"y")
    assert files.noted == {}, "only who is to note notes"


def test_what_is_opened_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_files, "MOST_BYTES", 6)
    (tmp_path / "a").write_bytes(b"secret and more")
    files = KeyFiles(is_noting=True)
    assert files.open(str(tmp_path / "a")).read() == b"secret"
    files.note("b", b"other")
    assert files.noted == {str(tmp_path / "a"): b"secret", "b": b"other"}
    assert "secret" not in repr(files)


def test_a_file_looks_like_what_was_given_of_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    files = KeyFiles()
    absent = files.stamp(str(path))
    path.write_bytes(b"mine")
    there = files.stamp(str(path))
    assert absent is None and there is not None and there == files.stamp(str(path))
    files.given = {str(path): b"given"}
    given = files.stamp(str(path))
    files.given = {str(path): b"other"}
    assert len({there, given, files.stamp(str(path))}) == 3
    files.given = {str(path): b"given"}
    assert files.stamp(str(path)) == given
    assert files.stamp("a\0b") is None
