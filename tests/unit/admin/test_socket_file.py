"""The file of the admin socket: whose it is, and whose it never becomes."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from posthouse.admin.socket_file import SocketFile, default_path
from posthouse.errors import StartError

Claim = Callable[..., SocketFile]


@pytest.fixture
def claim() -> Iterator[Claim]:
    """Claims; what listens is closed at the end."""
    listening: list[socket.socket] = []

    def claim_one(path: Path, *, is_default: bool = False) -> SocketFile:
        made = SocketFile(str(path), is_default=is_default)
        listening.append(made.claim())
        return made

    yield claim_one
    for one in listening:
        one.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def leave_behind(path: Path) -> None:
    """What a process that was killed leaves."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    path = default_path("/etc/posthouse/Caddyfile", "/run/user/1000")
    assert path == "/run/user/1000/posthouse/03288a82.sock"
    assert default_path("/etc/posthouse/Caddyfile", "") == "/run/posthouse/03288a82.sock"
    assert default_path("Caddyfile", "/x") == default_path(str(tmp_path / "Caddyfile"), "/x")


@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_only_we_may_come_near(claim: Claim, tmp_path: Path, umask: int) -> None:
    path = tmp_path / "posthouse" / "a.sock"
    before = os.umask(umask)
    try:
        claim(path, is_default=True)
    finally:
        os.umask(before)
    assert mode(path) == 0o600 and mode(path.parent) == 0o700


def test_a_folder_that_was_open_to_others_is_closed(claim: Claim, tmp_path: Path) -> None:
    path = tmp_path / "posthouse" / "a.sock"
    path.parent.mkdir(mode=0o755)
    claim(path, is_default=True)
    assert mode(path.parent) == 0o700


def test_a_folder_that_the_user_has_named_stays_as_it_is(claim: Claim, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    claim(tmp_path / "a.sock")
    assert mode(tmp_path) == 0o755 and mode(tmp_path / "a.sock") == 0o600
    claim(tmp_path / "new" / "a.sock")
    assert mode(tmp_path / "new") == 0o700


def test_what_a_dead_process_left_is_replaced(claim: Claim, tmp_path: Path) -> None:
    leave_behind(tmp_path / "a.sock")
    claim(tmp_path / "a.sock")
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(str(tmp_path / "a.sock"))


def test_who_listens_keeps_it(claim: Claim, tmp_path: Path) -> None:
    first = claim(tmp_path / "a.sock")
    with pytest.raises(StartError) as raised:
        claim(tmp_path / "a.sock")
    said = f"the admin socket {tmp_path}/a.sock is in use by process {os.getpid()} (--admin PATH or off"
    assert str(raised.value).startswith(said)
    first.remove()
    assert not (tmp_path / "a.sock").exists()


def test_a_full_queue_is_a_sign_of_life(tmp_path: Path) -> None:
    path = str(tmp_path / "a.sock")
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as first:
        busy.bind(path)
        busy.listen(0)
        first.connect(path)
        with pytest.raises(StartError, match="in use by another process"):
            SocketFile(path, is_default=False).claim()


def test_another_kind_of_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.sock").write_text("precious")
    with pytest.raises(StartError, match="is there and is no socket"):
        SocketFile(str(tmp_path / "a.sock"), is_default=False).claim()
    assert (tmp_path / "a.sock").read_text() == "precious"


def test_only_what_was_made_is_removed(claim: Claim, tmp_path: Path) -> None:
    made = claim(tmp_path / "a.sock")
    (tmp_path / "a.sock").rename(tmp_path / "ours.sock")
    leave_behind(tmp_path / "a.sock")
    made.remove()
    assert (tmp_path / "a.sock").exists(), "a successor's"
    made.remove()
    SocketFile(str(tmp_path / "b.sock"), is_default=False).remove()


@pytest.mark.parametrize(
    ("folder", "said"),
    [("file/posthouse", "Not a directory"), ("nowhere/posthouse", "No such file or directory")],
)
def test_a_default_folder_that_cannot_be_made(tmp_path: Path, folder: str, said: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match=said):
        SocketFile(str(tmp_path / folder / "a.sock"), is_default=True).claim()


def test_a_default_folder_that_is_another_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "posthouse").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(StartError, match="belongs to another user"):
        SocketFile(str(tmp_path / "posthouse" / "a.sock"), is_default=True).claim()


def test_a_default_folder_that_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "posthouse").symlink_to(tmp_path)
    with pytest.raises(StartError, match="is not a folder"):
        SocketFile(str(tmp_path / "posthouse" / "a.sock"), is_default=True).claim()


def test_a_path_that_no_socket_can_have(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"cannot make the admin socket .*too long"):
        SocketFile(str(tmp_path / ("x" * 120)), is_default=False).claim()


def test_two_that_start_at_once_wait_for_each_other(
    claim: Claim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    monkeypatch.setattr(time, "sleep", lambda seconds: fcntl.flock(handle, fcntl.LOCK_UN))
    claim(tmp_path / "a.sock")
    fcntl.flock(handle, fcntl.LOCK_EX)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with pytest.raises(StartError, match="Resource temporarily unavailable"):
        claim(tmp_path / "b.sock")
    os.close(handle)
