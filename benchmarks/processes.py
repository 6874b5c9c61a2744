"""Programs under measurement: started on one core, CPU and memory read from /proc, ended by pid."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class NotReady(Exception):
    """A program ended, or did not listen in time; the text holds the end of what it printed."""


def module(name: str, *words: object) -> list[str]:
    """The command line that runs a module of this package, wherever the process stands."""
    return ["env", f"PYTHONPATH={REPOSITORY}", sys.executable, "-m", f"benchmarks.{name}", *map(str, words)]


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def tree(pid: int) -> list[int]:
    """The process and all its living descendants."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = _stat(int(entry))
            if fields:
                parents.setdefault(int(fields[1]), []).append(int(entry))
    found = [pid]
    for member in found:
        found.extend(parents.get(member, []))
    return found


def _stat(pid: int) -> list[str]:
    """/proc/PID/stat from field 3 (state) on: the name before it may hold blanks and parentheses."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def cpu_seconds(pids: Sequence[int]) -> tuple[float, float]:
    """User and system CPU seconds that the processes have used so far."""
    user = system = 0
    for pid in pids:
        fields = _stat(pid)
        if fields:
            user += int(fields[11])
            system += int(fields[12])
    return user / TICKS_PER_SECOND, system / TICKS_PER_SECOND


def pss_bytes(pids: Sequence[int]) -> int:
    """Proportional set size: private pages plus each process's share of the shared ones."""
    return _rolled_up(pids, ("Pss:",))


def own_bytes(pids: Sequence[int]) -> int:
    """What of that set is no file's: heaps, stacks, buffers. Pages of libraries count for less, or more, when another
    process maps them, or ends."""
    return _rolled_up(pids, ("Pss_Anon:", "Pss_Shmem:"))


def _rolled_up(pids: Sequence[int], names: tuple[str, ...]) -> int:
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(names))
    return total


def open_files(pids: Sequence[int]) -> int:
    """How many descriptors the processes hold."""
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)


def ask(port: int, path: str) -> None:
    """GET the path on the loopback port; OSError unless the answer is 200."""
    with socket.create_connection(("127.0.0.1", port), 5.0) as opened:
        opened.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        head = b""
        while b"\r\n" not in head:
            got = opened.recv(4096)
            if not got:
                raise ConnectionError(f"closed after {head!r}")
            head += got
        if not head.startswith(b"HTTP/1.1 200 "):
            raise ConnectionError(f"answered {head[:60]!r}")


class Program:
    """A program in the foreground, with its output in a file."""

    def __init__(self, name: str, argv: Sequence[str], folder: Path, core: int | None) -> None:
        """Start it. core: the CPU it may run on, None = any."""
        self.name = name
        self.output = folder / f"{name}.out"
        pinned = [*(["taskset", "-c", str(core)] if core is not None else []), *argv]
        with self.output.open("wb") as out:
            self._process = subprocess.Popen(
                pinned, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=folder
            )
        self.pid = self._process.pid

    def __repr__(self) -> str:
        return f"<Program {self.name} pid={self.pid} returncode={self._process.poll()}>"

    def wait_ready(self, port: int, seconds: float = 10.0) -> None:
        """Return when it accepts on the loopback port; NotReady if it ends or takes longer."""
        self._wait(lambda: socket.create_connection(("127.0.0.1", port), 1.0).close(), seconds)

    def wait_answer(self, port: int, path: str, seconds: float = 20.0) -> None:
        """Return when it answers a GET on the loopback port with 200; NotReady if it ends or takes longer.

        A port that accepts is not enough: some listen before they know their backends.
        """
        self._wait(lambda: ask(port, path), seconds)

    def _wait(self, attempt: Callable[[], None], seconds: float) -> None:
        """Until the attempt raises no OSError any more."""
        deadline = time.monotonic() + seconds
        why = "nothing was tried"
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                attempt()
                return
            except OSError as error:
                why = str(error)
                time.sleep(0.02)
        self.stop()
        raise NotReady(f"{self.name} did not start: {why}\n{self.tail()}")

    def has_ended(self) -> bool:
        """Whether it is over."""
        return self._process.poll() is not None

    def tail(self) -> str:
        """The end of what it printed."""
        return self.output.read_text(errors="replace")[-2000:]

    def pids(self) -> list[int]:
        """Its process tree now."""
        return tree(self.pid)

    def stop(self) -> int:
        """TERM, then KILL after ten seconds; its exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        status: int = self._process.returncode
        return status
