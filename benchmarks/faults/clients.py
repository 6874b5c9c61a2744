"""The clients of the fault matrix: one request after the other, each with an id that no other has."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time

from benchmarks.faults.judge import Ending, Outcome
from benchmarks.faults.wire import Kind, body_of, body_parts, read_head, target

PATIENCE = 12.0
"""Seconds after which a client takes a request for hung: longer than any proxy may try."""
THINK = 0.06
"""Mean pause between two requests: this is about faults, not about how fast anyone is."""
SIZES = {Kind.GET: (200, 1000, 100_000), Kind.POST: (200, 1000), Kind.STREAM: (4000,)}
UPLOAD = 3000
KINDS = (Kind.GET, Kind.GET, Kind.POST, Kind.STREAM)
"""Chosen evenly from these."""


class Crowd:
    """Clients that ask until stopped; `outcomes` has every request that ended."""

    def __init__(self, port: int, count: int, seed: int, name: str = "") -> None:
        self.outcomes: list[Outcome] = []
        self._port = port
        self._is_stopping = False
        rng = random.Random(seed)
        self._tasks = [
            asyncio.create_task(self._client(f"{name}c{number}", random.Random(rng.random())))
            for number in range(count)
        ]

    async def stop(self) -> None:
        """Ask nothing more, wait for what was asked."""
        self._is_stopping = True
        await asyncio.gather(*self._tasks)

    async def _client(self, name: str, rng: random.Random) -> None:
        number = 0
        connection = _Connection(self._port)
        try:
            while not self._is_stopping:
                await asyncio.sleep(rng.uniform(0, 2 * THINK))
                kind = rng.choice(KINDS)
                identity = f"{name}-{number}"
                number += 1
                began = time.monotonic()
                ending, status = await connection.ask(kind, identity, rng.choice(SIZES[kind]))
                self.outcomes.append(Outcome(identity, kind, began, time.monotonic(), ending, status))
        finally:
            await connection.close()


class _Connection:
    """A client's connection to the proxy, opened anew when it has ended."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, kind: Kind, identity: str, size: int) -> tuple[Ending, int]:
        """How a request ended, and its status."""
        got: list[int] = []
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._exchange(kind, identity, size, got)
        except TimeoutError:
            ending = Ending.HUNG
        except (OSError, asyncio.IncompleteReadError):
            ending = Ending.CUT if got == [200] else Ending.BROKEN
        await self.close()
        return ending, got[0] if got else 0

    async def close(self) -> None:
        """End it."""
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
        self._reader = self._writer = None

    async def _exchange(self, kind: Kind, identity: str, size: int, got: list[int]) -> tuple[Ending, int]:
        """`got` receives the status as soon as it is known."""
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        upload = body_of(identity, UPLOAD) if kind is Kind.POST else b""
        framing = f"Content-Length: {len(upload)}\r\n" if upload else ""
        head = f"{kind.method} {target(kind, identity, size)} HTTP/1.1\r\nHost: faults.test\r\n{framing}\r\n"
        self._writer.write(head.encode() + upload)
        first, fields = await read_head(self._reader)
        got.append(int(first.split(" ")[1]))
        body = b"".join([part async for part in body_parts(fields, self._reader)])
        if fields.get("connection", "").lower() == "close":
            await self.close()
        return _judged(got[0], body, body_of(identity, size)), got[0]


def _judged(status: int, body: bytes, expected: bytes) -> Ending:
    """A whole response by what it says."""
    if status != 200:
        return Ending.STATUS
    if body == expected:
        return Ending.GOOD
    return Ending.SHORT if expected.startswith(body) else Ending.FOREIGN
