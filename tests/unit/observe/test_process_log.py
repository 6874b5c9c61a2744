"""The process log: shape, escaping, and the same error over and over."""

from __future__ import annotations

import errno
import io
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.errors import FailureKind, StartError
from posthouse.observe import output as output_module
from posthouse.observe.process_log import ERRORS, ONCE_A_MINUTE, Format, Limit, ProcessLog, Throttle

WALL = 1769860800.1239


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Stage:
    """A process log on a stream, and its clock."""

    def __init__(self, format: Format = "text") -> None:
        self.clock = Clock()
        self.stream = io.StringIO()
        self.log = ProcessLog(self.stream, format, wall=lambda: WALL, clock=self.clock)

    def take(self) -> list[str]:
        """The lines since last asked."""
        text = self.stream.getvalue()
        self.stream.seek(0)
        self.stream.truncate()
        assert text == "" or text.endswith("\n")
        return text.split("\n")[:-1]


# -- shape


def test_text() -> None:
    stage = Stage()
    stage.log.info("configuration loaded", generation=3, file="./Caddyfile")
    stage.log.warn("accepting paused")
    stage.log.error("attempt failed", backend="http://127.0.0.1:9000", failure=FailureKind.CONNECT)
    assert stage.take() == [
        "2026-01-31T12:00:00.123Z INFO configuration loaded generation=3 file=./Caddyfile",
        "2026-01-31T12:00:00.123Z WARN accepting paused",
        "2026-01-31T12:00:00.123Z ERROR attempt failed backend=http://127.0.0.1:9000 failure=connect",
    ]


def test_json() -> None:
    stage = Stage("json")
    stage.log.error(
        "attempt failed", backend="http://127.0.0.1:9000", failure=FailureKind.CONNECT, n=1, none=None
    )
    (line,) = stage.take()
    assert line == (
        '{"ts":"2026-01-31T12:00:00.123Z","level":"ERROR","what":"attempt failed",'
        '"backend":"http://127.0.0.1:9000","failure":"connect","n":1,"none":null}'
    )


@pytest.mark.parametrize(
    ("value", "text", "data"),
    [
        ("word", "word", "word"),
        ("/a?b=c", "/a?b=c", "/a?b=c"),
        ("", '""', ""),
        ("two words", '"two words"', "two words"),
        ('a"b', r'"a\"b"', 'a"b'),
        ("a\\b", r'"a\\b"', "a\\b"),
        ("a\nERROR b", r'"a\nERROR b"', "a\nERROR b"),
        ("é", r'"\u00e9"', "é"),
        ("\x1b[2J", r'"\u001b[2J"', "\x1b[2J"),
        (b"\xff", r'"\u00ff"', "\xff"),
        (7, "7", 7),
        (True, "true", True),
        (False, "false", False),
        (None, "-", None),
        (0.25, "0.25", 0.25),
        (0.1 + 0.2, "0.3", 0.3),
        (float("inf"), "inf", "inf"),
        (float("nan"), "nan", "nan"),
        (Path("/x"), "/x", "/x"),
        (FailureKind.FULL, "full", "full"),
    ],
)
def test_value(value: object, text: str, data: object) -> None:
    stage = Stage()
    stage.log.info("what", value=value)
    assert stage.take() == [f"2026-01-31T12:00:00.123Z INFO what value={text}"]
    stage = Stage("json")
    stage.log.info("what", value=value)
    assert json.loads(stage.take()[0])["value"] == data


@given(st.text(), st.text(), st.binary())
def test_one_event_is_one_line_whatever_it_holds(what: str, text: str, data: bytes) -> None:
    formats: tuple[Format, ...] = ("text", "json")
    for format in formats:
        stage = Stage(format)
        stage.log.error(what, text=text, data=data)
        (line,) = stage.take()
        assert line.isascii()
        assert line.isprintable()
    values = json.loads(line)
    assert (values["what"], values["text"], values["data"]) == (what, text, data.decode("latin-1"))


# -- where it goes


def test_lines_are_in_the_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "p.log"
    log = ProcessLog(str(path), wall=lambda: WALL)
    log.info("one")
    assert path.read_text() == "2026-01-31T12:00:00.123Z INFO one\n"
    log.close()
    log.close()


def test_stderr_is_the_default(capfd: pytest.CaptureFixture[str]) -> None:
    log = ProcessLog(wall=lambda: WALL)
    log.info("one")
    log.close()
    assert capfd.readouterr().err == "2026-01-31T12:00:00.123Z INFO one\n"


def test_a_file_that_cannot_be_opened_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "no" / "p.log"
    with pytest.raises(StartError) as caught:
        ProcessLog(str(path))
    assert str(caught.value) == f"cannot open the process log {path}: No such file or directory"


def test_reopening_after_a_rename(tmp_path: Path) -> None:
    log = ProcessLog(str(tmp_path / "p.log"))
    log.info("one")
    (tmp_path / "p.log").rename(tmp_path / "p.log.1")
    log.info("two")
    log.reopen()
    log.info("three")
    log.close()
    assert [line.split()[-1] for line in (tmp_path / "p.log.1").read_text().splitlines()] == ["one", "two"]
    assert [line.split()[-1] for line in (tmp_path / "p.log").read_text().splitlines()] == ["three"]


