"""PasswordChecks: slow password hashes are computed in threads of their own, a bounded number at a time.

Laws:
1. The event loop never computes one. bcrypt lets go of Python's lock while it works, so two threads are two cores.
2. So many wait at most, and so many of one client, so that a client that guesses keeps nobody else out.
3. Whoever has left keeps no place: what nobody waits for any more is dropped when its turn comes, or when the place
   is needed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

THREADS: Final = 2
"""More would take the cores from serving; with bcrypt's usual cost two check some 30 passwords a second."""
WAITING: Final = 64
"""Waiting or being checked: at the usual cost the last of them waits two seconds."""
WAITING_OF_ONE: Final = 16
"""The same of one client's address: more than a browser opens connections."""


class _Check:
    """One that waits or is being done."""

    __slots__ = ("check", "client", "done", "is_wanted")

    def __init__(
        self,
        client: str,
        check: Callable[[], bool],
        done: Callable[[bool], None],
        is_wanted: Callable[[], bool],
    ) -> None:
        self.client = client
        self.check = check
        self.done = done
        self.is_wanted = is_wanted


class PasswordChecks:
    """Belongs to a worker. Threads begin with the first check."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._threads: ThreadPoolExecutor | None = None
        self._waiting: deque[_Check] = deque()
        self._running = 0
        self._of_clients: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<PasswordChecks waiting={self._count} clients={len(self._of_clients)}>"

    @property
    def _count(self) -> int:
        return len(self._waiting) + self._running

    def submit(
        self,
        client: str,
        check: Callable[[], bool],
        done: Callable[[bool], None],
        is_wanted: Callable[[], bool],
        /,
    ) -> bool:
        """Run `check` in a thread, then `done` with its result in the event loop. False: too many wait.

        A check that `is_wanted` no more, asked in the event loop before it begins, is not run: `done` gets False.
        A check that raises is a bug: `done` gets False, and the loop's handler gets the exception.
        """
        if self._is_full(client):
            self._drop_unwanted()
            if self._is_full(client):
                return False
        self._of_clients[client] = self._of_clients.get(client, 0) + 1
        self._waiting.append(_Check(client, check, done, is_wanted))
        self._begin()
        return True

    def _is_full(self, client: str) -> bool:
        return self._count >= WAITING or self._of_clients.get(client, 0) >= WAITING_OF_ONE

    def _drop_unwanted(self) -> None:
        before, self._waiting = self._waiting, deque()
        for one in before:
            if one.is_wanted():
                self._waiting.append(one)
            else:
                self._end(one, False)

    def _begin(self) -> None:
        """Let as many run as there are threads."""
        while self._waiting and self._running < THREADS:
            one = self._waiting.popleft()
            if not one.is_wanted():
                self._end(one, False)
                continue
            if self._threads is None:
                self._threads = ThreadPoolExecutor(THREADS, "password")
            self._running += 1
            future = self._loop.run_in_executor(self._threads, one.check)
            future.add_done_callback(partial(self._done, one))

    def _done(self, one: _Check, future: asyncio.Future[bool]) -> None:
        self._running -= 1
        error = None if future.cancelled() else future.exception()
        self._end(one, not future.cancelled() and error is None and future.result())
        self._begin()
        if error is not None:
            raise error

    def _end(self, one: _Check, is_right: bool) -> None:
        self._of_clients[one.client] -= 1
        if not self._of_clients[one.client]:
            del self._of_clients[one.client]
        one.done(is_right)

    def close(self) -> None:
        """The end: what has not begun is dropped."""
        while self._waiting:
            self._loop.call_soon(self._end, self._waiting.popleft(), False)
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
