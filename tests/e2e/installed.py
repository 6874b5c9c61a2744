"""An environment with one version of Posthouse in it, then another; and clients that notice everything."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import posthouse
from kit import BadMessage, Posthouse, RawClient, ScriptedBackend, Truncated, get, request, workers_of

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
    r"INFO started pid=(\d+) workers=(\d+) sites=\d+ generation=1 predecessor=(\d+)$", re.MULTILINE
)
PAUSE_SECONDS = 0.003
"""Between two requests of a client: what is to start needs some of the processor as well."""
HANGS = "import os, time\nwhile os.path.exists({!r}):\n    time.sleep(0.01)\n"


def until(is_so: Callable[[], object], timeout: float = 60.0) -> None:
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


def install(folder: Path) -> None:
    """Two versions in this folder, of which 1.0 is `current`."""
    for version in ("1.0", "2.0"):
        shutil.copytree(SOURCE, folder / version / "posthouse", ignore=shutil.ignore_patterns("__pycache__"))
        mark(folder, version)
    switch(folder, "1.0")


def mark(folder: Path, version: str, mistake: str = "") -> None:
    """Give a copy its version, or something that is wrong with it."""
    (folder / version / "posthouse" / "__init__.py").write_text(f'__version__ = "{version}"\n{mistake}')


def switch(folder: Path, version: str) -> None:
    """From now on this one is installed."""
    fresh = folder / "fresh"
    fresh.symlink_to(version)
    fresh.replace(folder / "current")


class Installed:
    """An environment with Posthouse in it, whose version can be switched; and one Posthouse that runs from it.

    Its successors are no children of ours: they are found in its log, and ended by their ids.
    """

    def __init__(
        self, folder: Path, backend: ScriptedBackend, caddyfile: str = CADDYFILE, **options: object
    ) -> None:
        self.folder = folder
        install(folder)
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
        mark(self.folder, version, mistake)

    def switch(self, version: str) -> None:
        switch(self.folder, version)

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
        self.first.wait_stderr(pattern, 60)

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
        until(lambda: self.answered >= before + count)
