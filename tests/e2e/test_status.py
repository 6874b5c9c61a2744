"""The admin socket and `posthouse status` with real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kit import Posthouse, Stage, request, response
from kit.backend import PATIENCE
from posthouse.admin.client import fetch

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    proxy / http://user:secret@BACKEND {
        name main
        max_conns 1
        queue 9 20s
        health_check /health
        health_check_interval 100ms
    }
}
"""
SMALL = "http://127.0.0.1:0 {\n bind 127.0.0.1\n proxy / localhost:1\n}\n"

Start = Callable[..., Posthouse]


def posthouse(*words: str, runtime: Path | str = "/nowhere") -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "posthouse", *words],
        env={**os.environ, "XDG_RUNTIME_DIR": str(runtime)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def status(of: Posthouse, *words: str) -> subprocess.CompletedProcess[str]:
    return posthouse("status", "--config", str(of.config), *words, runtime=of.directory)


def keys(value: object) -> object:
    """The keys of what JSON holds, of a list those of its first item."""
    if isinstance(value, dict):
        return {key: keys(one) for key, one in value.items()}
    return [keys(one) for one in value[:1]] if isinstance(value, list) else None


def test_the_keys_are_a_contract(stage: Stage) -> None:
    running, waiting = stage.client(), stage.client()
    stage.backend.on_request = lambda asked, connection: (
        connection.backend.hold() if asked.target == b"/slow" else response(200)
    )
    for client in (running, waiting):
        client.send(request("GET", "/slow"))
    deadline = time.monotonic() + PATIENCE
    length, probe = 0, None
    found: dict[str, Any] = {}
    while not (length and probe):
        assert time.monotonic() < deadline, found
        found = fetch(stage.posthouse.admin_socket(), "/status")
        (pool,) = found["pools"]
        length, probe = pool["queue"]["length"], pool["backends"][0]["probe"]
    done = status(stage.posthouse, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert keys(found) == {
        **dict.fromkeys(("version", "pid", "config", "started", "uptime_s")),
        **dict.fromkeys(
            ("generation", "generations_retiring", "exchanges_retiring", "exchanges", "connections")
        ),
        "workers": [
            {
                **dict.fromkeys(("slot", "pid", "exchanges", "connections", "connections_limit")),
                "short_of": [],
            }
        ],
        "orders": [],
        "sites": [{"name": None, "addresses": [None], "pools": [None]}],
        "pools": [
            {
                "name": None,
                "policy": None,
                "queue": dict.fromkeys(("length", "size", "wait_s", "oldest_ms")),
                "sources": [],
                "backends": [
                    {
                        **dict.fromkeys(("name", "state", "reason", "since", "is_usable")),
                        **dict.fromkeys(
                            ("in_flight", "max_conns", "fails", "left_out_s", "weight", "warmth", "role")
                        ),
                        "probe": dict.fromkeys(("at", "verdict", "reason")),
                    }
                ],
            }
        ],
    }
    assert (found["pid"], found["config"]) == (stage.posthouse.pid, str(stage.posthouse.config))
    assert found["exchanges"] == 2
    (pool,) = found["pools"]
    assert (pool["name"], pool["queue"]["length"], pool["queue"]["size"]) == ("main", 1, 9)
    (backend,) = pool["backends"]
    assert (backend["name"], backend["in_flight"]) == (f"http://{stage.backend.address}", 1)
    shown = status(stage.posthouse).stdout
    assert f"pid {stage.posthouse.pid}" in shown and "1 of 9 wait" in shown and "1/1" in shown
    assert "secret" not in shown + done.stdout


def test_only_its_user_may_ask(stage: Stage) -> None:
    path = Path(stage.posthouse.admin_socket())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_who_names_a_socket_that_is_taken_does_not_start(stage: Stage) -> None:
    other = stage.posthouse.directory / "other"
    other.write_text(SMALL)
    done = posthouse("run", "--config", str(other), "--admin", stage.posthouse.admin_socket())
    assert done.returncode == 1
    assert f"in use by process {stage.posthouse.pid}" in done.stderr
    assert status(stage.posthouse).returncode == 0


def test_a_reload_is_told(stage: Stage) -> None:
    stage.posthouse.signal(signal.SIGHUP)
    stage.posthouse.wait_stderr("reloaded .*generation=2")
    assert "generation 2" in status(stage.posthouse).stdout


def test_one_socket_for_one_file(start_posthouse: Start) -> None:
    """Alive it is nobody else's, dead it is the next one's, and at the end it is gone."""
    first = start_posthouse(SMALL)
    path, runtime = first.admin_socket(), str(first.directory)
    words = ("run", "--config", str(first.config))

    def again(**env: str) -> Posthouse:
        return start_posthouse(SMALL, words=words, env={"XDG_RUNTIME_DIR": runtime, **env})

    second = again()
    second.wait_stderr(f"WARN no admin socket .*{path} is in use by process {first.pid}")
    assert json.loads(status(first, "--json").stdout)["pid"] == first.pid
    second.signal(signal.SIGTERM)
    assert second.wait() == 0
    assert Path(path).exists(), "it was not the second one's"
    first.signal(signal.SIGKILL)
    first.wait()
    done = status(first)
    assert (done.returncode, done.stderr) == (1, f"posthouse: nobody listens at {path}\n")
    third = again(POSTHOUSE_LOOP="asyncio")
    assert json.loads(status(first, "--json").stdout)["pid"] == third.pid
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(path)
        third.signal(signal.SIGTERM)
        assert third.wait() == 0, "who is connected does not hold it up"
    assert "internal error" not in third.stderr()
    assert not Path(path).exists()
    assert status(first).returncode == 1


def test_off(start_posthouse: Start) -> None:
    running = start_posthouse(SMALL, arguments=("--admin", "off"))
    assert list(running.directory.glob("posthouse/*")) == []
    done = status(running)
    assert done.returncode == 1 and "nobody listens at" in done.stderr


def test_without_a_folder_it_serves_all_the_same(start_posthouse: Start) -> None:
    running = start_posthouse(SMALL, env={"XDG_RUNTIME_DIR": "/dev/null"})
    running.wait_stderr("WARN no admin socket reason=.*/dev/null/posthouse/.*Not a directory")


def test_without_a_file_it_has_one_if_it_is_named(start_posthouse: Start, tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.sock"
    words = ("proxy", "--from", "http://127.0.0.1:0", "--to", "localhost:1", "--admin", str(path))
    start_posthouse(SMALL, words=words)
    done = posthouse("status", "--admin", str(path), "--json")
    assert json.loads(done.stdout)["config"] is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
