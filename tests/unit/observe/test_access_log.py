"""The access log gathers lines and writes them in batches, whatever happens to the output."""

from __future__ import annotations

import asyncio
import errno
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from posthouse.observe import output as output_module
from posthouse.observe.access_log import FLUSH_BYTES, FLUSH_SECONDS, RETIRE_TURNS, AccessLog
from posthouse.observe.output import Output
from posthouse.observe.process_log import ProcessLog
from unit.observe.fake_subject import WALL


class Timer:
    """One call that was asked for."""

    def __init__(self, at: float, callback: Callable[[], object]) -> None:
        self.at = at
        self.callback = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Clock:
    """A loop's `call_later` on a clock that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def __call__(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer:
        timer = Timer(self.now + delay, callback)
        self.timers.append(timer)
        return timer

    def live(self) -> list[Timer]:
        return [timer for timer in self.timers if not timer.is_cancelled]

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [timer for timer in self.live() if timer.at <= end]:
            timer = min(due, key=lambda timer: timer.at)
            self.timers.remove(timer)
            self.now = timer.at
            timer.callback()
        self.now = end


class Stage:
    """An access log in a folder, on a fake clock, with its process log on a stream."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.stream = io.StringIO()
        self.process_log = ProcessLog(self.stream, wall=lambda: WALL, clock=self.clock)
        self.path = folder / "access.log"
        self.log = AccessLog(Output(str(self.path)), self.clock.call_later, self.process_log)

    def written(self) -> bytes:
        return self.path.read_bytes()

    def reports(self) -> list[str]:
        return [line[25:] for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


class Disk:
    """A switch for `os.write`: while `is_full` it raises."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = True
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, fd: int, data: bytes) -> int:
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._write(fd, data)


def test_lines_go_out_after_half_a_second(stage: Stage) -> None:
    stage.log.write(b"one\n")
    stage.clock.advance(FLUSH_SECONDS - 0.001)
    stage.log.write(b"two\n")
    assert stage.written() == b""
    stage.clock.advance(0.001)
    assert stage.written() == b"one\ntwo\n"
    assert stage.clock.live() == []
    stage.log.write(b"three\n")
    stage.clock.advance(FLUSH_SECONDS)
    assert stage.written() == b"one\ntwo\nthree\n"
    stage.log.close()


def test_a_full_batch_goes_out_at_once(stage: Stage) -> None:
    line = b"x" * 1023 + b"\n"
    for _ in range(FLUSH_BYTES // len(line) - 1):
        stage.log.write(line)
    assert stage.written() == b""
    stage.log.write(line)
    assert len(stage.written()) == FLUSH_BYTES
    assert len(stage.clock.live()) == 1
    stage.clock.advance(FLUSH_SECONDS)
    assert stage.clock.live() == []
    stage.log.close()


def test_an_idle_log_has_no_timer(stage: Stage) -> None:
    stage.clock.advance(10.0)
    assert stage.clock.timers == []
    stage.log.close()


def test_closing_loses_nothing_and_leaves_no_timer(stage: Stage) -> None:
    stage.log.write(b"one\n")
    stage.log.close()
    stage.log.close()
    assert stage.written() == b"one\n"
    assert stage.clock.live() == []
    assert stage.reports() == []


def test_a_line_after_the_end_is_reported_and_breaks_nothing(stage: Stage) -> None:
    stage.log.close()
    stage.log.write(b"late\n")
    stage.clock.advance(FLUSH_SECONDS)
    assert stage.reports() == [f"ERROR log not written path={stage.path} error=closed lost=1"]
    assert stage.clock.live() == []


def test_logrotate(stage: Stage, tmp_path: Path) -> None:
    stage.log.write(b"one\n")
    stage.path.rename(tmp_path / "access.log.1")
    stage.log.write(b"two\n")
    stage.log.reopen()
    stage.log.write(b"three\n")
    stage.log.close()
    assert (tmp_path / "access.log.1").read_bytes() == b"one\ntwo\n"
    assert stage.written() == b"three\n"


def test_a_path_that_cannot_be_reopened_keeps_the_old_file(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    stage = Stage(folder)
    folder.rename(tmp_path / "moved")
    stage.log.reopen()
    stage.log.write(b"one\n")
    stage.log.close()
    assert (tmp_path / "moved" / "access.log").read_bytes() == b"one\n"
    assert stage.reports() == [f'ERROR log not reopened path={stage.path} error="No such file or directory"']


def test_a_full_disk_is_reported_once_a_minute_and_its_lines_come_later(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    stage.log.write(b"one\n")
    stage.clock.advance(61.0)
    stage.log.write(b"two\n")
    stage.clock.advance(1.0)
    report = f'ERROR log not written path={stage.path} error="No space left on device" lost=0'
    assert stage.reports()[0] == report
    assert len([line for line in stage.reports() if line.startswith("ERROR")]) == 2
    disk.is_full = False
    stage.clock.advance(FLUSH_SECONDS)
    assert stage.written() == b"one\ntwo\n"
    assert stage.reports()[-1] == f"INFO log written again path={stage.path} lost=0"
    assert stage.clock.live() == []
    stage.log.close()


def test_the_end_of_trouble_is_told_as_often_as_the_trouble_is(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    for _ in range(5):
        disk.is_full = True
        stage.log.write(b"one\n")
        stage.clock.advance(FLUSH_SECONDS)
        disk.is_full = False
        stage.clock.advance(FLUSH_SECONDS)
    assert stage.written() == b"one\n" * 5
    assert [line[:20] for line in stage.reports()] == ["ERROR log not writte", "INFO log written aga"]
    stage.log.close()


def test_lines_that_had_to_be_dropped_are_counted(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    monkeypatch.setattr(output_module, "KEPT", FLUSH_BYTES + 100)
    for _ in range(3):
        for _ in range(FLUSH_BYTES // 64):
            stage.log.write(b"x" * 63 + b"\n")
    disk.is_full = False
    stage.log.flush()
    assert stage.reports()[-1].endswith(f" lost={2 * FLUSH_BYTES // 64}")
    assert len(stage.written()) == FLUSH_BYTES
    stage.log.close()


def test_what_is_lost_at_the_end_is_said(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    Disk(monkeypatch)
    stage.log.write(b"one\ntwo\n")
    stage.log.close()
    assert stage.reports()[-1] == f"ERROR log lost lines path={stage.path} lost=2"
    stage.log.close()
    assert len(stage.reports()) == 2


def test_a_closed_pipe_breaks_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "access.log")
    reader = os.open(tmp_path / "access.log", os.O_RDONLY | os.O_NONBLOCK)
    stage = Stage(tmp_path)
    os.close(reader)
    stage.log.write(b"one\n")
    stage.clock.advance(FLUSH_SECONDS)
    assert stage.reports() == [f'ERROR log not written path={stage.path} error="Broken pipe" lost=0']
    stage.log.close()


class SlowSink:
    """Takes nothing until told to; `is_behind` without a problem, like a connection that is being made."""

    def __init__(self) -> None:
        self.name = "slow"
        self.problem = ""
        self.lost = 0
        self.is_open = False
        self.waiting = self.taken = b""
        self.patience: list[float] = []

    @property
    def is_behind(self) -> bool:
        return bool(self.waiting)

    def send(self, lines: bytes) -> bool:
        self.waiting += lines
        if self.is_open:
            self.taken, self.waiting = self.taken + self.waiting, b""
        return not self.waiting

    def reopen(self) -> None:
        pass

    def close(self, patience: float) -> None:
        self.patience.append(patience)


@pytest.fixture
def slow(stage: Stage) -> Iterator[tuple[SlowSink, AccessLog]]:
    sink = SlowSink()
    yield sink, AccessLog(sink, stage.clock.call_later, stage.process_log)
    stage.log.close()


def test_a_sink_that_is_behind_is_asked_again_without_a_further_line(
    stage: Stage, slow: tuple[SlowSink, AccessLog]
) -> None:
    sink, log = slow
    log.write(b"x" * FLUSH_BYTES + b"\n")
    assert sink.is_behind, "handed over at once"
    sink.is_open = True
    stage.clock.advance(FLUSH_SECONDS)
    assert not sink.is_behind
    assert (stage.clock.live(), stage.reports()) == ([], [])


def test_a_log_that_is_retired_closes_when_all_is_out(stage: Stage, slow: tuple[SlowSink, AccessLog]) -> None:
    sink, log = slow
    log.write(b"one\n")
    log.retire()
    stage.clock.advance(FLUSH_SECONDS * 3)
    assert not log.is_closed
    sink.is_open = True
    stage.clock.advance(FLUSH_SECONDS)
    assert log.is_closed and (sink.taken, sink.patience) == (b"one\n", [0.0])
    assert stage.clock.live() == []


def test_a_log_that_is_retired_waits_so_long_and_not_longer(
    stage: Stage, slow: tuple[SlowSink, AccessLog]
) -> None:
    _, log = slow
    log.write(b"one\n")
    log.retire()
    stage.clock.advance(FLUSH_SECONDS * (RETIRE_TURNS - 1))
    assert not log.is_closed
    stage.clock.advance(FLUSH_SECONDS)
    assert log.is_closed
    assert stage.clock.live() == []


def test_a_log_that_is_retired_with_nothing_to_write_closes_at_once(stage: Stage) -> None:
    stage.log.write(b"one\n")
    stage.log.retire()
    assert stage.log.is_closed and stage.written() == b"one\n"


def test_a_log_introduces_itself(stage: Stage) -> None:
    stage.log.write(b"one\n")
    assert repr(stage.log) == f"<AccessLog {stage.path} pending=4>"
    assert stage.log.name == str(stage.path)
    stage.log.close()


def test_a_real_loop_fits(tmp_path: Path) -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        log = AccessLog(Output(str(tmp_path / "a.log")), loop.call_later, ProcessLog(io.StringIO()))
        log.write(b"one\n")
        log.close()

    asyncio.run(scene())
    assert (tmp_path / "a.log").read_bytes() == b"one\n"
