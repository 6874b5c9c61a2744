"""PasswordChecks: slow password hashes are computed in threads of their own, a bounded number at a time.

Laws:
1. The event loop never computes one. bcrypt lets go of Python's lock while it works, so two threads are two cores.
2. So many wait at most, and so many of one client, so that a client that guesses keeps nobody else out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

THREADS: Final = 2
"""More would take the cores from serving; with bcrypt's usual cost two check some 30 passwords a second."""
WAITING: Final = 64
"""Waiting or being checked: at the usual cost the last of them waits two seconds."""
WAITING_OF_ONE: Final = 16
"""The same of one client's address: more than a browser opens connections."""


class PasswordChecks:
    """Belongs to a worker. Threads begin with the first check."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._threads: ThreadPoolExecutor | None = None
        self._waiting: dict[str, int] = {}
        self._count = 0

    def __repr__(self) -> str:
        return f"<PasswordChecks waiting={self._count} clients={len(self._waiting)}>"

    def submit(self, client: str, check: Callable[[], bool], done: Callable[[bool], None], /) -> bool:
        """Run `check` in a thread, then `done` with its result in the event loop. False: too many wait.

        A check that raises is a bug: `done` gets False, and the loop's handler gets the exception.
        """
        of_client = self._waiting.get(client, 0)
        if self._count >= WAITING or of_client >= WAITING_OF_ONE:
            return False
        self._count += 1
        self._waiting[client] = of_client + 1
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, "password")
        future = self._loop.run_in_executor(self._threads, check)
        future.add_done_callback(lambda future: self._done(client, future, done))
        return True

    def _done(self, client: str, future: asyncio.Future[bool], done: Callable[[bool], None]) -> None:
        self._count -= 1
        self._waiting[client] -= 1
        if not self._waiting[client]:
            del self._waiting[client]
        if future.cancelled():
            done(False)
            return
        error = future.exception()
        done(error is None and future.result())
        if error is not None:
            raise error

    def close(self) -> None:
        """The end: what has not begun is dropped."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
