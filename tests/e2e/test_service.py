"""Posthouse as a service: the service manager's sockets and its notifications."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from e2e.systemd import Systemd
from kit import ScriptedBackend, get, workers_of
from posthouse.cli import main

UNIT = Path(__file__).parents[2] / "contrib" / "posthouse.service"


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
