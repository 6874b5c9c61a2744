"""Systemd, played by a test."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Final

_CREDENTIALS: Final = struct.Struct("3i")


class Systemd:
    """What systemd is to a service: a socket that is told, and sockets that it opened.

    main  whom it takes for the main process: only that one is believed (NotifyAccess=main), and it names the next one
    """

    def __init__(self, folder: Path) -> None:
        self.main = 0
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.bind(str(folder / "notify"))
        self.notified.settimeout(60)
        self.notified.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.env = {**os.environ, "NOTIFY_SOCKET": str(folder / "notify"), "XDG_RUNTIME_DIR": str(folder)}

    def heard(self, what: str) -> str:
        """The next message that begins so; others are passed over."""
        while True:
            data, ((_, _, credentials),), _, _ = self.notified.recvmsg(
                4096, socket.CMSG_SPACE(_CREDENTIALS.size)
            )
            sender, _, _ = _CREDENTIALS.unpack(credentials)
            if sender != self.main:
                continue
            message = data.decode()
            for line in message.splitlines():
                if line.startswith("MAINPID="):
                    self.main = int(line.removeprefix("MAINPID="))
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
        process = subprocess.Popen(
            command, cwd=folder, env={**self.env, **env}, pass_fds=fds_kept, stderr=subprocess.PIPE
        )
        self.main = process.pid
        return process
