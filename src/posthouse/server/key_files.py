"""Key files: what holds keys and passwords is opened here, so that the supervisor can read it for its workers.

With `--user` workers may not read what only root may. The supervisor's dry build notes what it opens (`noted`), and
that goes to the workers with the configuration.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from typing import BinaryIO, Final

MOST_BYTES: Final = 4 << 20
"""Of one file: more than any that is read here may have."""

Stamp = tuple[int, ...] | None
"""What changes when a file does; None: it is not there."""


class KeyFiles:
    """given  content by path, for files that were read by somebody else"""

    __slots__ = ("_is_noting", "given", "noted")

    def __init__(self, *, is_noting: bool = False) -> None:
        self.given: Mapping[str, bytes] = {}
        self.noted: dict[str, bytes] = {}
        self._is_noting = is_noting

    def __repr__(self) -> str:
        return f"<KeyFiles given={list(self.given)} noted={list(self.noted)}>"

    def open(self, path: str) -> BinaryIO:
        """A file to be read. Raises OSError, or ValueError for a path that can be none."""
        content = self.given.get(path)
        if content is not None:
            return io.BytesIO(content)
        file = open(path, "rb")  # noqa: SIM115
        if not self._is_noting:
            return file
        with file:
            content = file.read(MOST_BYTES)
        self.note(path, content)
        return io.BytesIO(content)

    def stamp(self, path: str) -> Stamp:
        """How the file looks now; of one that was read by somebody else, what is in it."""
        content = self.given.get(path)
        if content is not None:
            return tuple(hashlib.sha256(content).digest())
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def note(self, path: str, content: bytes) -> None:
        """Remember what is in a file that was read elsewhere, if that is wanted."""
        if self._is_noting:
            self.noted[path] = content
