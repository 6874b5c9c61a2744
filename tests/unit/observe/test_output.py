"""An output that never makes its writer wait: full disks, closed pipes, slow readers, renamed files."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from posthouse.observe.output import KEPT, Output


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A FIFO and the descriptor of its (non-blocking) reader."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield path, reader
    os.close(reader)


def read_all(reader: int) -> bytes:
    """What is in the pipe now."""
    data = b""
    while True:
        try:
            piece = os.read(reader, 1 << 16)
        except BlockingIOError:
            return data
        if not piece:
            return data
        data += piece


class Disk:
    """`os.write` with room for so many bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = 0
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, fd: int, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = self._write(fd, data[: self.room])
        self.room -= taken
        return taken


def test_a_file_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"old\n")
    output = Output(str(path))
    assert output.send(b"one\ntwo\n")
    assert path.read_bytes() == b"old\none\ntwo\n"
    assert not output.is_behind
    output.close()


def test_a_new_file_is_readable_by_others(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        output = Output(str(tmp_path / "a.log"))
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a.log").stat().st_mode) == 0o644
    output.close()


def test_what_cannot_be_opened_is_an_error_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "unread")
    for name in (tmp_path / "no" / "a.log", tmp_path, tmp_path / "unread"):
        with pytest.raises(OSError):
            Output(str(name))


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_the_standard_outputs(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    output = Output(name)
    output.send(b"line\n")
    output.reopen()
    output.close()
    assert getattr(capfd.readouterr(), name[3:]) == "line\n"
    os.fstat({"stdout": 1, "stderr": 2}[name])


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_closed_standard_output_is_never_written_to(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, f"__{name}__", None)
    with pytest.raises(OSError, match=f"{name} is closed"):
        Output(name)


def test_after_a_full_disk_the_log_goes_on_where_it_broke_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    output = Output(str(tmp_path / "a.log"))
    disk.room = 6
    assert not output.send(b"one\ntwo\n")
    assert output.is_behind
    assert output.problem == "No space left on device"
    assert not output.send(b"three\n")
    disk.room = 100
    assert output.send(b"four\n")
    assert (output.problem, output.lost) == ("", 0)
    assert (tmp_path / "a.log").read_bytes() == b"one\ntwo\nthree\nfour\n"
    output.close()


def test_past_the_limit_whole_batches_are_dropped_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    output = Output(str(tmp_path / "a.log"))
    batch = b"x" * 1023 + b"\n"
    for _ in range(KEPT // len(batch)):
        assert not output.send(batch)
    assert output.lost == 0
    assert not output.send(b"late\nlater\n")
    assert output.lost == 2
    disk.room = 2 * KEPT
    assert output.send(b"after\n")
    data = (tmp_path / "a.log").read_bytes()
    assert len(data) == KEPT + len(b"after\n")
    assert data.endswith(b"x\nafter\n")
    output.close()


def test_a_device_that_is_always_full() -> None:
    output = Output("/dev/full")
    assert not output.send(b"line\n")
    assert output.problem == os.strerror(errno.ENOSPC)
    assert repr(output) == f"<Output /dev/full kept=5 lost=0 {os.strerror(errno.ENOSPC)}>"
    output.close()
    assert output.lost == 1


def test_a_slow_reader_does_not_stop_us_and_loses_nothing(fifo: tuple[Path, int]) -> None:
    path, reader = fifo
    output = Output(str(path))
    lines = b"".join(b"line %d\n" % number for number in range(20_000))
    assert not output.send(lines)
    assert output.problem == "the reader does not keep up"
    seen = b""
    while output.is_behind:
        seen += read_all(reader)
        output.send(b"")
    seen += read_all(reader)
    assert seen == lines
    output.close()


def test_a_pipe_gets_whole_lines_in_pieces_that_cannot_mix(fifo: tuple[Path, int]) -> None:
    path, reader = fifo
    output = Output(str(path))
    line = b"x" * 999 + b"\n"
    output.send(line * 1000)
    assert read_all(reader).endswith(b"\n")
    output.close(patience=0)


def test_a_line_longer_than_a_piece_is_written_all_the_same(fifo: tuple[Path, int]) -> None:
    path, reader = fifo
    output = Output(str(path))
    line = b"x" * 10_000 + b"\n"
    assert output.send(line)
    assert read_all(reader) == line
    output.close()


def test_two_who_write_long_lines_to_one_pipe_do_not_write_into_each_others(fifo: tuple[Path, int]) -> None:
    path, reader = fifo
    one, two = Output(str(path)), Output(str(path))
    for number in range(30):
        one.send(b"%d" % number + b"1" * 9_000 + b"\n")
        two.send(b"%d" % number + b"2" * 9_000 + b"\n")
    assert one.is_behind and two.is_behind
    # One of them is in the middle of a line; the other one waits for its turn, which is no trouble.
    assert {one.problem, two.problem} == {"the reader does not keep up", ""}
    seen = b""
    while one.is_behind or two.is_behind:
        seen += read_all(reader)
        two.send(b"")
        one.send(b"")
    seen += read_all(reader)
    lines = seen.splitlines()
    for who in b"12":
        ours = [line for line in lines if line[-1] == who]
        assert ours == [b"%d" % number + bytes([who]) * 9_000 for number in range(30)]
    assert len(lines) == 60
    one.close()
    two.close()


def test_what_is_lost_while_it_is_not_our_turn_is_a_problem(fifo: tuple[Path, int]) -> None:
    path, _ = fifo
    one, two = Output(str(path)), Output(str(path))
    one.send(b"x" * 100_000 + b"\n")
    assert not two.send(b"y" * (KEPT - 1) + b"\n")
    assert (two.problem, two.lost) == ("", 0)
    assert not two.send(b"z\n")
    assert (two.problem, two.lost) == ("the reader does not keep up", 1)
    one.close(patience=0)
    two.close(patience=0)


def test_closing_waits_for_its_turn_but_not_for_ever(fifo: tuple[Path, int]) -> None:
    path, reader = fifo
    one, two = Output(str(path)), Output(str(path))
    one.send(b"x" * 100_000 + b"\n")
    two.send(b"line\n")
    two.close(patience=0.03)
    assert two.lost == 1
    three = Output(str(path))
    read_all(reader)
    one.close(patience=0)  # with half a line out: the others go on nevertheless
    assert three.send(b"three\n")
    assert read_all(reader).endswith(b"three\n")
    three.close()


def test_a_reader_that_left_is_a_problem_and_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    output = Output(str(path))
    os.close(reader)
    assert not output.send(b"one\n")
    assert output.problem == os.strerror(errno.EPIPE)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert output.send(b"two\n")
    assert read_all(reader) == b"one\ntwo\n"
    output.close()
    os.close(reader)


def test_closing_waits_for_a_slow_reader_but_not_for_ever(fifo: tuple[Path, int]) -> None:
    path, reader = fifo
    output = Output(str(path))
    lines = b"line\n" * 20_000
    output.send(lines)
    output.close(patience=0.01)
    assert read_all(reader).count(b"\n") + output.lost == 20_000
    assert output.lost > 0


def test_closing_sends_what_the_reader_takes_in_time(
    fifo: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, reader = fifo
    output = Output(str(path))
    output.send(b"line\n" * 20_000)
    seen = b""

    class Reading:
        """The wait for the reader, in which it reads."""

        def __init__(self, poll: Callable[[float], object]) -> None:
            self._poll = poll

        def poll(self, timeout: float) -> object:
            nonlocal seen
            if timeout:
                seen += read_all(reader)
            return self._poll(timeout)

    monkeypatch.setattr(output, "_poll", Reading(output._poll.poll))
    output.close()
    assert (seen + read_all(reader), output.lost) == (b"line\n" * 20_000, 0)


def test_closing_twice_is_fine_and_what_comes_later_is_counted(tmp_path: Path) -> None:
    output = Output(str(tmp_path / "a.log"))
    output.close()
    output.close()
    output.reopen()
    assert output.send(b"")
    assert not output.send(b"late\n")
    assert (output.problem, output.lost) == ("closed", 1)


def test_reopening_after_a_rename_goes_on_in_a_new_file(tmp_path: Path) -> None:
    output = Output(str(tmp_path / "a.log"))
    output.send(b"one\n")
    (tmp_path / "a.log").rename(tmp_path / "a.log.1")
    output.send(b"two\n")
    output.reopen()
    output.send(b"three\n")
    output.close()
    assert (tmp_path / "a.log.1").read_bytes() == b"one\ntwo\n"
    assert (tmp_path / "a.log").read_bytes() == b"three\n"


def test_reopening_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    output = Output(str(tmp_path / "a.log"))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        output.reopen()
    assert len(os.listdir("/proc/self/fd")) == before
    output.close()
    assert len(os.listdir("/proc/self/fd")) == before - 1


def test_if_it_cannot_be_reopened_the_old_file_stays(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    output = Output(str(folder / "a.log"))
    folder.rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError):
        output.reopen()
    assert output.send(b"line\n")
    assert (tmp_path / "moved" / "a.log").read_bytes() == b"line\n"
    output.close()


def test_half_a_line_never_begins_a_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    output = Output(str(tmp_path / "a.log"))
    disk.room = 6
    output.send(b"one\ntwo\nthree\n")
    (tmp_path / "a.log").rename(tmp_path / "a.log.1")
    output.reopen()
    disk.room = 100
    output.send(b"four\n")
    assert (tmp_path / "a.log.1").read_bytes() == b"one\ntw"
    assert (tmp_path / "a.log").read_bytes() == b"three\nfour\n"
    assert output.lost == 1
    output.close()


def test_lines_of_a_signal_handler_come_after_those_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = Output(str(tmp_path / "a.log"))
    write = os.write
    is_interrupted = False

    def interrupted(fd: int, data: bytes) -> int:
        nonlocal is_interrupted
        if not is_interrupted:
            is_interrupted = True
            assert not output.send(b"from the handler\n")
        return write(fd, data)

    monkeypatch.setattr(os, "write", interrupted)
    assert output.send(b"one\ntwo\n")
    assert (tmp_path / "a.log").read_bytes() == b"one\ntwo\nfrom the handler\n"
    output.close()
