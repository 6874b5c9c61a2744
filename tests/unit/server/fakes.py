"""Stand-ins for what a worker serves with: a listener of echo connections, a log that remembers."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import Callable
from typing import Any, cast

from posthouse.net.idle import IdleConnections
from posthouse.observe.process_log import ProcessLog


class Remembering(ProcessLog):
    """A process log that the test reads."""

    def __init__(self) -> None:
        self.written = io.StringIO()
        super().__init__(self.written, "json")

    def lines(self) -> list[dict[str, object]]:
        """What was written so far: the fields of each line, without its time."""
        lines = [json.loads(line) for line in self.written.getvalue().splitlines()]
        for line in lines:
            del line["ts"]
        return lines

    def of(self, what: str) -> list[dict[str, object]]:
        """The lines about `what`."""
        return [line for line in self.lines() if line["what"] == what]


class Echo(asyncio.Protocol):
    """A connection that sends back its plan's word and whatever it is told; busy after the word "work"."""

    def __init__(self, listener: EchoListener) -> None:
        self.listener = listener
        self.is_busy = False
        self.since = time.monotonic()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)
        self.listener.connections.add(self)

    def data_received(self, data: bytes) -> None:
        self.is_busy = data == b"work"
        self.transport.write(f"{self.listener.plan}:".encode() + data)

    def close_if_idle(self) -> None:
        if not self.is_busy:
            self.is_busy = True
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.listener.connections.discard(self)
        self.is_busy = True
        if self.listener.on_closed is not None:
            self.listener.on_closed()


class EchoListener:
    """What `net.listener.Listener` is to a worker."""

    def __init__(self, plan: Any) -> None:
        self.use(plan)
        self.connections: set[Echo] = set()
        self.on_closed: Callable[[], None] | None = None
        self.is_draining = self.is_refusing = False

    def use(self, plan: Any) -> None:
        self.plan = plan

    def connection(self) -> Echo:
        return Echo(self)

    def idle(self, before: float) -> list[tuple[float, Echo]]:
        return [(one.since, one) for one in self.connections if not one.is_busy and one.since <= before]

    def drain(self) -> None:
        self.is_draining = True

    def refuse(self, is_refusing: bool) -> None:
        self.is_refusing = is_refusing

    def close_idle(self) -> None:
        for connection in [one for one in self.connections if not one.is_busy]:
            connection.transport.close()

    def abort(self) -> int:
        cut = list(self.connections)
        for connection in cut:
            connection.transport.abort()
        return len(cut)


async def until(is_so: Callable[[], object]) -> None:
    """Let the loop turn until it is so; AssertionError after five seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 5
    while not is_so():
        assert loop.time() < deadline, "it never became so"
        await asyncio.sleep(0)


class Somebody:
    """A client's connection, as far as connections to backends depend on it."""

    def __init__(self, peer: str = "192.0.2.7", peer_port: int = 4711) -> None:
        self.peer, self.peer_port = peer, peer_port
        self.own: IdleConnections | None = None
        self.addressed = ("192.0.2.1", 80)
