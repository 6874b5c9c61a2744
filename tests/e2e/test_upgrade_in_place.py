"""Upgrade in place: another version takes over the listening sockets, and nobody notices.

Two copies of the package, of two versions, and a symbolic link that is switched between them.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.installed import Crowd, Installed, is_running, until
from kit import BackendConnection, RawClient, Request, ScriptedBackend, chunk, request, response, workers_of

pytestmark = pytest.mark.timeout(300)  # starts of several processes, one after the other
UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "websocket")]


@pytest.fixture(scope="module")
def module_backend() -> Iterator[ScriptedBackend]:
    with ScriptedBackend() as started:
        yield started


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, module_backend: ScriptedBackend) -> Iterator[Installed]:
    with Installed(tmp_path_factory.mktemp("installed"), module_backend) as installed:
        yield installed


@pytest.fixture
def here(shared: Installed, module_backend: ScriptedBackend) -> Iterator[Installed]:
    """One that serves, of whichever version, with 1.0 installed and nothing wrong with it."""
    module_backend.clear()
    for version in ("1.0", "2.0"):
        shared.mark(version)
    shared.switch("1.0")
    yield shared
    shared.alive()


def test_nothing_is_lost_twice_in_a_row(here: Installed, module_backend: ScriptedBackend) -> None:
    def serve(asked: Request, connection: BackendConnection) -> bytes | None:
        if asked.target == b"/":
            return response(200, body=b"ok")
        if asked.target == b"/tunnel":
            connection.send(response(101, UPGRADE, None, reason="Switching Protocols"))
            while not connection.fill():
                connection.send(bytes(connection.buffer))
                connection.buffer.clear()
            return None
        connection.send(
            response(200, [("Transfer-Encoding", "chunked")], None) + chunk(b"begin ", last=False)
        )
        is_over.wait(30)
        return chunk(b"end")

    is_over = threading.Event()
    module_backend.on_request = serve
    first = here.pid
    with RawClient(here.port) as tunnel, RawClient(here.port) as download, Crowd(here.port) as crowd:
        tunnel.send(request("GET", "/tunnel", UPGRADE, host="127.0.0.1"))
        assert tunnel.read_head().status == 101
        download.send(request("GET", "/download", host="127.0.0.1"))
        assert download.read_head().status == 200
        crowd.go_on()
        here.switch("2.0")
        second = here.upgrade()
        crowd.go_on()
        assert (here.first.directory / "pid").read_text() == f"{second}\n"
        report = here.command("status", "--json").stdout
        assert '"version": "2.0"' in report and f'"pid": {second}' in report
        here.switch("1.0")
        done = here.command("upgrade")
        here.pid = here.successors()[-1]
        assert done.stdout == f"upgraded: 2.0 (pid {second}) drains, 1.0 (pid {here.pid}) serves\n", (
            done.stderr
        )
        crowd.go_on()
        assert is_running(first), "its tunnel and its download live on"
        tunnel.send(b"hello")
        tunnel.fill()
        assert bytes(tunnel.buffer) == b"hello"
        is_over.set()
        until(lambda: not download.fill() and b"end" in download.buffer)
    assert crowd.failures == []
    until(lambda: not is_running(first) and not is_running(second))
    assert here.first.process.wait(5) == 0
    assert here.first.stderr().count("stopped cut=0") == 2
    assert here.first.stderr().count("\nready: ") == 2, "besides the first line"


def test_a_successor_that_cannot_serve_changes_nothing(here: Installed) -> None:
    text = here.first.config.read_text()
    pid, workers = here.pid, workers_of(here.pid)
    here.first.config.write_text(text.replace("proxy", "prxy"))
    done = here.command("upgrade")
    here.first.config.write_text(text)
    assert done.returncode == 1
    assert "Caddyfile:4:5: unknown directive `prxy`" in done.stderr
    assert done.stderr.splitlines()[-1] == (
        "posthouse: not upgraded, the old process stays: 1 mistake in its configuration"
    )
    here.mark("1.0", "raise SystemExit(7)")
    done = here.command("upgrade")
    assert "stays: it ended with exit code 7; what it said is on stderr" in done.stderr
    here.mark("1.0")
    assert (here.pid, workers_of(here.pid)) == (pid, workers)
    assert '"version": "1.0"' in here.command("status", "--json").stdout
    assert (here.first.directory / "pid").read_text() == f"{pid}\n"


def test_while_one_is_on_its_way(here: Installed) -> None:
    here.hang("2.0")
    os.kill(here.pid, signal.SIGUSR2)
    hanging = here.hanging()
    victim, other = workers_of(here.pid)
    assert "stays: an upgrade is under way" in here.command("upgrade").stderr
    os.kill(victim, signal.SIGKILL)
    here.told(rf"worker ended worker=\d pid={victim} ")
    os.kill(here.pid, signal.SIGUSR1)
    here.alive()
    assert workers_of(here.pid) == [other], "no worker is started of files that may be another version's"
    assert " INFO reloaded " not in here.first.stderr()
    here.switch("1.0")
    os.kill(hanging, signal.SIGKILL)
    here.told(r'ERROR upgrade failed, this process stays cause=USR2 reason="it ended with signal 9;')
    here.told(r" INFO worker replaced ")
    here.told(r" INFO reloaded cause=USR1 ")


def test_files_that_were_changed_without_an_upgrade(here: Installed) -> None:
    here.switch("2.0")
    victim, other = workers_of(here.pid)
    os.kill(victim, signal.SIGKILL)
    here.told(r"ERROR another version is installed, upgrade with SIGUSR2 installed=2.0$")
    here.alive()
    before = here.successors()
    os.kill(other, signal.SIGKILL)
    until(lambda: here.successors() != before)
    assert 'INFO upgrading cause="another version is installed and no worker is left"' in here.first.stderr()
    here.pid = here.successors()[-1]
    assert '"version": "2.0"' in here.command("status", "--json").stdout


def test_the_old_one_is_killed_half_way(tmp_path: Path, backend: ScriptedBackend) -> None:
    with Installed(tmp_path, backend, workers=1) as here:
        flag = here.hang("2.0")
        os.kill(here.pid, signal.SIGUSR2)
        here.hanging()
        here.command("status")  # it has answered since, so what it hands over is said
        os.kill(here.pid, signal.SIGKILL)
        flag.unlink()
        until(here.successors)
        here.alive()
        here.pid = here.successors()[-1]
        assert (here.first.directory / "pid").read_text() == f"{here.pid}\n"
        assert '"version": "2.0"' in here.command("status", "--json").stdout
        here.hang("2.0")
        os.kill(here.pid, signal.SIGUSR2)
        hanging = here.hanging()
        os.kill(here.pid, signal.SIGTERM)
        until(lambda: not is_running(here.pid) and not is_running(hanging))
        assert "it was told to stop meanwhile" in here.first.stderr()


def test_with_another_number_of_workers(tmp_path: Path, backend: ScriptedBackend) -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("there is one core")
    with Installed(tmp_path, backend, workers=None) as here, Crowd(here.port) as crowd:
        for wanted in (cores[:1], cores[:2]):
            os.sched_setaffinity(here.pid, wanted)
            here.upgrade()
            assert len(workers_of(here.pid)) == len(wanted)
            crowd.go_on()
        until(lambda: "stopped cut=0" in here.first.stderr())
        crowd.go_on()
    assert crowd.failures == []
