"""The worker's process as the supervisor starts it, played with sockets in place of the supervisor."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from posthouse import __version__
from posthouse.commands import worker
from posthouse.server import block
from posthouse.server.channel import _HEADER, HELLO
from posthouse.server.control import Abort, Ended, Ping, Pong, Welcome
from posthouse.server.sharing import Shared

COMMAND = [sys.executable, "-m", "posthouse.commands.worker"]


class Started:
    def __init__(self) -> None:
        self.ours, theirs = socket.socketpair()
        self.ours.settimeout(20)
        self.process = subprocess.Popen(
            [*COMMAND, str(theirs.fileno())], pass_fds=(theirs.fileno(),), stderr=subprocess.PIPE
        )
        theirs.close()

    def say(self, message: object) -> None:
        data = message if isinstance(message, bytes) else pickle.dumps(message)
        self.ours.sendall(_HEADER.pack(len(data), 0) + data)

    def hear(self) -> bytes:
        header = self.ours.recv(_HEADER.size, socket.MSG_WAITALL)
        return self.ours.recv(_HEADER.unpack(header)[0], socket.MSG_WAITALL)

    def end(self) -> tuple[int, bytes]:
        """The exit code and what it wrote."""
        self.ours.close()
        _, written = self.process.communicate(timeout=20)
        return self.process.returncode, written


@pytest.fixture
def started() -> Iterator[Started]:
    made = Started()
    yield made
    made.ours.close()
    made.process.kill()
    made.process.communicate()


def test_it_greets_obeys_and_ignores_what_is_the_supervisors(started: Started) -> None:
    started.say(HELLO)
    started.say(Welcome(0, 1))
    assert started.hear() == HELLO
    for number in (
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGHUP,
        signal.SIGUSR1,
        signal.SIGUSR2,
    ):
        started.process.send_signal(number)
    started.say(Ping())
    assert pickle.loads(started.hear()) == Pong(0)
    started.say(Abort())
    assert pickle.loads(started.hear()) == Ended(0)
    assert started.end() == (2, b"")


def test_another_version_is_refused(started: Started) -> None:
    started.say(b"posthouse 0.0.1")
    assert started.hear() == HELLO
    started.process.wait(20)
    code, written = started.end()
    assert code == 1
    expected = f"supervisor and worker are of two versions: {HELLO.decode()}, and 'posthouse 0.0.1' answered"
    assert written.decode() == f"posthouse: worker: {expected}\n"


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_block_of_another_version_is_refused(started: Started, is_ours: bool) -> None:
    started.say(HELLO)
    started.say(Welcome(0, 2))
    assert started.hear() == HELLO
    memory, wakes = block.create(2, __version__ if is_ours else "0.0.1"), [os.eventfd(0) for _ in range(2)]
    data = pickle.dumps(Shared())
    frame = _HEADER.pack(len(data), 3) + data
    socket.send_fds(started.ours, [frame], [memory.fd, *wakes])
    for one in wakes:
        os.close(one)
    memory.close()
    if is_ours:
        started.say(Ping())
        assert pickle.loads(started.hear()) == Pong(0)
        started.say(Abort())
    assert pickle.loads(started.hear()) == Ended(0)
    code, written = started.end()
    assert code == 2
    said = (
        "worker can't work with the others" in written.decode()
        and "is of Posthouse 0.0.1" in written.decode()
    )
    assert said is not is_ours, written


def test_a_supervisor_that_has_ended_is_no_mistake(started: Started) -> None:
    assert started.end() == (0, b"")


@pytest.mark.parametrize("words", [[], ["x"], ["99"]])
def test_it_is_not_for_people(words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    assert worker.main(words) == 2
    assert capsys.readouterr().err == "posthouse: a worker is started by `posthouse run`, not by hand\n"
