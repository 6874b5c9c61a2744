"""The key of sticky sessions: read, made, and made by many at once."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from posthouse.config.specs import PolicySpec
from posthouse.errors import ConfigError, Place
from posthouse.server.session_key import FILE, KEY_BYTES, LONGEST_SECRET, own_key, path_of_own, read_secret

POLICY = PolicySpec("sticky", (), Place("Caddyfile", 3, 12))


@pytest.mark.parametrize(
    ("data", "key"),
    [
        (b"abc", b"abc"),
        (b"abc\n", b"abc"),
        (b"abc \r\n\n", b"abc "),
        (b"\0\xff\n", b"\0\xff"),
        (b"x" * LONGEST_SECRET, b"x" * LONGEST_SECRET),
    ],
)
def test_a_secret(tmp_path: Path, data: bytes, key: bytes) -> None:
    (tmp_path / "file").write_bytes(data)
    assert read_secret(str(tmp_path / "file"), POLICY) == key


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "`policy sticky`: cannot read the secret 'file': No such file or directory"),
        (b"", "`policy sticky`: the secret 'file' is empty"),
        (b"\n\n", "`policy sticky`: the secret 'file' is empty"),
        (b"x" * (LONGEST_SECRET + 1), "`policy sticky`: the secret 'file' has more than 65536 bytes"),
    ],
)
def test_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes | None, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    if data is not None:
        Path("file").write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        read_secret("file", POLICY)
    [mistake] = caught.value.mistakes
    assert (mistake.place, mistake.message, mistake.width) == (POLICY.place, message, len("sticky"))


def test_a_name_that_no_file_can_have() -> None:
    with pytest.raises(ConfigError, match="cannot read the secret"):
        read_secret("a\0b", POLICY)


@pytest.mark.parametrize(
    ("environ", "is_root", "path"),
    [
        ({"XDG_DATA_HOME": "/d", "HOME": "/h"}, False, "/d/posthouse"),
        ({"XDG_DATA_HOME": "/d"}, True, "/d/posthouse"),
        ({"HOME": "/root"}, True, "/var/lib/posthouse"),
        ({"XDG_DATA_HOME": "relative", "HOME": "/h"}, False, "/h/.local/share/posthouse"),
        ({"XDG_DATA_HOME": ""}, False, "/.local/share/posthouse"),
    ],
)
def test_where_our_own_is(environ: dict[str, str], is_root: bool, path: str) -> None:
    assert path_of_own(environ, is_root=is_root) == Path(path, FILE)


def test_our_own_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / FILE
    key = own_key(path)
    assert len(key) == KEY_BYTES and own_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == [FILE], "nothing unfinished is left"


def test_many_make_it_at_once_and_have_the_same(tmp_path: Path) -> None:
    path = tmp_path / FILE
    with ThreadPoolExecutor(16) as threads:
        keys = set(threads.map(lambda _: own_key(path), range(64)))
    assert keys == {path.read_bytes()}
    assert os.listdir(tmp_path) == [FILE]


def test_another_was_quicker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between our look and our link."""
    path = tmp_path / FILE
    path.write_bytes(b"t" * KEY_BYTES)
    monkeypatch.setattr(Path, "exists", lambda self: False)
    assert own_key(path) == b"t" * KEY_BYTES


@pytest.mark.parametrize("data", [b"", b"x" * (KEY_BYTES - 1)])
def test_what_is_no_key_is_not_used(tmp_path: Path, data: bytes) -> None:
    (tmp_path / FILE).write_bytes(data)
    with pytest.raises(OSError, match="a key has 32"):
        own_key(tmp_path / FILE)


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "posthouse").write_text("in the way")
    with pytest.raises(OSError):
        own_key(tmp_path / "posthouse" / FILE)
