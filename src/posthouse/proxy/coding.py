"""Coding: a backend's body on its way through an encoder, piece by piece, so that no other client waits long for it."""

from __future__ import annotations

from typing import Final

from posthouse.protocol.fields import Field
from posthouse.proxy.answer import Encoder

CODED_PIECE_BYTES: Final = 32 * 1024
"""Coded in one turn of the event loop. One read from a backend may bring 256 KiB, and deflating that at once holds
up the loop for 3 to 6 ms at level 4, for up to 25 at level 9 (docs/decisions, on gzip)."""


class Coding:
    """What came and is not coded yet; at most one read, as the backend is not read from while there is any.

    trailers  None while more may come
    """

    __slots__ = ("_at", "_encoder", "_waiting", "is_done", "trailers")

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._waiting = b""
        self._at = 0
        self.trailers: list[Field] | None = None
        self.is_done = False

    def __repr__(self) -> str:
        return f"<Coding waiting={len(self._waiting) - self._at} done={self.is_done}>"

    @property
    def has_more(self) -> bool:
        """Whether anything waits."""
        return bool(self._waiting)

    def take(self, data: bytes) -> None:
        """More of the plain body."""
        self._waiting = self._waiting[self._at :] + data if self._waiting else data
        self._at = 0

    def end(self, trailers: list[Field]) -> None:
        """The plain body is complete."""
        self.trailers = trailers

    def next(self) -> bytes:
        """The coded form of the next piece, with the end if it is the last one."""
        piece = self._waiting[self._at : self._at + CODED_PIECE_BYTES]
        self._at += len(piece)
        if self._at == len(self._waiting):
            self._waiting, self._at = b"", 0
            if self.trailers is not None:
                self.is_done = True
                return self._encoder.finish(piece)
        return self._encoder.feed(piece) if piece else b""
