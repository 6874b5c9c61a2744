"""Posthouse as a subprocess: started with a Caddyfile, ready when it says so, always stopped by its pid."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from kit.backend import PATIENCE

READY = re.compile(r"^ready: (.*) \(pid (\d+), workers (\d+)\)$", re.MULTILINE)
PLACEHOLDER = re.compile(r"\bPORT\d?\b")

LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""
"""A program that starts another one with a limit of descriptors."""


class RefusingPort:
    """A loopback port where a connection is refused until close(): bound, so that nobody else gets it, and not
    listening. A port that was only found free may be another test's a moment later.

    Who sets SO_REUSEADDR, as a server does, may listen there all the same.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number = int(self._socket.getsockname()[1])
        self.address = f"127.0.0.1:{self.number}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()


def free_port() -> int:
    """A loopback port that nobody listens on, below the range that outgoing connections use."""
    while True:
        port = random.randrange(12_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def workers_of(supervisor: int) -> list[int]:
    """The process ids of a supervisor's workers, the oldest first."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            if (
                parent == supervisor
                and b"posthouse.commands.worker" in (stat.parent / "cmdline").read_bytes()
            ):
                found.append(int(stat.parent.name))
    return sorted(found)


class Posthouse:
    """`python -m posthouse run --config FILE`, running.

    Upper-case keyword arguments replace the word of that name in the Caddyfile; PORT, PORT2 ... become free
    ports (the same word, the same port). `arguments` go to the command line, `env` to the environment; `words`
    take the place of `run --config FILE`, with the same words replaced in them. `descriptors`: how many it may have.
    `python`: the interpreter that runs it.
    One worker, if `workers` says nothing else (None: nothing is said), so that what a worker counts for itself is the
    whole truth.
    Raises AssertionError, with what was written to stderr, if the ready line does not come.

    addresses  those of the ready line; port: the first one's; names: the values that replaced words
    pid        the supervisor's; worker: the first worker's, that of the first slot as long as none was replaced
    """

    def __init__(
        self,
        caddyfile: str,
        *,
        words: tuple[str, ...] = ("run", "--config", "CONFIG"),
        arguments: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
        workers: int | None = 1,
        ready_within: float = 2 * PATIENCE,
        descriptors: int = 0,
        python: str = sys.executable,
        **names: str,
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="posthouse-test-"))
        self.names = dict(names)
        self.config = self.directory / "Caddyfile"
        self.config.write_text(self._filled_in(caddyfile))
        self.names.setdefault("CONFIG", str(self.config))
        count = () if workers is None else ("--workers", str(workers))
        command = [python, "-m", "posthouse", *map(self._filled_in, words), *count, *arguments]
        if descriptors:
            command = [sys.executable, "-c", LIMITED, str(descriptors), *command]
        self.process = subprocess.Popen(
            command,
            cwd=self.directory,
            # So that the admin socket is in the folder of this test.
            env={**os.environ, "XDG_RUNTIME_DIR": str(self.directory), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.pid = self.process.pid
        self._came = threading.Condition()
        self._stderr: list[str] = []
        self._stdout: list[str] = []
        self._readers = [self._collect(self.process.stderr, self._stderr)]
        self._readers.append(self._collect(self.process.stdout, self._stdout))
        try:
            ready = self.wait_stderr(READY, ready_within)
        except BaseException:
            self.stop()
            raise
        self.addresses = ready[1].split()
        self.port = int(self.addresses[0].rsplit(":", 1)[1].split("/")[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            print(f"--- stderr of pid {self.pid}\n{self.stderr()}")
        self.stop()

    def named_port(self, name: str = "PORT") -> int:
        """The port that the word was replaced with."""
        return int(self.names[name])

    def admin_socket(self) -> str:
        """Where its admin socket is by default."""
        (path,) = self.directory.glob("posthouse/*.sock")
        return str(path)

    def ask_admin(self, target: str) -> str:
        """What its admin socket answers to a GET."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(10)
            asking.connect(self.admin_socket())
            asking.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            answer = b"".join(iter(lambda: asking.recv(1 << 16), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), answer
        return body.decode()

    def metric(self, row: str) -> float:
        """The value of one row of its metrics, written as there: name, and labels if it has any."""
        found = re.search(f"^{re.escape(row)} (\\S+)$", self.ask_admin("/metrics"), re.MULTILINE)
        assert found, row
        return float(found[1])

    def stderr(self) -> str:
        """Everything written to stderr so far (the process log)."""
        return "".join(self._stderr)

    def stdout(self) -> str:
        """Everything written to stdout so far."""
        return "".join(self._stdout)

    def wait_stderr(self, pattern: str | re.Pattern[str], timeout: float = PATIENCE) -> re.Match[str]:
        """Wait until stderr holds a match; AssertionError after the timeout or when the process ends."""
        expression = re.compile(pattern, re.MULTILINE) if isinstance(pattern, str) else pattern
        found = self._wait(lambda: expression.search(self.stderr()), timeout)
        assert found, f"no {expression.pattern!r} in stderr of pid {self.pid}:\n{self.stderr()}"
        return found

    def access_log(self, name: str = "access.log") -> list[str]:
        """The lines of the log file of that name in the working directory so far."""
        path = self.directory / name
        return path.read_text("latin-1").split("\n")[:-1] if path.exists() else []

    def wait_access(self, count: int, name: str = "access.log", timeout: float = PATIENCE) -> list[str]:
        """Wait until that log has at least `count` lines (it is written in batches); returns all."""
        deadline = time.monotonic() + timeout
        while len(lines := self.access_log(name)) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(lines) >= count, f"{len(lines)} of {count} lines in the access log: {lines}"
        return lines

    def workers(self) -> list[int]:
        """The process ids of the workers that run now, the oldest first."""
        return workers_of(self.pid)

    @property
    def worker(self) -> int:
        """The process that serves, if there is one worker; else the oldest of them."""
        return self.workers()[0]

    def memory(self) -> int:
        """Resident bytes of the worker now."""
        status = Path(f"/proc/{self.worker}/status").read_text()
        found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
        return int(found[1]) * 1024 if found else 0

    def reload(self, caddyfile: str) -> None:
        """Write the new Caddyfile (the same words are replaced) and send USR1; does not wait."""
        self.config.write_text(self._filled_in(caddyfile))
        self.signal(signal.SIGUSR1)

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout: float = 10.0) -> int:
        """Wait for the process to end by itself; its exit code."""
        code = self.process.wait(timeout)
        for reader in self._readers:
            reader.join(5)
        return code

    def stop(self, timeout: float = 5.0) -> int:
        """End the process if it still runs (a second signal stops at once, then kill); its exit code.

        Its directory goes with it, also if the wait is interrupted.
        """
        try:
            return self._end(timeout)
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _end(self, timeout: float) -> int:
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
            self.signal_again(signal.SIGTERM, 0.3)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            workers = self.workers()
            self.process.kill()
            code = self.process.wait()
            for worker in workers:  # else they would go on writing to the directory
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
        for reader in self._readers:
            reader.join(5)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        return code

    def signal_again(self, number: int, after: float) -> None:
        """Send a further signal if the process still runs `after` seconds later."""
        try:
            self.process.wait(after)
        except subprocess.TimeoutExpired:
            self.signal(number)

    def _filled_in(self, caddyfile: str) -> str:
        for word in PLACEHOLDER.findall(caddyfile):
            self.names.setdefault(word, str(free_port()))
        for word, value in self.names.items():
            caddyfile = re.sub(rf"\b{word}\b", lambda _: value, caddyfile)  # noqa: B023
        return caddyfile

    def _collect(self, pipe: IO[bytes] | None, into: list[str]) -> threading.Thread:
        assert pipe is not None

        def read() -> None:
            for line in iter(pipe.readline, b""):
                with self._came:
                    into.append(line.decode("utf-8", "backslashreplace"))
                    self._came.notify_all()

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        return thread

    def _wait(self, look: Callable[[], re.Match[str] | None], timeout: float) -> re.Match[str] | None:
        deadline = time.monotonic() + timeout
        with self._came:
            while True:
                has_ended = self.process.poll() is not None
                found = look()
                left = deadline - time.monotonic()
                if found or left <= 0 or (has_ended and not self._readers_alive()):
                    return found
                self._came.wait(min(left, 0.1))

    def _readers_alive(self) -> bool:
        return any(reader.is_alive() for reader in getattr(self, "_readers", ()))
