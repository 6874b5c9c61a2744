"""Flow: pausing and resuming the reading of one connection, for several reasons at once."""

from __future__ import annotations

import select
from typing import Final, Protocol

PEER_FULL: Final = 1
"""The other side's write buffer is over its mark."""
NO_PEER: Final = 2
"""There is no backend connection yet to pass the body to."""
PIPELINED: Final = 4
"""The next request is already here while the current one is being answered."""

CODING: Final = 8
"""What came is still being coded."""

SPLIT: Final = 16
"""What came holds more chunks than are read in one turn of the event loop."""


def has_hung_up(descriptor: int) -> bool:
    """Whether the peer of a socket has closed or reset it, whatever waits unread; one system call."""
    poll = select.poll()
    poll.register(descriptor, select.POLLRDHUP)
    return bool(poll.poll(0))


class Readable(Protocol):
    """The part of an asyncio transport that Flow needs."""

    def is_closing(self) -> bool: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Flow:
    """Counts who is blocking by reason; pauses at the first, resumes at the last, touches no closing transport."""

    __slots__ = ("_reasons", "_transport")

    def __init__(self, transport: Readable) -> None:
        self._transport = transport
        self._reasons = 0

    @property
    def is_paused(self) -> bool:
        """Whether anyone blocks."""
        return self._reasons != 0

    def block(self, reason: int) -> None:
        """Stop reading because of `reason` (PEER_FULL, NO_PEER, PIPELINED, CODING, SPLIT); again is no change."""
        before = self._reasons
        self._reasons = before | reason
        if not before and not self._transport.is_closing():
            self._transport.pause_reading()

    def unblock(self, reason: int) -> None:
        """`reason` is gone; read on when no other is left."""
        before = self._reasons
        after = before & ~reason
        self._reasons = after
        if before and not after and not self._transport.is_closing():
            self._transport.resume_reading()
