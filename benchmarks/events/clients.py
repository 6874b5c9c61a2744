"""Clients that never stop: 64 keep a connection each and ask at once for the next answer; a few download slowly.

A request counts as lost when it was sent and no whole answer came. That a proxy closes a connection on which nothing
runs is its right, and counts for nothing. A connection that is refused counts once, and is tried again.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import Final

CLIENTS: Final = 64
DOWNLOADS: Final = 4
PIECE: Final = 64 * 1024
PIECE_SECONDS: Final = 0.02
"""Between the pieces of a slow download: 10 MiB take some three seconds."""
_GENERATION = re.compile(rb"(?i)\r\nx-generation: *(\d+)\r\n")
DOWNLOAD_SECONDS: Final = 20.0
LAST_SECONDS: Final = 0.3
"""After the first answer of a generation, for those of the one before."""
_CLOSE = re.compile(rb"(?i)\r\nconnection: *close\r\n")
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)\r\n")


@dataclass(slots=True)
class Seen:
    """What all clients have seen together.

    worst      the longest that anybody waited for an answer, seconds
    new        the newest generation of the configuration that answered, and when it did first
    old_at     when one before it answered last
    downloads  that came whole
    is_ending  no further downloads begin; is_over: nothing counts any more
    """

    answers: int = 0
    lost: int = 0
    wrong: int = 0
    refused: int = 0
    downloads: int = 0
    cut: int = 0
    worst: float = 0.0
    new: int = 0
    new_at: float = 0.0
    old_at: float = 0.0
    is_ending: bool = False
    is_over: bool = False
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def answer(self, head: bytes, took: float) -> None:
        """A whole answer."""
        self.answers += 1
        self.worst = max(self.worst, took)
        if not head.startswith(b"HTTP/1.1 200 "):
            self.wrong += 1
        found = _GENERATION.search(head)
        if found is not None:
            number = int(found[1])
            if number > self.new:
                self.new, self.new_at = number, time.perf_counter()
            elif number < self.new:
                self.old_at = time.perf_counter()


class Asker(asyncio.Protocol):
    """One kept connection: a request, its answer, and again; connects anew when it was closed."""

    def __init__(self, seen: Seen, port: int) -> None:
        self._seen = seen
        self._port = port
        self._request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        self._buffer = b""
        self._asked = 0.0
        self._wanted = 0.0
        self._transport: asyncio.Transport

    def waits(self) -> float:
        """Seconds that it has waited for its next answer so far, also for a connection."""
        return time.perf_counter() - self._wanted if self._wanted else 0.0

    async def run(self) -> None:
        """Until it is over."""
        loop = asyncio.get_running_loop()
        while not self._seen.is_over:
            self._wanted = self._wanted or time.perf_counter()
            self._gone = loop.create_future()
            try:
                await loop.create_connection(lambda: self, "127.0.0.1", self._port)
            except OSError:
                self._seen.refused += 1
                await asyncio.sleep(0.01)
                continue
            await self._gone

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._buffer = b""
        self._ask()

    def _ask(self) -> None:
        if self._seen.is_over:
            self._asked = 0.0
            self._transport.abort()
            return
        self._asked = time.perf_counter()
        self._wanted = self._wanted or self._asked
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._buffer, 0, end + 2)
        if length is None or len(self._buffer) < end + 4 + int(length[1]):
            return
        head = self._buffer[: end + 2]
        self._seen.answer(head, self.waits())
        self._buffer, self._wanted = b"", 0.0
        if _CLOSE.search(head) is not None:
            self._asked = 0.0
            self._transport.close()
        else:
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._asked and not self._seen.is_over:
            self._seen.lost += 1
        self._asked = 0.0
        if not self._gone.done():
            self._gone.set_result(None)


async def download(seen: Seen, port: int) -> None:
    """10 MiB, slowly, again and again."""
    while not seen.is_ending:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=PIECE)
        except OSError:
            seen.refused += 1
            await asyncio.sleep(0.01)
            continue
        seen.writers.add(writer)
        try:
            writer.write(f"GET /10m HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            left = int(length[1]) if length is not None else 1
            while left > 0 and (piece := await reader.read(PIECE)):
                left -= len(piece)
                await asyncio.sleep(PIECE_SECONDS)
            if left:
                seen.cut += not seen.is_over
            else:
                seen.downloads += 1
        except (OSError, asyncio.IncompleteReadError):
            seen.cut += not seen.is_over
        finally:
            seen.writers.discard(writer)
            writer.close()


class Crowd:
    """All clients of one proxy."""

    def __init__(self, port: int, clients: int = CLIENTS, downloads: int = DOWNLOADS) -> None:
        self.seen = Seen()
        self._asking = [Asker(self.seen, port) for _ in range(clients)]
        self._askers = [asyncio.ensure_future(one.run()) for one in self._asking]
        self._downloads = [asyncio.ensure_future(download(self.seen, port)) for _ in range(downloads)]

    async def wait_new(self, number: int, seconds: float) -> float:
        """When that generation was the only one that answered; RuntimeError if it takes longer to answer at all."""
        end = time.perf_counter() + seconds
        while self.seen.new < number:
            if time.perf_counter() > end:
                raise RuntimeError(f"generation {number} does not answer")
            await asyncio.sleep(0.001)
        await asyncio.sleep(LAST_SECONDS)
        return max(self.seen.new_at, self.seen.old_at)

    async def leave(self) -> Seen:
        """The end of all of them; downloads that run come to theirs."""
        self.seen.is_ending = True
        if self._downloads:
            await asyncio.wait(self._downloads, timeout=DOWNLOAD_SECONDS)
        self.seen.worst = max(self.seen.worst, *(one.waits() for one in self._asking))
        self.seen.is_over = True
        for writer in list(self.seen.writers):
            writer.transport.abort()
        tasks = [*self._askers, *self._downloads]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return self.seen
