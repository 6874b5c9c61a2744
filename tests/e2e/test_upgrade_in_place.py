"""Upgrade in place: another version takes over the listening sockets, and nobody notices.

Two copies of the package, of two versions, and a symbolic link that is switched between them.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

import posthouse
from kit import (
    BackendConnection,
    BadMessage,
    Posthouse,
    RawClient,
    Request,
    ScriptedBackend,
    Truncated,
    chunk,
    get,
    request,
    response,
    workers_of,
)
from posthouse.admin.client import fetch

SOURCE = Path(posthouse.__file__).parent
CADDYFILE = """
http://127.0.0.1:PORT {
    bind 127.0.0.1
    proxy / BACKEND {
        websocket
    }
}
"""
STARTED = re.compile(
    r"INFO started pid=(\d+) workers=(\d+) sites=1 generation=1 predecessor=(\d+)$", re.MULTILINE
)
UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
PAUSE_SECONDS = 0.003
"""Between two requests of a client: what is to start needs some of the processor as well."""
HANGS = "import os, time\nwhile os.path.exists({!r}):\n    time.sleep(0.01)\n"


def until(is_so: Callable[[], object], timeout: float = 15.0) -> None:
    """Look again and again; AssertionError when it does not become so."""
    deadline = time.monotonic() + timeout
    while not is_so():
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Installed:
    """An environment with Posthouse in it, whose version can be switched; and one Posthouse that runs from it.

    Its successors are no children of ours: they are found in its log, and ended by their ids.
    """

    def __init__(
        self, folder: Path, backend: ScriptedBackend, caddyfile: str = CADDYFILE, **options: object
    ) -> None:
        self.folder = folder
        for version in ("1.0", "2.0"):
            shutil.copytree(SOURCE, folder / version / "posthouse")
            self.mark(version)
        self.switch("1.0")
        env = {"PYTHONPATH": str(folder / "current"), "PWD": ""}
        options = {"workers": 2, "arguments": ("--pidfile", "pid"), **options}
        self.first = Posthouse(caddyfile, BACKEND=backend.address, env=env, **options)  # type: ignore[arg-type]
        self.port = self.first.port
        self.pid = self.first.pid

    def __enter__(self) -> Installed:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in [*self.successors(), self.first.pid]:
            for number in (signal.SIGTERM, signal.SIGTERM):
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
                time.sleep(0.01)
        with suppress(AssertionError):
            until(lambda: not any(map(is_running, self.successors())), 5)
        print(self.first.stderr())
        self.first.stop()

    def mark(self, version: str, mistake: str = "") -> None:
        """Give a copy its version, or something that is wrong with it."""
        (self.folder / version / "posthouse" / "__init__.py").write_text(
            f'__version__ = "{version}"\n{mistake}'
        )

    def switch(self, version: str) -> None:
        """From now on this one is installed."""
        fresh = self.folder / "fresh"
        fresh.symlink_to(version)
        fresh.replace(self.folder / "current")

    def successors(self) -> list[int]:
        return [int(found[1]) for found in STARTED.finditer(self.first.stderr())]

    def hang(self, version: str) -> Path:
        """A version that does not get far as long as this file is there; it is installed now."""
        flag = self.folder / "hang"
        flag.touch()
        self.mark(version, HANGS.format(str(flag)))
        self.switch(version)
        return flag

    def hanging(self) -> int:
        """The id of the process that was started and hangs."""
        found: list[int] = []

        def look() -> list[int]:
            found[:] = set(children_of(self.pid)) - set(workers_of(self.pid))
            return found

        until(look)
        return found[0]

    def told(self, pattern: str) -> None:
        self.first.wait_stderr(pattern, 15)

    def upgrade(self) -> int:
        """USR2, and wait until another process serves; its id."""
        before = len(self.successors())
        os.kill(self.pid, signal.SIGUSR2)
        until(lambda: len(self.successors()) > before)
        self.pid = self.successors()[-1]
        return self.pid

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """One of the commands that ask a Posthouse that runs."""
        env = {**os.environ, "XDG_RUNTIME_DIR": str(self.first.directory)}
        return subprocess.run(
            [sys.executable, "-m", "posthouse", *words, "--config", str(self.first.config)],
            env=env, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def alive(self) -> None:
        """It serves."""
        assert get(self.port, host="127.0.0.1").status == 200


class Crowd:
    """Clients on connections that are kept, and on fresh ones; what fails is remembered."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answered = 0
        self.failures: list[str] = []
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(is_kept,), daemon=True)
            for is_kept in (False, False, True)
        ]

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(20)

    def _ask(self, is_kept: bool) -> None:
        while not self._is_over.wait(PAUSE_SECONDS):
            try:
                self._connection(50 if is_kept else 1)
            except (OSError, BadMessage, Truncated) as error:
                self.failures.append(repr(error))

    def _connection(self, most: int) -> None:
        with RawClient(self.port) as client:
            for _ in range(most):
                client.send(request("GET", "/", host="127.0.0.1"))
                answer = client.read_response()
                self.answered += 1
                if answer.status != 200:
                    self.failures.append(f"status {answer.status}")
                if (b"Connection", b"close") in answer.fields or self._is_over.wait(PAUSE_SECONDS):
                    return

    def go_on(self, count: int = 30) -> None:
        """Wait until so many more requests were answered."""
        before = self.answered
        until(lambda: self.answered >= before + count, 20)


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


