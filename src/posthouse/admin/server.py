"""AdminServer: listens on the admin socket, in the event loop of the supervisor, which has no other requests.

A request is answered within a turn of the loop; a peer that is slow to ask or to take its answer is cut.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final, Protocol

from posthouse.admin import api
from posthouse.admin.socket_file import SocketFile
from posthouse.errors import StartError
from posthouse.protocol.h1 import Codec

REQUEST_SECONDS: Final = 5.0
"""For sending a request, and again for taking its answer. Making it may take longer: upgrades do."""
MOST_AT_ONCE: Final = 16
"""Connections; one more is cut. Only our own user can connect, and asks for one thing at a time."""


class Log(Protocol):
    """The process log."""

    def warn(self, what: str, *, reason: str) -> None: ...


class AdminServer:
    """One admin socket, from `claim` to `close`.

    is_wanted  the user has named it: without it there is no start. Else it is worth a warning
    """

    def __init__(self, path: str, functions: api.Functions, log: Log, *, is_wanted: bool) -> None:
        self._file = SocketFile(path, is_default=not is_wanted)
        self._functions = functions
        self._log = log
        self._is_wanted = is_wanted
        self._codec = Codec()
        self._socket: socket.socket | None = None
        self._server: asyncio.AbstractServer | None = None
        self._open = 0

    def __repr__(self) -> str:
        return f"<AdminServer {self._file!r} open={self._open}>"

    def claim(self) -> None:
        """Make the socket; questions wait until `serve`. Raises StartError if it `is_wanted` and can't be had."""
        try:
            self._socket = self._file.claim()
        except StartError as error:
            if self._is_wanted:
                raise
            self._log.warn("no admin socket", reason=str(error))

    async def serve(self) -> None:
        """Answer from now on."""
        if self._socket is not None:
            self._server = await asyncio.start_unix_server(
                self._answer_one, sock=self._socket, limit=api.HEAD_BYTES
            )

    def close(self) -> None:
        """Stop listening and remove the file. Idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._file.remove()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= MOST_AT_ONCE:
            writer.transport.abort()
            return
        self._open += 1
        try:
            answer = await self._answer(reader)
            async with asyncio.timeout(REQUEST_SECONDS):
                writer.write(answer)
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # Nobody awaits this task: that the end of the worker cancels it is no news for anyone.
            writer.transport.abort()
        finally:
            self._open -= 1

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return api.refusal(431, f"head over {api.HEAD_BYTES} bytes")
        return await api.answer(head, self._functions, self._codec)
