"""The process: a real worker from real parts, in this process, and the build that touches nothing."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from posthouse.adapt import adapt
from posthouse.config.specs import PolicySpec
from posthouse.errors import ConfigError, StartError
from posthouse.observe.process_log import ProcessLog
from posthouse.server.process import Process, dry_build, judge_policies, open_log
from posthouse.server.worker import Settings
from unit.server.fakes import Remembering


@pytest.fixture
def process(log: Remembering, monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    monkeypatch.setattr(gc, "freeze", lambda: None)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    made = Process(log, "asyncio", lambda: None, is_case_sensitive=False)
    yield made
    made.loop.close()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_it_serves_until_stopped(
    process: Process, log: Remembering, capsys: pytest.CaptureFixture[str]
) -> None:
    process.loop.call_later(0.05, os.kill, os.getpid(), signal.SIGTERM)
    loaded = adapt("http://127.0.0.1:0 {\n bind 127.0.0.1\n proxy / a:1\n}\n", "Caddyfile")
    assert process.serve(loaded, Settings()) == 0
    assert [line["what"] for line in log.lines()] == ["started", "stopping", "stopped"]
    assert capsys.readouterr().err.startswith("ready: http://127.0.0.1:")


def test_a_closed_stderr_is_no_reason_to_write_to_stdout(
    process: Process, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    process.announce("ready: nowhere")
    assert capsys.readouterr().out == ""


def test_a_failed_start_is_raised(process: Process, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = adapt(":80 {\n bind 192.0.2.1\n}\n", "Caddyfile")
    with pytest.raises(StartError, match="not an address of this machine"):
        process.serve(loaded, Settings())
    assert capsys.readouterr().err == ""


def test_a_dry_build_finds_what_only_building_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dry_build(adapt(":80 {\n log\n log /x b.log\n proxy / a:1\n}\n", "Caddyfile").config)
    assert os.listdir() == []
    with pytest.raises(ConfigError, match="policy"):
        dry_build(adapt(":80 {\n proxy / a:1 {\n  policy nope\n }\n}\n", "Caddyfile").config)


def test_the_process_log_opens_or_says_why(tmp_path: Path) -> None:
    log = open_log(str(tmp_path / "process.log"), "json")
    log.info("hello")
    log.close()
    assert '"what":"hello"' in (tmp_path / "process.log").read_text()
    with pytest.raises(StartError, match="cannot open the process log /nowhere/x: No such file or directory"):
        open_log("/nowhere/x", "text")


def test_the_loop_is_chosen_before_anything_opens() -> None:
    with pytest.raises(StartError, match="POSTHOUSE_LOOP"):
        Process(ProcessLog(io.StringIO()), "trio", lambda: None, is_case_sensitive=False)
    assert asyncio.get_event_loop_policy() is not None


def test_policies_are_judged_without_a_pool() -> None:
    names = ["random", "first", "round_robin", "least_conn", "ip_hash", "uri_hash"]
    assert judge_policies([*map(PolicySpec, names), PolicySpec("header", ("X",))]) == []
    (unknown, superfluous) = judge_policies([PolicySpec("frist"), PolicySpec("first", ("x",))])
    assert unknown.hint == "did you mean `first`?"
    assert "too many arguments for `policy first`" in superfluous.message