LISTENER = """
import os, sys
def hear(event, arguments, told="FOLDER/told", flag="FOLDER/flag"):
    if event == "import" and os.path.exists(flag):
        with open(told, "a") as file:
            file.write(f"{os.getpid()} {arguments[0]}\\n")
sys.addaudithook(hear)
"""
EVERYTHING = """
http://127.0.0.1:PORT, http://*.test:PORT {
    bind 127.0.0.1
    root .
    browse /files
    ext .html
    index index.html
    mime .x text/x
    errors errors.log
    log / access.log {combined}
    log /syslog syslog
    log /json rotated.log json {
        rotate_size 1
    }
    gzip
    request_id
    trusted_proxies 10.0.0.0/8
    header / X-More more
    limits 1MB
    timeouts 1m
    internal /hidden
    status 204 /ping
    redir /old /new
    basicauth /secret me word
    rewrite /app {
        r ^/(app)$
        to /{1}
    }
    proxy /tls https://127.0.0.1:1 {
        insecure_skip_verify
    }
    proxy /api BACKEND localhost:1 {
        policy sticky
        queue 5 1s
        breaker errors=50%
        health_check /health
        health_check_interval 1s
        try_duration 1s
        fail_timeout 1s
        max_conns 10
        header_upstream +X-A {request_id}
        websocket
    }
}
"""


def test_nothing_is_imported_after_the_ready_line(
    tmp_path: Path, start_posthouse: Callable[..., Posthouse], backend: ScriptedBackend
) -> None:
    (tmp_path / "sitecustomize.py").write_text(LISTENER.replace("FOLDER", str(tmp_path)))
    running = start_posthouse(
        CADDYFILE,
        BACKEND=backend.address,
        workers=2,
        env={"PYTHONPATH": str(tmp_path)},
        arguments=("--pidfile", "pid"),
    )
    old = [running.pid, *running.workers()]
    (tmp_path / "flag").touch()
    running.reload(EVERYTHING)
    running.wait_stderr("reloaded .*generation=2 ")
    for target in (
        "/",
        "/api",
        "/tls",
        "/files/",
        "/ping",
        "/old",
        "/secret",
        "/app",
        "/syslog",
        "/json",
    ):
        for _ in range(4):
            get(running.port, target, [("Accept-Encoding", "gzip")], host="127.0.0.1")
    fetch(running.admin_socket(), "/status")
    running.reload(EVERYTHING + "mistake {")
    running.wait_stderr("reload failed")
    running.signal(signal.SIGUSR2)
    running.wait_stderr(r"upgrade failed")
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    told = [line.split() for line in (tmp_path / "told").read_text().splitlines()]
    # What is not installed was only looked for.
    late = [name for pid, name in told if int(pid) in old and (name != "sniffio" or find_spec(name))]
    assert late == []


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
