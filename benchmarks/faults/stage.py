"""Backends of the fault matrix, from its side: processes that are started, ordered about, stopped and killed by pid."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.faults.backend import Mode
from benchmarks.processes import REPOSITORY

ANSWERS_WITHIN = 20.0


def lasting_port() -> int:
    """A free loopback port below those that outgoing connections take: free as well when a backend is down a while."""
    while True:
        port = random.randrange(12_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class BackendProcess:
    """One backend. It may be started again after its end, on the same port."""

    def __init__(self, record: Path, host: str = "127.0.0.1") -> None:
        self.port = lasting_port()
        self.address = f"{host}:{self.port}"
        self._record = record
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Return when it listens."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks.faults.backend",
            str(self.port),
            str(self._record),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=REPOSITORY,
        )
        await self._wait_ok()

    async def order(self, mode: Mode | str) -> None:
        """Return when it has begun to behave so."""
        process = self._running()
        assert process.stdin is not None
        process.stdin.write(f"{mode.value if isinstance(mode, Mode) else mode}\n".encode())
        await self._wait_ok()

    def send(self, number: int) -> None:
        """STOP, CONT."""
        os.kill(self._running().pid, number)

    async def end(self, number: int = signal.SIGKILL) -> None:
        """End it with the signal, and wait for its end."""
        if self._process is not None and self._process.returncode is None:
            self.send(signal.SIGCONT)
            self.send(number)
            await self._process.wait()

    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    async def _wait_ok(self) -> None:
        process = self._running()
        assert process.stdout is not None
        async with asyncio.timeout(ANSWERS_WITHIN):
            answer = await process.stdout.readline()
        if answer != b"ok\n":
            raise RuntimeError(f"a backend on port {self.port} answered {answer!r}")


class Stage:
    """Backends with one record of what they execute, and what a fault may change besides: the file of names."""

    def __init__(self, folder: Path, count: int, name: str | None = None) -> None:
        """name: all are known by it; None: by their address."""
        self.record = folder / "executed"
        self.hosts = folder / "hosts"
        self.backends = [BackendProcess(self.record, name or "127.0.0.1") for _ in range(count)]
        if name:
            self.hosts.write_text(f"127.0.0.1 localhost\n127.0.0.1 {name}\n")

    async def start(self) -> None:
        """All of them."""
        await asyncio.gather(*(one.start() for one in self.backends))

    async def stop(self) -> None:
        """Whatever they are doing."""
        await asyncio.gather(*(one.end() for one in self.backends))

    def executed(self) -> Sequence[str]:
        """The record's lines."""
        return self.record.read_text().splitlines() if self.record.exists() else []
