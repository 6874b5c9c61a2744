"""A transport without a socket, a loop without a selector and a clock that is moved by hand.

A test feeds what a peer sends and reads what the peer would get. Nothing here sleeps; a minute passes when the test
says so.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Any, cast

from posthouse.net.idle import IdleConnections
from posthouse.net.reactor import Reactor
from posthouse.net.timers import Timers
from posthouse.protocol.h1 import Codec


class Handle:
    """What the loop was asked to call."""

    def __init__(self, due: float, call: Callable[[], object]) -> None:
        self.due = due
        self.call = call
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class FakeLoop:
    """The few methods of an event loop that connections use, on a clock of its own."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._order = itertools.count()
        self._waiting: list[tuple[float, int, Handle]] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, call: Callable[..., object], *args: object) -> Handle:
        return self.call_later(0.0, call, *args)

    def call_later(self, delay: float, call: Callable[..., object], *args: object) -> Handle:
        handle = Handle(self.now + delay, lambda: call(*args))
        heapq.heappush(self._waiting, (handle.due, next(self._order), handle))
        return handle

    @property
    def waiting(self) -> int:
        """How many calls are still to come."""
        return sum(not handle.is_cancelled for _, _, handle in self._waiting)

    def turn(self) -> None:
        """Let everything happen that is due now."""
        self.advance(0.0)

    def advance(self, seconds: float) -> None:
        """Let time pass, and happen what is due meanwhile, each at its time."""
        end = self.now + seconds
        while self._waiting and self._waiting[0][0] <= end:
            due, _, handle = heapq.heappop(self._waiting)
            self.now = max(self.now, due)
            if not handle.is_cancelled:
                handle.call()
        self.now = end


class FakeSocket:
    """Remembers the options that were set."""

    def __init__(self) -> None:
        self.options: list[tuple[int, int, object]] = []
        self.descriptor = -1

    def fileno(self) -> int:
        return self.descriptor

    def setsockopt(self, level: int, name: int, value: object) -> None:
        self.options.append((level, name, value))


class Wire(asyncio.Transport):
    """One side of a connection: `written` is what the peer got, `feed` is what the peer sends.

    It holds its user to the rules of a transport: no byte after the end, no event after connection_lost.
    """

    def __init__(self, loop: FakeLoop, protocol: Any, peer: object = ("192.0.2.7", 4711)) -> None:
        super().__init__()
        self._loop = loop
        self.protocol = protocol
        self._peer = peer
        self._unread = bytearray()
        self._is_lost = False
        self.sock = FakeSocket()
        self.written = bytearray()
        self.buffered = 0
        self.is_stalled = False
        self.is_paused = False
        self.is_finished = False
        self.is_closed = False
        self.is_aborted = False
        self.high_water = 64 * 1024
        protocol.connection_made(self)

    # -- the peer's side

    def feed(self, data: bytes) -> None:
        """The peer sends; delivered now, or when reading is resumed."""
        self._unread += data
        while self._unread and not self.is_paused and not self.is_closed:
            protocol = self.protocol
            if isinstance(protocol, asyncio.BufferedProtocol):
                space = memoryview(protocol.get_buffer(-1))
                size = min(len(space), len(self._unread))
                space[:size] = self._unread[:size]
                del self._unread[:size]
                protocol.buffer_updated(size)
            else:
                piece = bytes(self._unread)
                self._unread.clear()
                protocol.data_received(piece)

    def feed_eof(self) -> None:
        """The peer sends no more."""
        if not self.is_closed and not self.protocol.eof_received():
            self.close()

    def lose(self, error: Exception | None = None) -> None:
        """The connection breaks."""
        self.is_closed = True
        self._end(error)

    def stall(self) -> None:
        """The peer stops reading: what is written piles up."""
        self.is_stalled = True

    def read_on(self) -> None:
        """The peer reads all that is there."""
        self.is_stalled = False
        was, self.buffered = self.buffered, 0
        if was > self.high_water:
            self.protocol.resume_writing()

    def take(self) -> bytes:
        """What the peer got since the last look."""
        taken = bytes(self.written)
        self.written.clear()
        return taken

    # -- the transport's side

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": self._peer, "socket": self.sock}.get(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return cast(asyncio.BaseProtocol, self.protocol)

    def is_closing(self) -> bool:
        return self.is_closed

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        assert not self.is_closed and not self.is_finished, f"written after the end: {bytes(data)!r}"
        assert data, "an empty write"
        self.written += data
        if self.is_stalled:
            before, self.buffered = self.buffered, self.buffered + len(data)
            if before <= self.high_water < self.buffered:
                self.protocol.pause_writing()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        assert not self.is_closed
        self.is_finished = True

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high_water = 64 * 1024 if high is None else high

    def pause_reading(self) -> None:
        assert not self.is_closed and not self.is_paused
        self.is_paused = True

    def resume_reading(self) -> None:
        assert not self.is_closed and self.is_paused
        self.is_paused = False
        if self._unread:
            self._loop.call_soon(self.feed, b"")

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            if not self.buffered:
                self._loop.call_soon(self._end, None)

    def abort(self) -> None:
        self.is_closed = True
        self.is_aborted = True
        self._loop.call_soon(self._end, None)

    def _end(self, error: Exception | None) -> None:
        if not self._is_lost:
            self._is_lost = True
            self.protocol.connection_lost(error)


class Stand:
    """What all connections of one test share: loop, clock, codec, idle connections."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.codec = Codec()
        self.reactor = Reactor(cast(asyncio.AbstractEventLoop, self.loop), self.codec)
        self.reactor.clock = self.loop.time
        self.reactor.timers = Timers(self.loop, self.loop.time)
        self.idle = IdleConnections()

    def turn(self) -> None:
        self.loop.turn()

    def advance(self, seconds: float) -> None:
        self.loop.advance(seconds)
