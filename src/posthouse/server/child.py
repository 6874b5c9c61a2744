"""Child: a worker as the supervisor sees it, a process with a channel."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from posthouse.errors import StartError
from posthouse.server.channel import Channel
from posthouse.server.control import FROM_WORKERS, Welcome
from posthouse.server.recruits import Recruit, Recruits, enlist, environment

Answer = TypeVar("Answer")


class Gone(Exception):
    """The worker ended before it answered."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom workers run as."""

    uid: int
    gid: int
    groups: tuple[int, ...]


class Piece(Protocol):
    """A message that is the answer to a question only together with those before it."""

    @property
    def is_last(self) -> bool: ...


PieceT = TypeVar("PieceT", bound=Piece)


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """A question. pieces: those of its answer that have come; None: it is one message."""

    answers: tuple[type, ...]
    future: asyncio.Future[Any]
    pieces: list[Any] | None

    def is_answered_by(self, message: Any) -> bool:
        """Whether nothing more is to come."""
        if self.pieces is not None:
            self.pieces.append(message)
            if not message.is_last:
                return False
        if not self.future.done():
            self.future.set_result(message if self.pieces is None else self.pieces)
        return True


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
        process: Recruit,
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
        self._asked: list[_Asked] = []
        self.channel = Channel(connection, loop, self._hear, self._on_end)
        self.channel.read_only(FROM_WORKERS)
        self.ended: asyncio.Task[int] = loop.create_task(self._wait())

    def __repr__(self) -> str:
        state = "serving" if self.is_serving else "ended" if self.ended.done() else "starting"
        return f"<Child slot={self.slot} pid={self.pid} {state} in_flight={self.in_flight}>"

    @property
    def is_reading(self) -> bool:
        """Whether nothing that was said waits for it to read."""
        return not self.channel.is_full

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
        return self._wait_for(answers, None)

    async def ask_pieces(self, message: object, answer: type[PieceT]) -> list[PieceT]:
        """Say something and wait for an answer that comes in pieces, all of them. Raises Gone."""
        waiting = self._wait_for((answer,), [])
        self.send(message)
        pieces: list[PieceT] = await waiting
        return pieces

    def _wait_for(self, answers: tuple[type, ...], pieces: list[Any] | None) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.ended.done():
            future.set_exception(Gone())
        else:
            self._asked.append(_Asked(answers, future, pieces))
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
            if isinstance(message, asked.answers):
                if asked.is_answered_by(message):
                    self._asked.remove(asked)
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
        for one in asked:
            if not one.future.done():
                one.future.set_exception(Gone())
                one.future.exception()  # whoever does not look does not care

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


class Launch:
    """How workers are started.

    identity  whom they run as; None: as we do
    recruits  processes that were started for it already
    """

    def __init__(
        self, env: Mapping[str, str], identity: Identity | None = None, recruits: Recruits | None = None
    ) -> None:
        self._env = environment(env)
        self._recruits = recruits
        self._rights: dict[str, Any] = {}
        if identity is not None:
            self._rights = {"user": identity.uid, "group": identity.gid, "extra_groups": identity.groups}

    async def start(self, welcome: Welcome, on_message: Callable[[Child, object], None]) -> Child:
        """A worker that has been told who it is. Raises StartError."""
        recruit = self._recruits.take() if self._recruits is not None else None
        if recruit is None:
            inherited = [one for one in (welcome.descriptor,) if one >= 0]
            try:
                recruit = enlist(self._env, inherited, **self._rights)
            except OSError as error:
                raise StartError(f"cannot start a worker: {error.strerror}: {sys.executable}") from None
        child = Child(welcome.slot, recruit, recruit.connection, on_message)
        child.send(welcome)
        return child


async def ask_all(
    children: Iterable[Child], message: object, answer: type[PieceT], patience: float
) -> list[tuple[Child, list[PieceT]]]:
    """Ask all of these at once; the pieces that those answer who do so in time. patience: seconds."""
    asked = [(child, asyncio.ensure_future(child.ask_pieces(message, answer))) for child in children]
    if asked:
        await asyncio.wait([future for _, future in asked], timeout=patience)
    answers = []
    for child, future in asked:
        if not future.done():
            future.cancel()
        elif future.exception() is None:
            answers.append((child, future.result()))
    return answers
