"""Upgrade in place, and what else a process has than its clients: orders, admin addresses, introduced clients, other
rights for its workers, sockets of the service manager and its attention."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from e2e.installed import Crowd, Installed, install, is_running, switch, until
from e2e.systemd import Systemd
from e2e.test_other_rights import status_of
from kit import BackendConnection, RawClient, Request, ScriptedBackend, get, request, response, workers_of
from kit.backend import answer_ok
from kit.posthouse import free_port

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start it")
pytestmark = pytest.mark.timeout(300)  # starts of several processes, one after the other
CADDYFILE = """
http://127.0.0.1:PORT {
    bind 127.0.0.1
    proxy_protocol 127.0.0.2
    proxy / BACKEND OTHER {
        name main
        policy round_robin
        header_upstream X-Client {client_ip}
    }
}
"""
PAUSES = """

import os
_release = Predecessor.release

async def _pause(self: Predecessor) -> bool:
    os.mkdir("FOLDER/serves")
    while os.path.exists("FOLDER/serves"):
        await asyncio.sleep(0.01)
    return await _release(self)

Predecessor.release = _pause
"""
"""Between serving and the end of the upgrade, for as long as the test likes."""
INTRODUCTION = b"PROXY TCP4 10.1.1.1 10.1.1.2 1234 80\r\n"


@contextmanager
def asked(address: tuple[str, int], target: bytes) -> Iterator[list[bytes]]:
    """Somebody asks there again and again, each time on a new connection; the answers, or what failed."""
    answers: list[bytes] = []
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.wait(0.002):
            try:
                with socket.create_connection(address, 60) as asking:
                    asking.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
                    answers.append(asking.recv(12))
            except OSError as error:
                answers.append(repr(error).encode())

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield answers
    finally:
        is_over.set()
        thread.join(60)


def introduced(port: int) -> RawClient:
    """A client behind another proxy, which has introduced it."""
    client = RawClient(port, timeout=60)
    client.socket.close()
    client.socket = socket.create_connection(("127.0.0.1", port), 60, source_address=("127.0.0.2", 0))
    client.send(INTRODUCTION)
    return client


def test_orders_admin_addresses_and_introduced_clients(tmp_path: Path, backend: ScriptedBackend) -> None:
    admin = ("127.0.0.1", free_port())
    arguments = ("--pidfile", "pid", "--admin-listen", f"127.0.0.1:{admin[1]}")
    with (
        ScriptedBackend() as other,
        Installed(tmp_path, backend, CADDYFILE, OTHER=other.address, arguments=arguments) as here,
        Crowd(here.port) as crowd,
        asked(admin, b"/ready") as answers,
        introduced(here.port) as kept,
    ):
        kept.send(request("GET", "/", host="127.0.0.1"))
        assert kept.read_response().status == 200
        assert here.command("backend", "drain", "main", backend.address).returncode == 0
        assert here.command("backend", "weight", "main", other.address, "7").returncode == 0
        ordered = json.loads(here.command("status", "--json").stdout)["orders"]
        assert [(one["order"], one["weight"]) for one in ordered] == [("drain", None), (None, 7)]
        crowd.go_on()  # what was under way has ended
        count, old, before = len(backend.requests), here.pid, datetime.now(UTC).isoformat()
        with open(tmp_path / "2.0" / "posthouse" / "server" / "predecessor.py", "a") as file:
            file.write(PAUSES.replace("FOLDER", str(tmp_path)))
        here.switch("2.0")
        os.kill(here.pid, signal.SIGUSR2)
        until((tmp_path / "serves").exists)
        crowd.go_on(100)
        assert len(backend.requests) == count, "both serve, and neither sends anything there"
        kept.send(request("GET", "/", host="127.0.0.1")[:-2])
        (tmp_path / "serves").rmdir()
        until(here.successors)
        here.pid = here.successors()[0]
        crowd.go_on()
        kept.send(b"\r\n")
        assert kept.read_response().status == 200, "its head was half there"
        with introduced(here.port) as fresh:
            fresh.send(request("GET", "/", host="127.0.0.1"))
            assert fresh.read_response().status == 200
        with socket.create_connection(
            ("127.0.0.1", here.port), 60, source_address=("127.0.0.2", 0)
        ) as unknown:
            unknown.sendall(request("GET", "/", host="127.0.0.1"))
            assert unknown.recv(100) == b"", "who has to be introduced still has to"
        crowd.go_on()
        report = json.loads(here.command("status", "--json").stdout)
        assert (report["version"], len(report["orders"])) == ("2.0", 2)
        assert [(one["order"], one["weight"]) for one in report["orders"]] == [("drain", None), (None, 7)]
        assert report["orders"][0]["since"] < before, "it stands as long as it does"
        assert len(backend.requests) == count, "drained before, drained after, and at no time between"
        assert here.command("backend", "undrain", "main", backend.address).returncode == 0
        until(lambda: len(backend.requests) > count)
        until(lambda: not is_running(old))
    assert crowd.failures == []
    assert set(answers) == {b"HTTP/1.1 200"} and len(answers) > 10


FAILS_LATE = """

