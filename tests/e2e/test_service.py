"""Posthouse as a service: other rights for workers, the service manager's sockets and its notifications."""

from __future__ import annotations

import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kit import Posthouse, ScriptedBackend, get, workers_of
from kit.backend import PATIENCE

Start = Callable[..., Posthouse]

ONE_SITE = "http://127.0.0.1:PORT {\n bind 127.0.0.1\n proxy / BACKEND\n}\n"
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start it")


def status_of(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}


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
def test_workers_have_other_rights_and_get_what_only_root_may_read(
    start_posthouse: Start, backend: ScriptedBackend, tmp_path: Path
) -> None:
    if not is_readable_by_all(sys.executable):
        pytest.skip("nobody may read this interpreter or its packages")
    nobody = pwd.getpwnam("nobody")
    passwords = tmp_path / "htpasswd"
    passwords.write_text("me:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\n")  # "test"
    passwords.chmod(0o600)
    log = tmp_path / "process.log"
    caddyfile = ONE_SITE.replace("proxy", f"basicauth / me htpasswd={passwords}\n proxy")
    running = start_posthouse(
        caddyfile, BACKEND=backend.address, workers=2, arguments=("--user", "nobody", "--log", str(log))
    )
    assert status_of(running.pid)["Uid"] == ["0"] * 4
    for pid in running.workers():
        found = status_of(pid)
        assert found["Uid"] == [str(nobody.pw_uid)] * 4
        assert found["Gid"] == [str(nobody.pw_gid)] * 4
        assert "0" not in found["Groups"]
    allowed = [("Authorization", "Basic bWU6dGVzdA==")]
    assert get(running.port, host="127.0.0.1").status == 401
    assert get(running.port, "/", allowed, host="127.0.0.1").status == 200
    log.rename(tmp_path / "process.log.1")
    running.reload(caddyfile.replace("PORT", "PORT2"))
    deadline = time.monotonic() + PATIENCE
    while not log.exists() or "reloaded" not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert get(running.named_port("PORT2"), "/", allowed, host="127.0.0.1").status == 200
    os.kill(running.workers()[0], signal.SIGKILL)
    while "worker replaced" not in log.read_text():
        assert time.monotonic() < deadline + 10
        time.sleep(0.02)
    assert {status_of(pid)["Uid"][0] for pid in running.workers()} == {str(nobody.pw_uid)}
    running.signal(signal.SIGKILL)
    while log.read_text().count("supervisor gone, draining") < 2:
        assert time.monotonic() < deadline + 15, log.read_text()
        time.sleep(0.02)


class Systemd:
    """What systemd is to a service: a socket that is told, and sockets that it opened."""

    def __init__(self, folder: Path) -> None:
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.bind(str(folder / "notify"))
        self.notified.settimeout(10)
        self.env = {**os.environ, "NOTIFY_SOCKET": str(folder / "notify"), "XDG_RUNTIME_DIR": str(folder)}

    def heard(self, what: str) -> str:
        """The next message that begins so; others are passed over."""
        while True:
            message = self.notified.recv(4096).decode()
            if message.startswith(what):
                return message

    def start(self, folder: Path, listening: socket.socket | None, **env: str) -> subprocess.Popen[bytes]:
        """Start it as descriptor 3 wants it: LISTEN_PID is known only after the fork."""
        fds = "os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))"
        setting = (
            f"import os, sys; {fds if listening else 'pass'}; os.environ['WATCHDOG_PID'] = str(os.getpid())"
        )
        run = "os.execv(sys.executable, [sys.executable, '-m', 'posthouse', 'run', '--workers', '2'])"
        command = [sys.executable, "-c", f"{setting}; {run}", str(listening.fileno() if listening else 0)]
        fds_kept = (listening.fileno(),) if listening else ()
        return subprocess.Popen(
            command, cwd=folder, env={**self.env, **env}, pass_fds=fds_kept, stderr=subprocess.PIPE
        )


def test_systemd_is_told_and_gives_the_socket(tmp_path: Path, backend: ScriptedBackend) -> None:
    systemd = Systemd(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        (tmp_path / "Caddyfile").write_text(
            f"http://127.0.0.1:{port} {{\n bind 127.0.0.1\n proxy / {backend.address}\n}}\n"
        )
        process = systemd.start(tmp_path, listening, WATCHDOG_USEC="200000", LISTEN_FDNAMES="web")
        try:
            early = socket.create_connection(("127.0.0.1", port), 5)
            assert systemd.heard("READY=1") == f"READY=1\nMAINPID={process.pid}"
            early.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert early.recv(100).startswith(b"HTTP/1.1 200"), "who connected before the start is served"
            early.close()
            assert len(workers_of(process.pid)) == 2
            assert systemd.heard("WATCHDOG=1")
            process.send_signal(signal.SIGUSR1)
            assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", systemd.heard("RELOADING=1"))
            systemd.heard("READY=1")
            assert get(port, host="127.0.0.1").status == 200
            process.send_signal(signal.SIGTERM)
            systemd.heard("STOPPING=1")
            assert process.wait(10) == 0
            assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), (
                "the manager's copy lives on"
            )
        finally:
            process.kill()
            _, written = process.communicate()
            systemd.notified.close()
        assert f"ready: http://127.0.0.1:{port} (pid {process.pid}, workers 2)" in written.decode()


def test_the_unit_file_fits() -> None:
    """What it says is what the program does: notify, reload by signal, time for a drain, no more rights than needed."""
    text = (Path(__file__).parents[2] / "contrib" / "posthouse.service").read_text()
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    assert lines["Type"] == "notify-reload"
    assert lines["ReloadSignal"] == "SIGUSR1"
    assert lines["ExecStart"].endswith("posthouse run --config /etc/posthouse/Caddyfile")
    assert float(lines["TimeoutStopSec"]) > 30 + 10
    assert lines["KillMode"] == "mixed"
    assert lines["NoNewPrivileges"] == "yes"
