"""A backend in a process of its own: `python -m benchmarks.faults.backend PORT FILE`.

Each request that it executes becomes a line `METHOD ID` of FILE before the answer begins. The file is opened with
O_APPEND and shared by all backends, so what was executed outlives kill -9. A line on standard input is a Mode and
acts at once; each is answered by "ok" on standard output, as is the start. TERM: it listens no more, finishes what
it has begun, and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
import sys
from enum import Enum

from benchmarks.faults.wire import (
    PARTS_OF_STREAM,
    PAUSE_IN_STREAM,
    Kind,
    body_of,
    body_parts,
    read_head,
    read_target,
)

WORK_SECONDS = 0.002
"""How long a request takes: long enough that a fault meets some."""
SLOW_SECONDS = 1.5
HEALTH = "/health"


class Mode(Enum):
    """How it behaves, towards health checks too."""

    WELL = "well"
    REFUSING = "refusing"
    RESETTING_HEAD = "resetting-head"
    RESETTING_BODY = "resetting-body"
    SILENT = "silent"
    SLOW = "slow"
    ERRORS = "errors"


class Backend:
    """Listens on the port until stopped."""

    def __init__(self, port: int, record: int) -> None:
        self.mode = Mode.WELL
        self._port = port
        self._record = record
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self._busy: set[asyncio.StreamWriter] = set()
        self._is_stopping = False

    async def listen(self) -> None:
        """Accept connections."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port, backlog=512)

    def set_mode(self, mode: Mode) -> None:
        """Behave so from now on. Refusing also resets what is connected, as a machine does that was restarted."""
        if mode is Mode.REFUSING:
            self._listen_no_more()
            for writer in list(self._connections):
                reset(writer)
        self.mode = mode

    def is_listening(self) -> bool:
        """Whether it accepts connections."""
        return self._server is not None

    def drop_idle(self) -> None:
        """Close connections that wait for a request."""
        for writer in self._connections - self._busy:
            writer.close()

    async def finish(self) -> None:
        """Listen no more, finish what has begun."""
        self._is_stopping = True
        self._listen_no_more()
        self.drop_idle()
        # A second at most: a request that hangs for ever is not waited for.
        for _ in range(100):
            if not self._connections:
                break
            await asyncio.sleep(0.01)

    def _listen_no_more(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            while await self._serve_one(reader, writer) and not self._is_stopping:
                self._busy.discard(writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the proxy left
        finally:
            self._busy.discard(writer)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self._connections.discard(writer)

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer a request; whether the connection goes on."""
        first, fields = await read_head(reader)
        self._busy.add(writer)
        method, path, _ = first.split(" ")
        if method == "POST":
            async for _ in body_parts(fields, reader):
                pass
        if self.mode is Mode.SILENT:
            await reader.read()
            return False
        asked = read_target(path)
        if asked is not None:
            os.write(self._record, f"{method} {asked[1]}\n".encode())
            await asyncio.sleep(WORK_SECONDS)
        kind, identity, size = asked or (Kind.GET, "health", 16)
        return await self._answer(writer, kind, body_of(identity, size))

    async def _answer(self, writer: asyncio.StreamWriter, kind: Kind, body: bytes) -> bool:
        mode = self.mode
        if mode is Mode.ERRORS:
            writer.write(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 6\r\n\r\nbroken")
            return True
        if mode is Mode.RESETTING_HEAD:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
        elif mode is Mode.RESETTING_BODY:
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body[: len(body) // 2]
            )
        if mode in (Mode.RESETTING_HEAD, Mode.RESETTING_BODY):
            # Time for the proxy to read it: a reset takes unread bytes with it.
            await asyncio.sleep(WORK_SECONDS)
            reset(writer)
            return False
        if mode is Mode.SLOW:
            await asyncio.sleep(SLOW_SECONDS)
        if kind is Kind.STREAM:
            await _stream(writer, body)
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        return True


async def _stream(writer: asyncio.StreamWriter, body: bytes) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    each = -(-len(body) // PARTS_OF_STREAM)
    for start in range(0, len(body), each):
        part = body[start : start + each]
        writer.write(b"%x\r\n%b\r\n" % (len(part), part))
        await writer.drain()
        await asyncio.sleep(PAUSE_IN_STREAM)
    writer.write(b"0\r\n\r\n")


def reset(writer: asyncio.StreamWriter) -> None:
    """End the connection with RST: abort alone sends FIN."""
    opened = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def serve(port: int, path: str) -> None:
    """Until TERM, or until standard input ends: then the matrix itself is gone."""
    loop = asyncio.get_running_loop()
    record = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    backend = Backend(port, record)
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    loop.add_signal_handler(signal.SIGTERM, orders.feed_eof)
    await backend.listen()
    print("ok", flush=True)
    while order := (await orders.readline()).decode().strip():
        if order == "drop-idle":
            backend.drop_idle()
        else:
            backend.set_mode(Mode(order))
            if backend.mode is not Mode.REFUSING and not backend.is_listening():
                await backend.listen()
        print("ok", flush=True)
    await backend.finish()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