def _fail(self: object) -> None:
    from posthouse.errors import StartError
    raise StartError("the disk is full")

Insignia.take = _fail
"""


def test_one_that_fails_at_the_last_moment_takes_nothing_along(
    tmp_path: Path, backend: ScriptedBackend
) -> None:
    """It serves already, beside the old one: what came to it is answered, and then it ends."""

    def serve(asked: Request, connection: BackendConnection) -> bytes:
        time.sleep(0.05)  # so that there is always something under way
        return response(200)

    backend.on_request = serve
    admin = ("127.0.0.1", free_port())
    arguments = ("--pidfile", "pid", "--admin-listen", f"127.0.0.1:{admin[1]}")
    with (
        Installed(tmp_path, backend, arguments=arguments) as here,
        Crowd(here.port) as crowd,
        asked(admin, b"/ready") as answers,
    ):
        pid, workers = here.pid, workers_of(here.pid)
        with open(tmp_path / "2.0" / "posthouse" / "server" / "insignia.py", "a") as file:
            file.write(FAILS_LATE)
        crowd.go_on()
        here.switch("2.0")
        done = here.command("upgrade")
        assert (done.returncode, done.stderr.splitlines()[-1]) == (
            1,
            "posthouse: not upgraded, the old process stays: the disk is full",
        )
        crowd.go_on()
        assert json.loads(here.command("status", "--json").stdout)["pid"] == pid
        assert (here.first.directory / "pid").read_text() == f"{pid}\n"
        assert workers_of(pid) == workers
        ordered = here.command("backend", "weight", f"http://127.0.0.1:{here.port}", backend.address, "3")
        assert ordered.returncode == 0, ordered.stderr
    assert crowd.failures == []
    assert set(answers) == {b"HTTP/1.1 200"}


CHECKED = """
http://127.0.0.1:PORT {
    bind 127.0.0.1
    proxy / BACKEND OTHER {
        name main
        policy round_robin
        health_check /health
        health_check_interval 20ms
        health_check_timeout 5m
    }
}
"""


def test_what_health_checks_know(tmp_path: Path, backend: ScriptedBackend) -> None:
    is_silent, is_over = threading.Event(), threading.Event()
    asked: list[bytes] = []

    def serve(question: Request, connection: BackendConnection) -> bytes | None:
        asked.append(question.target)
        if is_silent.is_set():  # so that the new process finds out nothing by itself
            is_over.wait(300)
        return response(503)

    with (
        ScriptedBackend() as other,
        ExitStack() as at_the_end,
        Installed(tmp_path, other, CHECKED, OTHER=backend.address) as here,
    ):
        at_the_end.callback(is_over.set)
        assert get(here.port, host="127.0.0.1").status == 200
        backend.on_request = serve
        here.told(r"WARN backend down .*" + re.escape(backend.address))
        is_silent.set()
        asked.clear()
        with Crowd(here.port) as crowd:
            crowd.go_on()
            before = datetime.now(UTC).isoformat()
            here.switch("2.0")
            here.upgrade()
            crowd.go_on(100)
        assert crowd.failures == []
        assert set(asked) <= {b"/health"}, "nobody was sent to a backend that is known to be down"
        (pool,) = json.loads(here.command("status", "--json").stdout)["pools"]
        (down,) = (one for one in pool["backends"] if backend.address in one["name"])
        assert (down["state"], down["reason"]) == ("down", "status 503") and down["since"] < before
        is_silent.clear()
        is_over.set()
        backend.on_request = answer_ok
        here.told(rf"INFO backend up .*{re.escape(backend.address)}.*was=down")


def test_systemd_keeps_its_socket_and_follows_the_main_process(
    tmp_path: Path, backend: ScriptedBackend
) -> None:
    install(tmp_path)
    systemd = Systemd(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        (tmp_path / "Caddyfile").write_text(
            f"http://127.0.0.1:{port} {{\n bind 127.0.0.1\n proxy / {backend.address}\n}}\n"
        )
        env = {"PYTHONPATH": str(tmp_path / "current"), "WATCHDOG_USEC": "200000"}
        process = systemd.start(tmp_path, listening, **env)
        pids = [process.pid]
        try:
            systemd.heard("READY=1")
            with Crowd(port) as crowd:
                for version in ("2.0", "1.0"):  # the second one was given the socket by the first
                    switch(tmp_path, version)
                    os.kill(systemd.main, signal.SIGUSR2)
                    systemd.heard("MAINPID=")
                    assert systemd.main not in pids
                    pids.append(systemd.main)
                    systemd.heard("WATCHDOG=1")
                    crowd.go_on()
                assert crowd.failures == []
            assert process.wait(60) == 0
            os.kill(systemd.main, signal.SIGUSR1)
            systemd.heard("RELOADING=1")
            systemd.heard("READY=1")
            assert get(port, host="127.0.0.1").status == 200
            os.kill(systemd.main, signal.SIGTERM)
            systemd.heard("STOPPING=1")
            until(lambda: not is_running(systemd.main))
            assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), (
                "the manager's copy lives on"
            )
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.communicate()
            systemd.notified.close()


def is_readable_by_all(path: str) -> bool:
    """Whether somebody without rights can run this interpreter with our source."""
    check = "import os, sys; os.setgid(65534); os.setuid(65534); os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", check, path, "-c", "import posthouse.commands.worker"],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


@ROOT_ONLY
def test_workers_with_other_rights(backend: ScriptedBackend) -> None:
    if not is_readable_by_all(sys.executable):
        pytest.skip("nobody may read this interpreter or its packages")
    nobody = str(pwd.getpwnam("nobody").pw_uid)
    folder = Path(tempfile.mkdtemp(prefix="posthouse-test-"))
    folder.chmod(0o755)
    passwords = folder / "htpasswd"
    passwords.write_text("me:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\n")  # "test"
    passwords.chmod(0o600)
    caddyfile = f"""
http://127.0.0.1:PORT {{
    bind 127.0.0.1
    basicauth /secret me htpasswd={passwords}
    proxy / BACKEND
}}
"""
    arguments = ("--pidfile", "pid", "--user", "nobody")
    allowed = [("Authorization", "Basic bWU6dGVzdA==")]
    try:
        with Installed(folder, backend, caddyfile, arguments=arguments) as here, Crowd(here.port) as crowd:
            here.switch("2.0")
            here.upgrade()
            crowd.go_on()
            assert status_of(here.pid)["Uid"] == ["0"] * 4
            assert [status_of(pid)["Uid"] for pid in workers_of(here.pid)] == [[nobody] * 4] * 2
            assert get(here.port, "/secret", allowed, host="127.0.0.1").status == 200
            assert get(here.port, "/secret", host="127.0.0.1").status == 401
            until(lambda: here.first.process.poll() is not None)
        assert crowd.failures == []
    finally:
        shutil.rmtree(folder)
