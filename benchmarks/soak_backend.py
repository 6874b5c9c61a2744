"""The backend of the soak: good answers under /, bad ones under /broken; in the soak's own event loop."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass

# Shorter than any proxy's idle time: kept-alive connections die under the proxy's hands all the time.
IDLE_SECONDS = 1.0
BLOCK = bytes(range(256)) * 256


@dataclass(slots=True)
class Request:
    """The head of a request, as far as the answers need it."""

    method: str
    path: str
    fields: dict[str, str]


class Backend:
    """A backend on a free loopback port, from `start` until `close`; `connections` are open now."""

    def __init__(self) -> None:
        self.connections = 0
        self.port = 0

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Listen no more."""
        self._server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await _connection(reader, writer)
        finally:
            self.connections -= 1


async def _connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while request := await _head(reader):
            if not await _answer(request, reader, writer):
                break
    except (OSError, asyncio.IncompleteReadError, TimeoutError):
        pass  # the proxy left: aborts are part of the traffic
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _head(reader: asyncio.StreamReader) -> Request | None:
    try:
        raw = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), IDLE_SECONDS)
    except (TimeoutError, asyncio.IncompleteReadError):
        return None
    first, *lines = raw.decode("latin-1").rstrip().split("\r\n")
    method, path, _ = first.split(" ")
    fields = dict(line.split(":", 1) for line in lines)
    return Request(method, path, {name.lower(): value.strip() for name, value in fields.items()})


async def body_parts(fields: dict[str, str], reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The bytes of a body by Content-Length or in chunks, as they come."""
    if fields.get("transfer-encoding", "").lower() == "chunked":
        while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            yield await reader.readexactly(size)
            await reader.readexactly(2)
        while (await reader.readuntil(b"\r\n")) != b"\r\n":
            pass
        return
    left = int(fields.get("content-length", "0"))
    while left:
        part = await reader.read(min(left, 65536))
        if not part:
            raise asyncio.IncompleteReadError(b"", left)
        left -= len(part)
        yield part


async def _answer(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Answer one request; whether the connection goes on."""
    kind, _, argument = request.path.strip("/").removeprefix("broken/").partition("/")
    if kind == "upgrade":
        await _echo(request, reader, writer)
        return False
    if kind in ("reset", "garbage", "break", "stall"):
        await _misbehave(kind, reader, writer)
        return False
    digest = hashlib.sha256()
    async for part in body_parts(request.fields, reader):
        digest.update(part)
    if kind == "upload":
        _plain(writer, digest.hexdigest().encode())
    elif kind == "bytes":
        await _download(writer, int(argument))
    elif kind == "events":
        await _events(writer, int(argument))
    else:
        _plain(writer, b"small " + request.path.encode())
    await writer.drain()
    return True


def _plain(writer: asyncio.StreamWriter, body: bytes) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


async def _download(writer: asyncio.StreamWriter, size: int) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    for start in range(0, size, len(BLOCK)):
        writer.write(BLOCK[: min(len(BLOCK), size - start)])
        await writer.drain()


async def _events(writer: asyncio.StreamWriter, count: int) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    for number in range(count):
        event = b"data: %d\n\n" % number
        writer.write(b"%x\r\n%b\r\n" % (len(event), event))
        await writer.drain()
        await asyncio.sleep(0.02)
    writer.write(b"0\r\nX-Events: %d\r\n\r\n" % count)


def websocket_accept(key: str) -> str:
    """What Sec-WebSocket-Accept says to a key (RFC 6455 4.2.2)."""
    magic = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    return base64.b64encode(hashlib.sha1(key.encode() + magic, usedforsecurity=False).digest()).decode()


async def _echo(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (
        f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {request.fields['upgrade']}\r\n"
    )
    if key := request.fields.get("sec-websocket-key"):
        head += f"Sec-WebSocket-Accept: {websocket_accept(key)}\r\n"
    writer.write(f"{head}\r\n".encode())
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def _misbehave(kind: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if kind == "garbage":
        writer.write(b"HTTP/1.1 two hundred\r\nContent Length: 5\r\n\r\n")
    elif kind == "break":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n" + BLOCK)
    elif kind == "stall":
        for _ in itertools.count():
            if not await reader.read(65536):
                break
    await writer.drain()