def test_if_it_cannot_be_reopened_the_old_file_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    log = ProcessLog(str(folder / "p.log"), wall=lambda: WALL)
    folder.rename(tmp_path / "moved")
    log.reopen()
    log.close()
    expected = '2026-01-31T12:00:00.123Z ERROR process log not reopened error="No such file or directory"\n'
    assert (tmp_path / "moved" / "p.log").read_text() == expected


def test_a_stream_is_left_alone() -> None:
    stage = Stage()
    stage.log.reopen()
    stage.log.flush()
    stage.log.close()
    assert stage.take() == []
    assert not stage.stream.closed


def test_a_full_disk_neither_raises_nor_goes_unmentioned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = ProcessLog(str(tmp_path / "p.log"), wall=lambda: WALL)
    with monkeypatch.context() as patch:

        def full(fd: int, data: bytes) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patch.setattr(os, "write", full)
        patch.setattr(output_module, "KEPT", 100)
        for number in range(5):
            log.info("event", number=number)
        log.flush()
    log.info("event", number=5)
    log.close()
    assert [line[25:] for line in (tmp_path / "p.log").read_text().splitlines()] == [
        "INFO event number=0",
        "INFO event number=1",
        "INFO event number=5",
        "WARN process log lost lines lost=3",
    ]


# -- the same error over and over


def test_an_error_storm_is_a_few_lines_and_a_count() -> None:
    stage = Stage()
    for _ in range(100):
        stage.log.error("attempt failed", key="a", backend="a")
    assert len(stage.take()) == ERRORS.lines
    stage.clock.now += ERRORS.seconds
    stage.log.error("attempt failed", key="a", backend="a")
    assert [line[25:] for line in stage.take()] == ["ERROR attempt failed backend=a suppressed=95"]


def test_the_next_line_of_its_kind_carries_the_count() -> None:
    throttle = Throttle()
    limit = Limit(2, 10.0)
    assert [throttle.admit("w", "k", limit, now) for now in (0.0, 1.0, 2.0, 9.9)] == [0, 0, None, None]
    assert [throttle.admit("w", "k", limit, now) for now in (10.0, 10.1, 10.2)] == [2, 0, None]


def test_keys_and_events_are_counted_apart() -> None:
    stage = Stage()
    limit = Limit(1, 60.0)
    for what, key in [("a", "x"), ("a", "y"), ("b", "x"), ("a", "x")]:
        stage.log.error(what, key=key, limit=limit)
    assert [line.split()[-1] for line in stage.take()] == ["a", "a", "b"]


def test_once_a_minute() -> None:
    stage = Stage()
    for _ in range(3 * 60):
        stage.log.warn("accepting paused", key="", limit=ONCE_A_MINUTE)
        stage.clock.now += 1.0
    assert [line[25:] for line in stage.take()] == [
        "WARN accepting paused",
        "WARN accepting paused suppressed=59",
        "WARN accepting paused suppressed=59",
    ]


def test_without_a_key_only_errors_are_limited() -> None:
    stage = Stage()
    for _ in range(50):
        stage.log.info("hello")
        stage.log.warn("hello")
    assert len(stage.take()) == 100
    for _ in range(50):
        stage.log.error("hello")
    assert len(stage.take()) == ERRORS.lines


def test_the_end_of_a_storm_is_told_by_the_next_line_of_any_kind() -> None:
    stage = Stage()
    for _ in range(10):
        stage.log.error("attempt failed", key="a")
    stage.take()
    stage.clock.now += ERRORS.seconds + 1
    stage.log.info("hello")
    assert [line[25:] for line in stage.take()] == [
        'WARN lines suppressed line="attempt failed" about=a suppressed=5',
        "INFO hello",
    ]


def test_flush_tells_what_was_held_back_once() -> None:
    stage = Stage()
    for _ in range(10):
        stage.log.error("attempt failed", key="a")
    stage.take()
    stage.log.flush()
    stage.log.flush()
    assert [line[25:] for line in stage.take()] == [
        'WARN lines suppressed line="attempt failed" about=a suppressed=5'
    ]
    stage.log.error("attempt failed", key="a")
    stage.log.close()
    assert [line[25:] for line in stage.take()] == [
        'WARN lines suppressed line="attempt failed" about=a suppressed=1'
    ]


def test_hostile_keys_do_not_grow_the_memory() -> None:
    throttle = Throttle()
    stage = Stage()
    for number in range(5000):
        stage.log.error("attempt failed", key=str(number))
    assert len(stage.log._throttle._counts) <= 1024
    for number in range(1024):
        throttle.admit("w", str(number), ERRORS, 0.0)
    assert throttle.is_full
    assert throttle.take_ended(0.0) == []
    assert not throttle.is_full


def test_whose_line_it_is_stands_at_its_end(tmp_path: Path) -> None:
    log = ProcessLog(str(tmp_path / "log"), about={"worker": 3})
    log.warn("odd", cause="x")
    log.close()
    assert (tmp_path / "log").read_text().endswith(" WARN odd cause=x worker=3\n")


def test_an_output_that_is_open_already_is_written_to(tmp_path: Path) -> None:
    with open(tmp_path / "log", "ab") as opened:
        output = output_module.Output("named.log", opened.fileno())
        assert output.fileno() == opened.fileno()
        log = ProcessLog(output)
        log.info("one")
        log.reopen()
        log.info("two")
    assert [line.split()[-1] for line in (tmp_path / "log").read_text().splitlines()] == ["one", "two"]
    assert not (tmp_path / "named.log").exists(), "reopening it is another's affair"
