"""Lines to a syslog daemon: over UDP, TCP and the local socket, with daemons that come and go."""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from posthouse.observe import syslog_output
from posthouse.observe.syslog_output import (
    CONNECT_SECONDS,
    FIRST_PAUSE,
    LONGEST_MESSAGE,
    LONGEST_PAUSE,
    Daemon,
    SyslogOutput,
)
from unit.observe.fake_subject import WALL

REMOTE = re.compile(rb"<(\d+)>1 2026-01-31T12:00:00\.123Z (\S+) posthouse (\d+) (access|error) - (.*)")
LOCAL = re.compile(rb"<(\d+)>(Jan 31|Feb  1) \d\d:\d\d:\d\d posthouse\[(\d+)\]: (.*)")
HOST = os.uname().nodename.encode()


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(clock: Clock) -> Iterator[Callable[..., SyslogOutput]]:
    made: list[SyslogOutput] = []

    def output(daemon: Daemon, severity: str = "info") -> SyslogOutput:
        level = "error" if severity == "error" else "info"
        made.append(SyslogOutput("syslog", daemon, level, clock=clock, wall=lambda: WALL))  # type: ignore[arg-type]
        return made[-1]

    yield output
    for one in made:
        one.close(0.0)


@contextlib.contextmanager
def daemon(kind: str, port: int = 0) -> Iterator[socket.socket]:
    if kind == "tcp":
        with socket.create_server(("127.0.0.1", port)) as server:
            server.settimeout(5)
            yield server
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", port))
        server.settimeout(5)
        yield server


def to(server: socket.socket, transport: str) -> Daemon:
    return Daemon("tcp" if transport == "tcp" else "udp", "127.0.0.1", server.getsockname()[1])


def push(output: SyslogOutput, lines: bytes = b"") -> None:
    """Send, taking as many steps as it needs (the look-up has a thread, the connection a handshake)."""
    deadline = time.monotonic() + 5
    is_out = output.send(lines)
    while not is_out:
        assert time.monotonic() < deadline and not output.problem, output
        output._wait(0.1)
        is_out = output.send(b"")


def fail(output: SyslogOutput, lines: bytes = b"") -> str:
    """Send until it says what is wrong."""
    deadline = time.monotonic() + 5
    output.send(lines)
    while not output.problem:
        assert time.monotonic() < deadline, output
        output._wait(0.1)
        output.send(b"")
    return output.problem


def read_lines(server: socket.socket, count: int) -> list[bytes]:
    connection, _ = server.accept()
    with connection, connection.makefile("rb") as file:
        return [file.readline() for _ in range(count)]


# -- messages


@pytest.mark.parametrize(
    ("severity", "priority", "topic"), [("info", 134, "access"), ("error", 131, "error")]
)
def test_udp(make: Callable[..., SyslogOutput], severity: str, priority: int, topic: str) -> None:
    with daemon("udp") as server:
        push(make(to(server, "udp"), severity), b"one line\ntwo\n")
        for text in (b"one line", b"two"):
            found = REMOTE.fullmatch(server.recv(9000))
            assert found
            assert found.groups() == (
                b"%d" % priority,
                HOST,
                b"%d" % os.getpid(),
                topic.encode(),
                text,
            )


def test_tcp_one_message_a_line(make: Callable[..., SyslogOutput]) -> None:
    with daemon("tcp") as server:
        push(make(to(server, "tcp")), b"one\ntwo\n")
        for line, text in zip(read_lines(server, 2), (b"one", b"two"), strict=True):
            found = REMOTE.fullmatch(line[:-1])
            assert found and found[5] == text and line.endswith(b"\n")


def test_the_local_daemon_gets_the_old_form(make: Callable[..., SyslogOutput], tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "log"))
        server.settimeout(5)
        push(make(Daemon("unix", str(tmp_path / "log"))), b"one\ntwo\n")
        for text in (b"one", b"two"):
            found = LOCAL.fullmatch(server.recv(9000))
            assert found and (found[1], found[3], found[4]) == (b"134", b"%d" % os.getpid(), text)


def test_the_local_socket_is_the_default() -> None:
    assert Daemon() == ("unix", "/dev/log", 0)


def test_a_message_is_cut_at_its_limit_and_says_so(make: Callable[..., SyslogOutput]) -> None:
    with daemon("udp") as server:
        output = make(to(server, "udp"))
        room = LONGEST_MESSAGE - len(output._head())
        push(output, b"x" * room + b"\n" + b"y" * (room + 1) + b"\n")
        whole, cut = server.recv(65000), server.recv(65000)
        assert (len(whole), len(cut)) == (LONGEST_MESSAGE, LONGEST_MESSAGE)
        assert whole.endswith(b"xx")
        assert cut.endswith(b"yy...")


# -- daemons that come and go


def test_an_absent_daemon_costs_no_line_and_is_tried_again_after_growing_pauses(
    make: Callable[..., SyslogOutput], clock: Clock
) -> None:
    with daemon("tcp") as server:
        where = to(server, "tcp")
    output = make(where)
    assert fail(output, b"one\n") == "Connection refused"
    pauses, pause = [], FIRST_PAUSE
    for _ in range(8):
        before = output._tries
        clock.now += pause - 0.01
        output.send(b"")
        assert output._tries == before, "not yet"
        clock.now += 0.01
        output.problem = ""
        fail(output)
        pauses.append(pause)
        pause = min(pause * 2, LONGEST_PAUSE)
    assert pauses[-1] == LONGEST_PAUSE
    with daemon("tcp", where.port) as server:
        clock.now += LONGEST_PAUSE
        output.problem = ""
        push(output, b"two\n")
        assert [line.split()[-1] for line in read_lines(server, 2)] == [b"one", b"two"]
    assert (output.lost, output.problem) == (0, "")


