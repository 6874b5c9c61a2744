"""Logs: who names the same output shares it, over reloads; rotation; a quick end."""

from __future__ import annotations

import asyncio
import gzip
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from posthouse.config.specs import RotationSpec
from posthouse.errors import StartError
from posthouse.observe.access_log import AccessLog
from posthouse.server import logs as logs_module
from posthouse.server.control import LogMoved
from posthouse.server.logs import LEAST_SECONDS, DryLogs, LogKey, Logs, log_key
from unit.server.fakes import Remembering, until


@pytest.fixture
def logs(loop: asyncio.AbstractEventLoop, log: Remembering) -> Iterator[Logs]:
    made = Logs(loop, log)
    yield made
    made.close()


def test_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert log_key("a.log") == log_key(f"{tmp_path}/./a.log") == log_key("a.log", is_errors=True)
    assert hash(log_key("a.log")) == hash(log_key(f"{tmp_path}/a.log"))
    assert log_key("stdout") == log_key("stdout", is_errors=True) == LogKey("stdout", "stdout", False)
    assert log_key("stdout") != log_key("./stdout")
    assert log_key("syslog") != log_key("syslog", is_errors=True), "they have severities of their own"


def test_a_log_is_shared_by_all_who_name_it(logs: Logs, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    key = log_key(str(path))
    log = logs.open(key)
    assert logs.open(log_key(f"{tmp_path}/../{tmp_path.name}/a.log")) is log
    assert logs.open(log_key(str(tmp_path / "b.log"))) is not log
    logs.give_back(key)
    log.write(b"still open\n")
    assert path.read_bytes() == b"", "gathered, not written"
    logs.give_back(key)
    assert path.read_bytes() == b"still open\n"
    assert log.is_closed
    assert logs.open(key) is not log
    assert repr(logs) == f"<Logs ['{tmp_path}/b.log', '{path}']>"


def test_a_log_that_can_not_be_opened_is_no_user(logs: Logs, tmp_path: Path) -> None:
    path = tmp_path / "no" / "a.log"
    for name, reason in [(str(path), "No such file or directory"), (str(tmp_path), "Is a directory")]:
        with pytest.raises(StartError) as caught:
            logs.open(log_key(name))
        assert str(caught.value) == f"cannot open the log {name}: {reason}"
    path.parent.mkdir()
    logs.open(log_key(str(path)))
    logs.give_back(log_key(str(path)))
    assert logs._held == {}


def test_logs_are_opened_again_by_name(logs: Logs, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    log = logs.open(log_key(str(path)))
    log.write(b"before\n")
    path.rename(tmp_path / "a.log.1")
    logs.reopen()
    log.write(b"after\n")
    logs.close()
    assert (tmp_path / "a.log.1").read_bytes() == b"before\n"
    assert path.read_bytes() == b"after\n"


def test_the_end_writes_what_was_gathered_and_may_come_twice(logs: Logs, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    logs.open(log_key(str(path))).write(b"last\n")
    logs.close()
    assert path.read_bytes() == b"last\n"
    logs.give_back(log_key(str(path)))
    logs.close()


def test_the_end_sends_what_was_gathered_to_a_daemon(logs: Logs) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        log = logs.open(log_key(f"syslog+tcp://127.0.0.1:{server.getsockname()[1]}"))
        for number in range(1000):
            log.write(b"%d\n" % number)
        logs.close()
        with server.accept()[0] as connection, connection.makefile("rb") as file:
            assert [int(line.split()[-1]) for line in file] == list(range(1000))


def test_rotation_holds_from_when_it_is_set(logs: Logs, tmp_path: Path) -> None:
    key = log_key(str(tmp_path / "a.log"))
    log = logs.open(key)

    def write(text: bytes) -> int:
        """The number of files there are then."""
        log.write(text)
        log.flush()
        return len(list(tmp_path.iterdir()))

    assert write(b"1\n2\n") == 1
    logs.rotate(key, RotationSpec(size=4))
    assert write(b"3\n4\n") == 2
    logs.rotate(key, RotationSpec(size=4, is_off=True))
    assert write(b"5\n6\n") == 2
    logs.rotate(key, RotationSpec(size=8))
    assert write(b"7\n8\n") == 3
    assert write(b"9\n") == 3
    logs.rotate(log_key("stdout"), RotationSpec())


def test_files_of_an_earlier_run_are_tidied_up_at_the_start(logs: Logs, tmp_path: Path) -> None:
    (tmp_path / "a-2020-01-01T00-00-00.000.log").write_bytes(b"old")
    key = log_key(str(tmp_path / "a.log"))
    logs.open(key)
    logs.rotate(key, RotationSpec())
    assert logs._housekeeper.wait(10)
    assert [one.name for one in tmp_path.iterdir()] == ["a.log"]


def test_what_can_not_be_rotated_or_tidied_is_said_once(
    logs: Logs,
    log: Remembering,
    tmp_path: Path,
    loop: asyncio.AbstractEventLoop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = log_key(str(tmp_path / "a.log"))
    opened = logs.open(key)
    logs.rotate(key, RotationSpec(size=1))

    def refuse(old: str, new: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "rename", refuse)
    for _ in range(3):
        opened.write(b"1\n")
        opened.flush()
    about = {"level": "ERROR", "path": str(tmp_path / "a.log"), "error": "Permission denied"}
    assert log.of("log not rotated") == [{"what": "log not rotated", **about}]
    logs._on_trouble(str(tmp_path / "a.log"), "Permission denied")
    loop.run_until_complete(until(lambda: log.of("rotated log not tidied")))
    assert log.of("rotated log not tidied") == [{"what": "rotated log not tidied", **about}]


def test_a_log_without_users_catches_up_and_holds_nobody_up(
    logs: Logs, tmp_path: Path, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reload drops a log whose daemon is slow."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        key = log_key(f"syslog+tcp://127.0.0.1:{server.getsockname()[1]}")
        log = logs.open(key)
        log.write(b"one\n")
        logs.give_back(key)
        assert logs._held == {}
        loop.run_until_complete(until(lambda: log.is_closed))
        server.settimeout(5)
        with server.accept()[0] as connection, connection.makefile("rb") as file:
            assert file.read().endswith(b" access - one\n")


def test_at_the_end_all_slow_readers_together_get_so_much_time(
    logs: Logs, log: Remembering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs_module, "CLOSE_SECONDS", 0.2)
    readers = []
    for number in range(20):
        os.mkfifo(tmp_path / f"{number}")
        readers.append(os.open(tmp_path / f"{number}", os.O_RDONLY | os.O_NONBLOCK))
        logs.open(log_key(str(tmp_path / f"{number}"))).write(b"x" * 200_000 + b"\n")
    file = tmp_path / "a.log"
    logs.open(log_key(str(file))).write(b"last\n")
    patience: list[float] = []
    close = AccessLog.close

    def remember(log: AccessLog, seconds: float) -> None:
        patience.append(seconds)
        close(log, seconds)

    monkeypatch.setattr(AccessLog, "close", remember)
    logs.close()
    assert len(patience) == 21 and max(patience) <= 0.2
    assert patience == sorted(patience, reverse=True) and patience[1] == 0.0, "the first has used it up"
    assert file.read_bytes() == b"last\n"
    assert len(log.of("log lost lines")) == 20
    for reader in readers:
        os.close(reader)


def test_a_dry_run_opens_nothing(loop: asyncio.AbstractEventLoop, log: Remembering, tmp_path: Path) -> None:
    logs = DryLogs(loop, log)
    for name in (str(tmp_path / "a.log"), "/nowhere/a.log", "syslog"):
        logs.open(log_key(name)).write(b"x\n")
    logs.close()
    assert list(tmp_path.iterdir()) == []


def found(folder: Path, pattern: str) -> list[Path]:
    return list(folder.glob(pattern))


def test_of_several_workers_the_first_rotates_and_the_others_follow(
    loop: asyncio.AbstractEventLoop, log: Remembering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs_module, "LOOK_SECONDS", 0.01)
    path, link = tmp_path / "a.log", tmp_path / "link.log"
    path.touch()
    link.symlink_to(path)
    told: list[object] = []
    spec = RotationSpec(size=20, is_compressed=True)

    async def conversation() -> None:
        first, second = Logs(loop, log), Logs(loop, log)
        first.share(told.append, is_first=True)
        second.share(lambda message: None, is_first=False)
        ours, theirs = first.open(log_key(str(path))), second.open(log_key(str(link)))
        for logs, name in ((first, path), (second, link)):
            logs.rotate(log_key(str(name)), spec)
        assert told == [LogMoved(str(path), 1)], "what is there already is seen to"
        theirs.write(b"x" * 30 + b"\n")
        theirs.flush()
        await until(lambda: len(told) == 2)
        (aside,) = found(tmp_path, "a-*.log")
        theirs.write(b"late\n")
        theirs.flush()
        assert aside.read_bytes() == b"x" * 30 + b"\nlate\n", "it has not left the old file"
        assert second.reopen_file(str(path))
        assert second.reopen_file("/nowhere"), "not ours"
        theirs.write(b"new\n")
        first.tidy(str(path))
        second.tidy(str(path))
        await until(lambda: not aside.exists())
        (packed,) = found(tmp_path, "a-*.log.gz")
        assert gzip.decompress(packed.read_bytes()) == b"x" * 30 + b"\nlate\n"
        ours.write(b"ours\n")
        for logs in (first, second):
            logs.close()
        assert sorted(path.read_bytes().split()) == [b"new", b"ours"]

    loop.run_until_complete(conversation())


def test_a_file_that_cannot_be_reopened_is_told(logs: Logs, log: Remembering, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    logs.open(log_key(str(folder / "a.log")))
    (folder / "a.log").unlink()
    folder.rmdir()
    assert not logs.reopen_file(str(folder / "a.log"))
    assert log.of("log not reopened")


class Later:
    """A loop that remembers in how many seconds it is to call."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    def call_later(self, seconds: float, callback: Callable[[], object]) -> None:
        self.asked.append(round(seconds, 3))


def test_a_file_that_grows_quickly_is_looked_at_more_often(log: Remembering, tmp_path: Path) -> None:
    path, later = tmp_path / "a.log", Later()
    logs = Logs(cast("asyncio.AbstractEventLoop", later), log)
    logs.share(lambda message: None, is_first=True)
    logs.open(log_key(str(path)))
    logs.rotate(log_key(str(path)), RotationSpec(size=1000))
    with path.open("ab", buffering=0) as others:
        for size in (0, 500, 300, 199, 100, 0):
            others.write(b"x" * size)
            logs._look()
    # Half of it in a second: looked at after half of that. Then 200 fit, two thirds of what came in that time.
    assert later.asked == [1.0, 1.0, 0.5, 0.167, LEAST_SECONDS, LEAST_SECONDS, 1.0]
    logs.close()
