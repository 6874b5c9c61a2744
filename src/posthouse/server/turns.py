"""Turns: work that is cut in pieces (a file, a body that is compressed) gets so much time in a turn of the event loop.

Each piece is short, but hundreds of clients may have one waiting. Done one behind the other in every turn they
would hold up everybody else, and those who connect most of all: uvloop accepts one connection in a turn.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from posthouse.proxy.ports import Cancellable

TURN_SECONDS: Final = 0.004
"""For all pieces of one turn; the one that passes it is the last. Most take a half to two milliseconds."""


class Turn:
    """A piece that waits."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """It will not be done. Idempotent."""
        self.callback = None


class Turns:
    """What waits is done in its order, each once; a piece that asks for another one gets it behind all that wait."""

    __slots__ = ("_clock", "_is_coming", "_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = time.monotonic) -> None:
        self._loop = loop
        self._clock = clock
        self._waiting: deque[Turn] = deque()
        self._is_coming = False

    def __repr__(self) -> str:
        return f"<Turns waiting={len(self._waiting)}>"

    def call_later(self, seconds: float, callback: Callable[[], None], /) -> Cancellable:
        """Call it in so many seconds; with 0, when it is its turn, never at once."""
        if seconds > 0.0:
            return self._loop.call_later(seconds, callback)
        turn = Turn(callback)
        self._waiting.append(turn)
        self._come()
        return turn

    def _come(self) -> None:
        if self._waiting and not self._is_coming:
            self._is_coming = True
            self._loop.call_soon(self._take)

    def _take(self) -> None:
        self._is_coming = False
        end = self._clock() + TURN_SECONDS
        try:
            for _ in range(len(self._waiting)):
                callback = self._waiting.popleft().callback
                if callback is not None:
                    callback()
                    if self._clock() >= end:
                        break
        finally:  # what one of them raises is the loop's to tell, and keeps no other waiting
            self._come()
