"""Pump: a long body of known length from one transport to the other, without a copy beyond the read.

While a body is long its source transport reads straight into a large buffer and the view goes to the target's
`write`. What the kernel did not take at once stays in the target's write buffer as a reference to that view (uvloop
keeps it; reuse was seen to send other bytes). So with a high mark of 0 the target says "full" as long as anything
is left, the source pauses, and the buffer is read into again only when the target has drained it to the last byte.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from posthouse.net.reactor import Buffer, Reactor

PUMP_FROM: Final = 128 * 1024
"""Bytes still to come from which on a pump pays."""
_HIGH_WATER: Final = 64 * 1024


class Home(Protocol):
    """The connection that lends its transport to a pump and gets it back at the end."""

    def on_pumped(self, size: int) -> None:
        """`size` bytes of the body went on."""

    def on_pump_end(self) -> None:
        """The body is complete; the transport's protocol is the home again."""

    def eof_received(self) -> bool | None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


class Pump(asyncio.BufferedProtocol):
    """Moves `remaining` bytes from the source's transport to the target transport."""

    __slots__ = ("_buffer", "_home", "_reactor", "_source", "_target", "remaining")

    def __init__(
        self,
        reactor: Reactor,
        home: Home,
        source: asyncio.Transport,
        target: asyncio.Transport,
        remaining: int,
    ) -> None:
        self._reactor = reactor
        self._home = home
        self._source = source
        self._target = target
        self.remaining = remaining
        self._buffer: Buffer | None = None

    def start(self) -> None:
        """Take over the source's transport."""
        # Without this uvloop would queue short writes until the end of the loop's turn, view and all.
        self._target.set_write_buffer_limits(high=0)
        self._source.set_protocol(self)

    def stop(self) -> None:
        """Let go of everything; the source's protocol is the caller's business."""
        buffer, self._buffer = self._buffer, None
        if buffer is not None:
            self._reactor.give_buffer(buffer, is_free=not self._target.get_write_buffer_size())
        if not self._target.is_closing():
            self._target.set_write_buffer_limits(high=_HIGH_WATER)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read to: never past the end of the body."""
        buffer = self._buffer
        if buffer is None:
            buffer = self._buffer = self._reactor.take_buffer()
        return memoryview(buffer)[: self.remaining]

    def buffer_updated(self, nbytes: int) -> None:
        """`nbytes` were read into the buffer."""
        buffer = self._buffer
        if buffer is None:
            return
        self.remaining -= nbytes
        if not self._target.is_closing():
            # A backend may have been left before it took the whole body (X-Accel-Redirect); the rest is dropped.
            self._target.write(memoryview(buffer)[:nbytes])
        self._home.on_pumped(nbytes)
        if not self.remaining and self._source.get_protocol() is self:
            self.stop()
            self._source.set_protocol(self._home)  # type: ignore[arg-type]
            self._home.on_pump_end()

    def eof_received(self) -> bool | None:
        """The source ended early: the home knows what that means."""
        self.stop()
        return self._home.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The source is gone: the home knows what that means."""
        self.stop()
        self._home.connection_lost(exc)

    def pause_writing(self) -> None:
        """The source's own write side is full."""
        self._home.pause_writing()

    def resume_writing(self) -> None:
        """The source's own write side has room."""
        self._home.resume_writing()
