"""The clients of the soak: each kind of traffic is one function that judges what it gets."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable

from benchmarks.soak_backend import BLOCK, body_parts, websocket_accept

PATIENCE = 20.0


class Wrong(Exception):
    """An answer that must not be; the text says which and why."""


class Unlucky(Exception):
    """An upload met a connection that the backend was closing just then; it may not be sent again."""


class Client:
    """One connection to the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, method: str, path: str, fields: str = "", body: bytes = b"") -> None:
        """Send a request; fields end with CRLF each."""
        head = f"{method} {path} HTTP/1.1\r\nHost: soak.test\r\n{fields}\r\n"
        self.writer.write(head.encode() + body)
        await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        """Status and fields of the next response."""
        raw = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = raw.rstrip().split("\r\n")
        fields = dict(line.split(":", 1) for line in lines)
        return int(first.split(" ")[1]), {name.lower(): value.strip() for name, value in fields.items()}

    async def answer(self) -> tuple[int, bytes]:
        """Status and whole body of the next response."""
        status, fields = await self.head()
        return status, b"".join([part async for part in body_parts(fields, self.reader)])

    async def expect(self, status: int) -> bytes:
        """The body of the next response; Wrong unless it has the status."""
        got, body = await self.answer()
        if got != status:
            raise Wrong(f"{got} instead of {status}: {body[:80]!r}")
        return body


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[Client]:
    """A connection that is closed however the block ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def kept_alive(port: int, rng: random.Random) -> None:
    """Some small requests, one after the other."""
    async with connected(port) as client:
        for _ in range(rng.randint(1, 20)):
            path = f"/small/{rng.randrange(1 << 30)}"
            await client.ask("GET", path)
            if await client.expect(200) != b"small " + path.encode():
                raise Wrong(f"the answer to {path} is another's")


async def pipelined(port: int, rng: random.Random) -> None:
    """Several requests at once; answers in order."""
    paths = [f"/small/{rng.randrange(1 << 30)}" for _ in range(rng.randint(2, 12))]
    async with connected(port) as client:
        client.writer.write(b"".join(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for path in paths))
        for path in paths:
            if await client.expect(200) != b"small " + path.encode():
                raise Wrong("pipelined answers out of order")


async def download(port: int, rng: random.Random) -> None:
    """A large body, byte for byte."""
    size = rng.randint(1, 4 << 20)
    async with connected(port) as client:
        await client.ask("GET", f"/bytes/{size}")
        body = await client.expect(200)
        if body != (BLOCK * (size // len(BLOCK) + 1))[:size]:
            raise Wrong(f"a download of {size} bytes differs")


async def upload(port: int, rng: random.Random) -> None:
    """A body with Content-Length, or in chunks of any size."""
    body = rng.randbytes(rng.randint(1, 1 << 20))
    async with connected(port) as client:
        if rng.random() < 0.5:
            await client.ask("POST", "/upload", f"Content-Length: {len(body)}\r\n", body)
        else:
            await client.ask("POST", "/upload", "Transfer-Encoding: chunked\r\n")
            start = 0
            while start < len(body):
                part = body[start : start + rng.randint(1, 65536)]
                client.writer.write(b"%x\r\n%b\r\n" % (len(part), part))
                await client.writer.drain()
                start += len(part)
            client.writer.write(b"0\r\n\r\n")
        status, answer = await client.answer()
        if status == 502:
            raise Unlucky
        if (status, answer) != (200, hashlib.sha256(body).hexdigest().encode()):
            raise Wrong(f"{status} to an upload, or it arrived otherwise than it was sent")


async def events(port: int, rng: random.Random) -> None:
    """A stream, to its end."""
    count = rng.randint(1, 100)
    async with connected(port) as client:
        await client.ask("GET", f"/events/{count}")
        if (await client.expect(200)).count(b"data:") != count:
            raise Wrong("events were lost")


async def websocket(port: int, rng: random.Random) -> None:
    """A WebSocket with echoed messages; sometimes left without a word."""
    key = base64.b64encode(rng.randbytes(16)).decode()
    fields = f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
    async with connected(port) as client:
        await client.ask("GET", "/upgrade", fields)
        status, answered = await client.head()
        if (status, answered.get("sec-websocket-accept")) != (101, websocket_accept(key)):
            raise Wrong(f"{status} with {answered} to a WebSocket's key {key}")
        await _echoes(client, rng, lambda body: b"\x82\xfe" + len(body).to_bytes(2, "big") + bytes(4) + body)


async def upgrade(port: int, rng: random.Random) -> None:
    """A tunnel of another protocol."""
    async with connected(port) as client:
        await client.ask("GET", "/upgrade", "Connection: Upgrade\r\nUpgrade: echo\r\n")
        status, _ = await client.head()
        if status != 101:
            raise Wrong(f"{status} instead of 101")
        await _echoes(client, rng, lambda body: body)


async def _echoes(client: Client, rng: random.Random, framed: Callable[[bytes], bytes]) -> None:
    for _ in range(rng.randint(0, 10)):
        sent = framed(rng.randbytes(rng.randint(126, 30000)))
        client.writer.write(sent)
        if await client.reader.readexactly(len(sent)) != sent:
            raise Wrong("an echo differs")
    if rng.random() < 0.5:
        client.writer.write_eof()
        if await client.reader.read() != b"":
            raise Wrong("bytes after the end of a tunnel")


async def leave(port: int, rng: random.Random) -> None:
    """Go away: before the answer, in the middle of it, in the middle of an upload."""
    moment = rng.choice(("waiting", "downloading", "uploading", "streaming", "head"))
    async with connected(port) as client:
        if moment == "waiting":
            await client.ask("GET", "/broken/stall")
            await asyncio.sleep(rng.random() / 10)
        elif moment == "downloading":
            await client.ask("GET", f"/bytes/{32 << 20}")
            await client.reader.readexactly(rng.randint(1, 1 << 20))
        elif moment == "uploading":
            await client.ask("POST", "/upload", "Content-Length: 1000000\r\n", rng.randbytes(5000))
        elif moment == "streaming":
            await client.ask("GET", "/events/1000")
            await client.reader.readuntil(b"data: 3")
        else:
            client.writer.write(b"GET / HTTP/1.1\r\nHos")
        client.writer.transport.abort()


async def slow_reader(port: int, rng: random.Random) -> None:
    """Read a large body a little at a time: the proxy must wait, not hoard."""
    size = 8 << 20
    async with connected(port) as client:
        await client.ask("GET", f"/bytes/{size}")
        status, fields = await client.head()
        if status != 200 or fields.get("content-length") != str(size):
            raise Wrong(f"{status} with {fields}")
        left = size
        while left:
            part = await client.reader.read(min(left, 262144))
            if not part:
                raise Wrong(f"a slow download broke off with {left} bytes left")
            left -= len(part)
            await asyncio.sleep(rng.random() / 20)


async def broken_backend(port: int, rng: random.Random) -> None:
    """A backend that closes, talks nonsense or breaks off in the middle: the client can tell."""
    kind = rng.choice(("reset", "garbage", "break"))
    async with connected(port) as client:
        await client.ask("GET", f"/broken/{kind}")
        if kind != "break":
            await client.expect(502)
            return
        try:
            await client.answer()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        raise Wrong("a truncated response looked complete")


async def malformed(port: int, rng: random.Random) -> None:
    """What two parsers could read in two ways is refused."""
    bad = rng.choice(
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Bad Name: x\r\n",
            "Transfer-Encoding: gzip, chunked, x\r\n",
        )
    )
    async with connected(port) as client:
        await client.ask("POST", "/small", bad)
        status, _ = await client.head()
        if not 400 <= status < 500 and status != 501:
            raise Wrong(f"{status} for {bad!r}")


TRAFFIC: dict[Callable[[int, random.Random], Awaitable[None]], int] = {
    kept_alive: 30,
    pipelined: 8,
    download: 10,
    upload: 12,
    events: 6,
    websocket: 8,
    upgrade: 2,
    leave: 14,
    slow_reader: 2,
    broken_backend: 6,
    malformed: 4,
}
"""Each kind and how often it is chosen."""
