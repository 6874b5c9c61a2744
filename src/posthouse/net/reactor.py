"""Reactor: what all connections of one worker share."""

from __future__ import annotations

import asyncio
import mmap
import time
from typing import Final

from posthouse.net.timers import Timers
from posthouse.net.tls_engine import Scratch
from posthouse.protocol.h1 import Codec

PUMP_BYTES: Final = 320 * 1024
"""Read size of long bodies: a 10 MiB body takes 32 reads, and the call costs vanish beside the copy.

Not 256 KiB: sizes of bodies tend to be powers of two, the head came with the first piece, and the few KiB that would be
left over at the end cost as much as any other turn (a tenth of an upload of 1 MiB). 512 KiB gain nothing more."""
CROWDED_PUMP_BYTES: Final = 64 * 1024
MANY_PUMPS: Final = 64
"""From so many long bodies at once on each gets a small buffer: 64 of the large ones are 20 MiB."""
SPARE_BUFFERS: Final = 8
"""Large buffers that are kept for good: 2.5 MiB."""
SPARE_SECONDS: Final = 10.0
"""For so long more of them are kept, for a new one costs 200 µs of page faults until it is full."""

Buffer = mmap.mmap | bytearray


class Reactor:
    """The event loop with the codec, the timers and the read buffers of its connections.

    accepted      connections of clients so far, on all its listeners
    full_clients  connections of clients that read more slowly than they are written to
    """

    __slots__ = (
        *("_in_use", "_scratch", "_spare", "_trimming", "accepted", "clock", "codec"),
        *("full_clients", "loop", "timers"),
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, codec: Codec) -> None:
        self.loop = loop
        self.codec = codec
        self.timers = Timers(loop)
        self.clock = time.monotonic
        self._spare: list[Buffer] = []
        self._trimming: asyncio.TimerHandle | None = None
        self._in_use = self.accepted = self.full_clients = 0
        self._scratch: Scratch | None = None

    @property
    def scratch(self) -> Scratch:
        """What all TLS connections read into; made for the first of them."""
        if self._scratch is None:
            self._scratch = Scratch()
        return self._scratch

    def take_buffer(self) -> Buffer:
        """A buffer to read a long body into; it is the caller's until given back."""
        self._in_use += 1
        if self._in_use > MANY_PUMPS:
            return bytearray(CROWDED_PUMP_BYTES)
        # A mapping of its own, which goes back to the system whole: in the heap, where slow readers hold some of them
        # for long, they left holes of up to 17 MiB.
        return (
            self._spare.pop()
            if self._spare
            else mmap.mmap(-1, PUMP_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        )

    def give_buffer(self, buffer: Buffer, *, is_free: bool) -> None:
        """Take a buffer back; `is_free`: no transport holds a view of it, so the next pump may have it."""
        self._in_use -= 1
        if is_free and len(buffer) == PUMP_BYTES and len(self._spare) < MANY_PUMPS:
            self._spare.append(buffer)
            if len(self._spare) > SPARE_BUFFERS and self._trimming is None:
                self._trimming = self.loop.call_later(SPARE_SECONDS, self._trim)

    def _trim(self) -> None:
        self._trimming = None
        del self._spare[SPARE_BUFFERS:]
