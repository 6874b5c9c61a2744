"""Child: a worker as the supervisor sees it, a process with a channel."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from posthouse.errors import StartError
from posthouse.server.channel import Channel
from posthouse.server.control import FROM_WORKERS, Welcome

MODULE = "posthouse.commands.worker"
_PACKAGE_FOLDER = str(Path(__file__).resolve().parents[2])
_NOT_FOR_WORKERS = (
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
)

Answer = TypeVar("Answer")


class Gone(Exception):
    """The worker ended before it answered."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom workers run as."""

    uid: int
    gid: int
    groups: tuple[int, ...]


class Child:
    """A worker process, from its start to its end.

    on_message  told of what it says without having been asked
    on_word     told of any word: it lives
    in_flight   exchanges that ran there when it last told
    is_serving  whether it serves a configuration
    ended       done when it is gone and waited for; its exit code
    trouble     why the channel broke, if not because it ended
    other       the version that it is of, if that is not ours
    """

    def __init__(
        self,
        slot: int,
        process: Process,
        connection: socket.socket,
        on_message: Callable[[Child, object], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        self.slot = slot
        self.pid = process.pid
        self.in_flight = 0
        self.is_serving = False
        self.trouble = ""
        self.other = ""
        self._process = process
        self._on_message = on_message
        self._asked: list[tuple[tuple[type, ...], asyncio.Future[Any]]] = []
        self.channel = Channel(connection, loop, self._hear, self._on_end)
        self.channel.read_only(FROM_WORKERS)
        self.ended: asyncio.Task[int] = loop.create_task(self._wait())

    def __repr__(self) -> str:
        state = "serving" if self.is_serving else "ended" if self.ended.done() else "starting"
        return f"<Child slot={self.slot} pid={self.pid} {state} in_flight={self.in_flight}>"

    def send(self, message: object, descriptors: Sequence[int] = ()) -> None:
        """Say something; to one that is gone: nothing."""
        self.channel.send(message, descriptors)

    def send_all(self, messages: Sequence[object]) -> None:
        """Say several things."""
        for message in messages:
            self.send(message)

    async def ask(self, message: object, *answers: type[Answer]) -> Answer:
        """Say something and wait for an answer of one of these types. Raises Gone."""
        waiting = self.expect(*answers)
        self.send(message)
        return await waiting

    def expect(self, *answers: type[Answer]) -> asyncio.Future[Answer]:
        """The next message of one of these types. Raises Gone when awaited and the worker ends before."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if self.ended.done():
            future.set_exception(Gone())
        else:
            self._asked.append((answers, future))
        return future

    async def end(self) -> int:
        """Wait for its end; its exit code."""
        return await asyncio.shield(self.ended)

    def kill(self) -> None:
        """Whatever it does."""
        if self.ended.done():
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Let go of it: a worker whose channel ends drains and ends by itself."""
        self.channel.close()

    def _hear(self, message: object, descriptors: list[int]) -> None:
        for one in descriptors:  # a worker has none to give
            os.close(one)
        self._on_message(self, message)
        for asked in self._asked:
            answers, future = asked
            if isinstance(message, answers):
                self._asked.remove(asked)
                if not future.done():
                    future.set_result(message)
                break

    def _on_end(self, why: str) -> None:
        """It closed its end: it is about to be gone, or can't be talked to, which is as good."""
        if why:
            self.trouble, self.other = why, self.channel.other
            self.kill()
        self._forsake()

    def _forsake(self) -> None:
        self.is_serving = False
        asked, self._asked = self._asked, []
        for _, future in asked:
            if not future.done():
                future.set_exception(Gone())
                future.exception()  # whoever does not look does not care

    async def _wait(self) -> int:
        code = await self._process.wait()
        self.channel.close()
        self._forsake()
        return code


class Process(Protocol):
    """What is asked of `asyncio.subprocess.Process`."""

    @property
    def pid(self) -> int: ...
    def send_signal(self, number: int, /) -> None: ...
    async def wait(self) -> int: ...


class _Started:
    """One that asyncio has started. Its own `send_signal` looks first whether the process has ended, and that takes the
    exit code away from who waits for it (255, and a line on stderr)."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.pid = process.pid
        self.wait = process.wait

    def send_signal(self, number: int, /) -> None:
        os.kill(self.pid, number)


class Launch:
    """How workers are started: by exec of this interpreter, never by forking a process that has a loop and threads.

    identity  whom they run as; None: as we do
    """

    def __init__(self, env: Mapping[str, str], identity: Identity | None = None) -> None:
        self._env = {name: value for name, value in env.items() if name not in _NOT_FOR_WORKERS}
        # -P keeps the working directory from being imported from; what we were imported from must still be found.
        paths = [self._env.get("PYTHONPATH", ""), _PACKAGE_FOLDER]
        self._env["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        self._rights: dict[str, Any] = {}
        if identity is not None:
            self._rights = {"user": identity.uid, "group": identity.gid, "extra_groups": identity.groups}

    async def start(self, welcome: Welcome, on_message: Callable[[Child, object], None]) -> Child:
        """A worker that has been told who it is. Raises StartError."""
        ours, theirs = socket.socketpair()
        inherited = [theirs.fileno(), *(one for one in (welcome.descriptor,) if one >= 0)]
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", MODULE, str(theirs.fileno())),
                stdin=DEVNULL,
                pass_fds=inherited,
                env=self._env,
                **self._rights,
            )
        except OSError as error:
            ours.close()
            raise StartError(f"cannot start a worker: {error.strerror}: {sys.executable}") from None
        finally:
            theirs.close()
        child = Child(welcome.slot, _Started(process), ours, on_message)
        child.send(welcome)
        return child


async def ask_all(
    children: Iterable[Child], message: object, answer: type[Answer], patience: float
) -> list[tuple[Child, Answer]]:
    """Ask all of these at once; what those answer that do so in time. patience: seconds."""
    asked = [(child, asyncio.ensure_future(child.ask(message, answer))) for child in children]
    if asked:
        await asyncio.wait([future for _, future in asked], timeout=patience)
    answers = []
    for child, future in asked:
        if not future.done():
            future.cancel()
        elif future.exception() is None:
            answers.append((child, future.result()))
    return answers
