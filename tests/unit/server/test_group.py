"""The group: a real supervisor in this process with a real worker beside it."""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from posthouse.adapt import adapt
from posthouse.errors import ConfigError, StartError
from posthouse.server.descriptors import FEW
from posthouse.server.group import Group, Options
from posthouse.server.parts import Settings
from posthouse.server.pressure import Limits

ONE_SITE = "http://127.0.0.1:0 {\n bind 127.0.0.1\n proxy / a:1\n}\n"


@pytest.fixture(autouse=True)
def no_freezing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(gc, "freeze", lambda: None)
    yield


def test_it_serves_until_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    group = Group(Options(os.environ, Limits(descriptors=FEW), log=str(log)), lambda: None)
    said: list[str] = []

    def announce(ready: str) -> None:
        said.append(ready)
        threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGTERM)).start()

    monkeypatch.setattr(group, "announce", announce)
    assert group.serve(adapt(ONE_SITE, "Caddyfile"), Settings()) == 0
    assert said[0].startswith("ready: http://127.0.0.1:")
    whats = [line.split(" ", 2)[2].split(" ")[0] for line in log.read_text().splitlines()]
    assert whats == ["started", "stopping", "stopped"]


def test_a_failed_start_is_raised(capfd: pytest.CaptureFixture[str]) -> None:
    loaded = adapt(":80 {\n bind 192.0.2.1\n}\n", "Caddyfile")
    with pytest.raises(StartError, match="not an address of this machine"):
        Group(Options(os.environ), lambda: None).serve(loaded, Settings())
    wrong = adapt(":0 {\n proxy / a:1 {\n  policy nope\n }\n}\n", "Caddyfile")
    with pytest.raises(ConfigError, match="unknown policy"):
        Group(Options(os.environ), lambda: None).serve(wrong, Settings())
    assert "ready" not in capfd.readouterr().err


def test_a_closed_stderr_is_no_reason_to_write_to_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    group = Group(Options({}, log=str(tmp_path / "log")), lambda: None)
    monkeypatch.setattr(sys, "stderr", None)
    group.announce("ready: nowhere")
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(sys, "stderr", written := io.StringIO())
    group.announce("ready: here")
    assert written.getvalue() == "ready: here\n"


def test_the_log_opens_or_says_why() -> None:
    with pytest.raises(StartError, match="cannot open the process log /nowhere/x: No such file or directory"):
        Group(Options({}, log="/nowhere/x"), lambda: None)


@pytest.mark.parametrize("name", ["POSTHOUSE_LOOP", "POSTHOUSE_RESOLVER"])
def test_what_workers_would_choke_on_is_said_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "trio, or what")
    with pytest.raises(StartError, match=name):
        Group(Options({}), lambda: None)
