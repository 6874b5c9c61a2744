"""Tunnel: two connections joined after an upgrade; bytes both ways, half-close, one idle limit.

Laws:
1. What arrived before the join goes first, each way.
2. The end of one side's input ends the other side's output, nothing more; the tunnel is over when both have ended,
   when either connection is lost, or when no byte moved for the idle limit.
3. A side that can't take more pauses the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable
from typing import Final, Protocol

NEVER = math.inf
FLUSH_SECONDS: Final = 2.0
"""What a side gets to take the last bytes after the tunnel is over."""

OnEnd = Callable[[int], None]


class Timers(Protocol):
    """Where the tunnel keeps its deadline (net/timers.py)."""

    def set(self, timed: Tunnel, deadline: float, /) -> None: ...
    def forget(self, timed: Tunnel, /) -> None: ...


class TunnelEnd:
    """The protocol of one side's transport: what it receives goes to the other."""

    __slots__ = ("_is_over", "_other", "_transport", "_tunnel")

    def __init__(self, tunnel: Tunnel, transport: asyncio.Transport, other: asyncio.Transport) -> None:
        self._tunnel = tunnel
        self._transport = transport
        self._other = other
        self._is_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Never called: the transport was made long ago."""

    def data_received(self, data: bytes) -> None:
        """On to the other side."""
        if not self._other.is_closing():
            self._tunnel.moved(self, len(data))
            self._other.write(data)

    def eof_received(self) -> bool:
        """This side sends no more; it may go on receiving."""
        if self._is_over:
            return False
        self._is_over = True
        if not self._other.is_closing() and self._other.can_write_eof():
            with contextlib.suppress(OSError):  # it has just been reset: its own loss is told next
                self._other.write_eof()
        self._tunnel.half_closed()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """This side is gone."""
        self._is_over = True
        self._tunnel.lost()

    def pause_writing(self) -> None:
        """This side reads too slowly: the other pauses."""
        if not self._other.is_closing():
            self._other.pause_reading()

    def resume_writing(self) -> None:
        """This side caught up."""
        if not self._other.is_closing():
            self._other.resume_reading()

    @property
    def is_over(self) -> bool:
        """Whether this side sends no more."""
        return self._is_over


class Tunnel:
    """Two joined connections.

    on_end   called once, with the bytes that went to the client, when the tunnel is over
    on_gone  called once, when both connections are gone too
    """

    __slots__ = (
        *(
            "_clock",
            "_downstream",
            "_ends",
            "_idle",
            "_left",
            "_on_end",
            "_on_gone",
            "_size",
            "_timers",
            "_upstream",
        ),
        *("bucket", "deadline", "wake"),
    )

    def __init__(
        self, timers: Timers, clock: Callable[[], float], idle: float, ends: tuple[OnEnd, Callable[[], None]]
    ) -> None:
        self._timers = timers
        self._clock = clock
        self._idle = idle
        self._on_end: OnEnd | None = ends[0]
        self._on_gone = ends[1]
        self._ends: tuple[TunnelEnd, ...] = ()
        self._size = 0
        self._left = 2
        self.deadline = NEVER
        self.bucket = 0
        self.wake = NEVER

    def join(
        self, downstream: asyncio.Transport, upstream: asyncio.Transport, early: bytes, rest: bytes
    ) -> None:
        """Join; `early`: what the client sent already, `rest`: what the backend sent after its 101."""
        self._downstream, self._upstream = downstream, upstream
        self._ends = (TunnelEnd(self, downstream, upstream), TunnelEnd(self, upstream, downstream))
        downstream.set_protocol(self._ends[0])  # type: ignore[arg-type]
        upstream.set_protocol(self._ends[1])  # type: ignore[arg-type]
        self._touch()
        if rest:
            self._ends[1].data_received(rest)
        if early:
            self._ends[0].data_received(early)

    def moved(self, end: TunnelEnd, size: int) -> None:
        """Bytes went through."""
        if end is self._ends[1]:
            self._size += size
        self._touch()

    def _touch(self) -> None:
        if self._idle != NEVER and self._on_end is not None:
            self._timers.set(self, self._clock() + self._idle)

    def half_closed(self) -> None:
        """One side has ended."""
        if all(end.is_over for end in self._ends):
            self.close()

    def on_deadline(self, now: float) -> None:
        """Nothing moved for too long; or it is over and a side does not take what was written to it."""
        if self._on_end is not None:
            self.close()
            return
        for transport in (self._downstream, self._upstream):
            transport.abort()

    def lost(self) -> None:
        """A connection is gone."""
        self._left -= 1
        self.close()
        if not self._left:
            self._timers.forget(self)
            self._on_gone()
            # They hold us: what ends without a cycle is freed now, and not at the collector's leisure.
            self._ends = ()

    def close(self) -> None:
        """End both sides; what is written already still goes out, for at most FLUSH_SECONDS."""
        on_end, self._on_end = self._on_end, None
        if on_end is None:
            return
        self._timers.set(self, self._clock() + FLUSH_SECONDS)
        for transport in (self._downstream, self._upstream):
            if not transport.is_closing():
                transport.close()
        on_end(self._size)
