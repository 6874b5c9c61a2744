"""Sources: bodies that are read from an open file, by place, so that nobody's reading moves anybody's place."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from posthouse.files.ranges import Part


class FileSource:
    """Part of a file. It owns the descriptor."""

    __slots__ = ("_fd", "_place", "length")

    def __init__(self, fd: int, part: Part) -> None:
        self._fd = fd
        self._place, stop = part
        self.length = stop - self._place

    def __repr__(self) -> str:
        return f"<FileSource fd={self._fd} place={self._place}>"

    def read(self, most: int) -> bytes:
        """The next bytes; b"": the file has become shorter. Raises OSError."""
        data = os.pread(self._fd, most, self._place)
        self._place += len(data)
        return data

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)


class PartsSource:
    """Several parts of a file with text between them: a body of multipart/byteranges. It owns the descriptor."""

    __slots__ = ("_fd", "_pieces", "_place", "length")

    def __init__(self, fd: int, pieces: Sequence[bytes | Part]) -> None:
        self._fd = fd
        self._pieces = list(reversed(pieces))
        self._place = 0
        """Within the current piece."""
        self.length = sum(map(_length, pieces))

    def __repr__(self) -> str:
        return f"<PartsSource fd={self._fd} pieces={len(self._pieces)}>"

    def read(self, most: int) -> bytes:
        """The next bytes, of one piece; b"": the file has become shorter. Raises OSError."""
        piece = self._pieces[-1]
        left = _length(piece) - self._place
        if isinstance(piece, bytes):
            data = piece[self._place : self._place + most]
        else:
            data = os.pread(self._fd, min(most, left), piece[0] + self._place)
        self._place += len(data)
        if len(data) == left:
            self._pieces.pop()
            self._place = 0
        return data

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)


def _length(piece: bytes | Part) -> int:
    return len(piece) if isinstance(piece, bytes) else piece[1] - piece[0]


_OPENING: Final = b"\r\n--%b\r\nContent-Type: %b\r\nContent-Range: bytes %d-%d/%d\r\n\r\n"


def multipart(boundary: bytes, content_type: bytes, parts: Sequence[Part], length: int) -> list[bytes | Part]:
    """The pieces of a body of multipart/byteranges (RFC 9110 14.6)."""
    pieces: list[bytes | Part] = []
    for start, stop in parts:
        pieces += [_OPENING % (boundary, content_type, start, stop - 1, length), (start, stop)]
    pieces.append(b"\r\n--%b--\r\n" % boundary)
    return pieces