def test_a_daemon_that_was_restarted_gets_every_line_once(
    make: Callable[..., SyslogOutput], clock: Clock
) -> None:
    with daemon("tcp") as server:
        output = make(to(server, "tcp"))
        push(output, b"one\n")
        assert len(read_lines(server, 1)) == 1
        _wait_for_end(output)
        assert fail(output, b"two\n") == "closed by the receiver"
        clock.now += FIRST_PAUSE
        output.problem = ""
        push(output, b"three\n")
        assert [line.split()[-1] for line in read_lines(server, 2)] == [b"two", b"three"]
    assert output.lost == 0


def _wait_for_end(output: SyslogOutput) -> None:
    """Until the kernel knows that the daemon's end is closed."""
    assert output._socket is not None
    poll = select.poll()
    poll.register(output._socket, select.POLLIN)
    assert poll.poll(5000)


def test_a_message_of_which_half_was_sent_is_lost_with_its_connection(
    make: Callable[..., SyslogOutput], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syslog_output, "_TURN_BYTES", 100)
    with daemon("tcp") as server:
        output = make(to(server, "tcp"))
        output.send(b"x" * 100 + b"\ntwo\n")
        deadline = time.monotonic() + 5
        while not output._is_torn:
            assert time.monotonic() < deadline
            output._wait(0.1)
            output.send(b"")
        server.accept()[0].close()
        _wait_for_end(output)
        fail(output)
        assert output.lost == 1
        clock.now += FIRST_PAUSE
        output.problem = ""
        push(output)
        assert [line.split()[-1] for line in read_lines(server, 1)] == [b"two"]


def test_a_refused_datagram_is_counted(make: Callable[..., SyslogOutput], clock: Clock) -> None:
    with daemon("udp") as server:
        where = to(server, "udp")
    output = make(where)
    push(output, b"one\n")
    assert fail(output, b"two\n") == "Connection refused"
    assert (output.lost, output.is_behind) == (1, True)
    with daemon("udp", where.port) as server:
        clock.now += FIRST_PAUSE
        output.problem = ""
        push(output)
        assert server.recv(9000).endswith(b" two")


def test_a_local_daemon_that_does_not_keep_up_holds_nobody_up(
    make: Callable[..., SyslogOutput], tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "log"))
        server.settimeout(5)
        output = make(Daemon("unix", str(tmp_path / "log")))
        lines = [b"%d\n" % number for number in range(3000)]
        assert not output.send(b"".join(lines)), "the kernel's queue is full"
        assert output.problem == "the receiver does not keep up"
        seen: list[bytes] = []
        while len(seen) < len(lines):
            seen.append(server.recv(9000).rpartition(b" ")[2] + b"\n")
            output.send(b"")
        assert seen == lines
    assert (output.lost, output.is_behind) == (0, False)


def test_what_is_kept_has_an_end_on_both_sides(
    make: Callable[..., SyslogOutput], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(syslog_output, "KEPT", 1000)
    output = make(Daemon("unix", str(tmp_path / "absent")))
    output.send(b"x" * 499 + b"\n")
    kept = len(output._kept)
    output.send(b"y" * (1000 - kept - 1) + b"\n")
    assert output.lost == 0
    output.send(b"z\nz\n")
    assert output.lost == 2
    assert output.problem == "No such file or directory"


def test_a_handshake_that_never_ends_is_given_up(make: Callable[..., SyslogOutput], clock: Clock) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        output = make(to(full, "tcp"))
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            fillers.append(filler)
        output.send(b"one\n")
        assert output._lookup is not None or output._socket is not None
        deadline = time.monotonic() + 5
        while output._socket is None:
            assert time.monotonic() < deadline
            output._wait(0.1)
            output.send(b"")
        clock.now += CONNECT_SECONDS - 0.01
        output.send(b"")
        assert output.problem == ""
        clock.now += 0.01
        output.send(b"")
        assert output.problem == "no connection in time"
        for filler in fillers:
            filler.close()


def test_a_name_that_does_not_exist_is_a_problem_and_no_exception(make: Callable[..., SyslogOutput]) -> None:
    output = make(Daemon("udp", "nowhere.invalid", 514))
    assert fail(output, b"one\n")
    assert output.is_behind


# -- the end


def test_closing_sends_what_is_kept(make: Callable[..., SyslogOutput]) -> None:
    with daemon("tcp") as server:
        output = make(to(server, "tcp"))
        output.send(b"one\n")
        output.close(5.0)
        assert (output.lost, output.is_behind) == (0, False)
        assert read_lines(server, 2)[1] == b""
        output.close(5.0)
        assert not output.send(b"late\n")
        assert (output.problem, output.lost) == ("closed", 1)


def test_closing_without_a_daemon_waits_for_nothing_and_counts(
    make: Callable[..., SyslogOutput], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = make(Daemon("unix", str(tmp_path / "absent")))
    output.send(b"one\ntwo\n")
    monkeypatch.setattr(SyslogOutput, "_wait", lambda self, seconds: 1 // 0 if self._socket else False)
    output.close(60.0)
    assert output.lost == 2


def test_it_introduces_itself(make: Callable[..., SyslogOutput], tmp_path: Path) -> None:
    output = make(Daemon("unix", str(tmp_path / "absent")))
    output.reopen()
    assert repr(output) == "<SyslogOutput syslog apart kept=0 lost=0>"
