"""Recruits: processes that will be workers, and have not been told yet which.

Those of a start are enlisted first of all, so that they import what workers need while this process reads the
configuration and imports what a supervisor needs: most of a start is imports, and here two cores share them. Imports
little itself, for the same reason.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

MODULE = "posthouse.commands.worker"
PACKAGE_FOLDER = str(Path(__file__).resolve().parents[2])
_NOT_FOR_WORKERS = (
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "POSTHOUSE_HANDOVER",
)


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """That of workers, of a supervisor with this one."""
    theirs = {name: value for name, value in env.items() if name not in _NOT_FOR_WORKERS}
    # -P keeps the working directory from being imported from; what we were imported from must still be found.
    paths = [theirs.get("PYTHONPATH", ""), PACKAGE_FOLDER]
    theirs["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return theirs


class Recruit:
    """One process. connection: our end of its channel."""

    def __init__(self, process: subprocess.Popen[bytes], connection: socket.socket) -> None:
        self.pid = process.pid
        self.connection = connection
        self._process = process

    def __repr__(self) -> str:
        return f"<Recruit pid={self.pid}>"

    async def wait(self) -> int:
        """Wait for its end, in a thread; its exit code, or the number of the signal, negative."""
        import asyncio  # here: who waits has a loop, and who enlists has no time yet

        loop = asyncio.get_running_loop()
        ended: asyncio.Future[int] = loop.create_future()

        def settle(code: int) -> None:
            if not ended.done():
                ended.set_result(code)

        def watch() -> None:
            code = self._process.wait()
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(settle, code)

        threading.Thread(target=watch, name=f"worker {self.pid}", daemon=True).start()
        return await ended

    def send_signal(self, number: int) -> None:
        """Raises ProcessLookupError if it is gone."""
        self._process.send_signal(number)

    def dismiss(self) -> None:
        """It is not needed: nobody waits for what it does."""
        self.connection.close()
        self._process.kill()
        self._process.wait()


def enlist(env: Mapping[str, str], inherited: Sequence[int] = (), **rights: Any) -> Recruit:
    """Start one, by exec of this interpreter, never by forking a process that has a loop and threads.

    env        as `environment` makes it
    inherited  descriptors that it has as well, of the same number
    rights     for Popen: whom it runs as
    Raises OSError.
    """
    ours, theirs = socket.socketpair()
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", MODULE, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno(), *inherited],
            env=env,
            **rights,
        )
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    return Recruit(process, ours)


class Recruits:
    """Those of a start. At the end of its `with`, those that were not taken are dismissed."""

    def __init__(self) -> None:
        self._waiting: list[Recruit] = []

    def __repr__(self) -> str:
        return f"<Recruits {self._waiting}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.dismiss()

    def enlist(self, count: int, env: Mapping[str, str]) -> None:
        """Start so many. One that can't be is left out: who needs it tries again, and tells."""
        with contextlib.suppress(OSError):
            theirs = environment(env)
            for _ in range(count):
                self._waiting.append(enlist(theirs))

    def take(self) -> Recruit | None:
        """One that is to be a worker, the oldest; None if there is none left."""
        return self._waiting.pop(0) if self._waiting else None

    def dismiss(self) -> None:
        """Those that were not taken."""
        while self._waiting:
            self._waiting.pop().dismiss()
