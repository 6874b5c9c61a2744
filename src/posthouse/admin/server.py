"""AdminServer: listens on the admin socket, or where `--admin-listen` says, in the event loop of the supervisor.

But for a reload, a request is answered within a turn of the loop; a peer that is slow to ask or to take its answer is
cut.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection, Sequence
from typing import Final, Protocol

from posthouse.admin import api
from posthouse.errors import StartError
from posthouse.protocol.h1 import Codec

REQUEST_SECONDS: Final = 5.0
"""For sending a request, and again for taking its answer. Making it may take longer: upgrades and reloads do."""
MOST_AT_ONCE: Final = 16
"""Connections of one server. For one more, who has kept us waiting for longest is cut; while all are waiting for us,
the new one is. Whoever asks, asks for one thing at a time."""


class Log(Protocol):
    """The process log."""

    def warn(self, what: str, *, reason: str) -> None: ...


class Place(Protocol):
    """Where it listens: a `SocketFile` or a `TCPPlace`."""

    @property
    def is_wanted(self) -> bool:
        """The user has named it: without it there is no start. Else it is worth a warning."""

    @property
    def paths(self) -> Collection[str]:
        """What can be asked there."""

    def claim(self) -> socket.socket:
        """A socket that listens there. Raises StartError."""

    @property
    def listening(self) -> tuple[tuple[str, int], socket.socket] | None:
        """Address and socket, where another process could go on with it; None: it has to claim its own."""

    def give_up(self) -> None:
        """Let another process have it. Idempotent; to have it again is to `claim` it."""

    def remove(self) -> None:
        """Leave nothing behind. Idempotent."""


class AdminServer:
    """Answers at one place, from `claim` to `close`."""

    def __init__(self, place: Place, functions: api.Functions, log: Log) -> None:
        self._place = place
        self._functions = functions
        self._log = log
        self._codec = Codec()
        self._socket: socket.socket | None = None
        self._server: asyncio.AbstractServer | None = None
        self._open = 0
        self._awaited: dict[
            asyncio.StreamWriter, None
        ] = {}  # those whose turn it is to send or take, oldest first

    def __repr__(self) -> str:
        return f"<AdminServer {self._place!r} open={self._open}>"

    def claim(self) -> None:
        """Make the socket; questions wait until `serve`. Raises StartError if it `is_wanted` and can't be had."""
        try:
            self._socket = self._place.claim()
        except StartError as error:
            if self._place.is_wanted:
                raise
            self._log.warn("no admin socket", reason=str(error))

    async def serve(self) -> None:
        """Answer from now on."""
        if self._socket is not None:
            is_unix = self._socket.family == socket.AF_UNIX
            start = asyncio.start_unix_server if is_unix else asyncio.start_server
            self._server = await start(self._answer_one, sock=self._socket, limit=api.HEAD_BYTES)

    @property
    def listening(self) -> tuple[tuple[str, int], socket.socket] | None:
        """See `Place`."""
        return self._place.listening

    def give_up(self) -> None:
        """Answer nobody new, so that another process can: who was heard is answered. Idempotent."""
        self._stop()
        self._place.give_up()

    def close(self) -> None:
        """Stop listening and remove the file. Idempotent."""
        self._stop()
        self._place.remove()

    def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= MOST_AT_ONCE:
            longest = next(iter(self._awaited), writer)
            longest.transport.abort()
            if longest is writer:
                return
            del self._awaited[longest]
        self._open += 1
        try:
            answer = await self._answer(reader, writer)
            self._awaited[writer] = None
            async with asyncio.timeout(REQUEST_SECONDS):
                writer.write(answer)
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # Nobody awaits this task: that the end of the worker cancels it is no news for anyone.
            writer.transport.abort()
        finally:
            self._awaited.pop(writer, None)
            self._open -= 1

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        self._awaited[writer] = None
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return api.refusal(431, f"head over {api.HEAD_BYTES} bytes")
        self._awaited.pop(writer, None)
        return await api.answer(head, self._functions, self._codec, self._place.paths)


class AdminServers:
    """Several of them, as one."""

    def __init__(self, servers: Sequence[AdminServer]) -> None:
        self._servers = servers

    def __repr__(self) -> str:
        return f"<AdminServers {list(self._servers)!r}>"

    def claim(self) -> None:
        """See `AdminServer`. If one cannot be had, the others are the caller's to close."""
        for server in self._servers:
            server.claim()

    async def serve(self) -> None:
        """Answer from now on."""
        for server in self._servers:
            await server.serve()

    def listening(self) -> dict[tuple[str, int], socket.socket]:
        """The TCP sockets, by address."""
        return dict(one for server in self._servers if (one := server.listening) is not None)

    def give_up(self) -> None:
        """See `AdminServer`."""
        for server in self._servers:
            server.give_up()

    def close(self) -> None:
        """Stop listening everywhere. Idempotent."""
        for server in self._servers:
            server.close()
