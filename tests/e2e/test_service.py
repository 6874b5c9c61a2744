"""Posthouse as a service: the service manager's sockets and its notifications."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kit import ScriptedBackend, get, workers_of
from posthouse.cli import main

UNIT = Path(__file__).parents[2] / "contrib" / "posthouse.service"


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
    text = UNIT.read_text()
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    assert lines["Type"] == "notify"
    program, *words = lines["ExecReload"].split()
    assert program == lines["ExecStart"].split()[0]
    assert words == ["reload", *lines["ExecStart"].split()[2:]]
    assert main(["reload", "--help"]) == 0
    assert lines["ExecStart"].endswith("posthouse run --config /etc/posthouse/Caddyfile")
    assert float(lines["TimeoutStopSec"]) > 30 + 10
    assert lines["KillMode"] == "mixed"
    assert lines["NoNewPrivileges"] == "yes"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
def test_systemd_knows_every_line_of_the_unit_file(tmp_path: Path) -> None:
    """Also that of Debian 12 (252), which passes over what it does not know: no lines of later versions."""
    program = tmp_path / "posthouse"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "posthouse.service"
    unit.write_text(UNIT.read_text().replace("/usr/local/bin/posthouse", str(program)))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
