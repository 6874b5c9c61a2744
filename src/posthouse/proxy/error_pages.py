"""ErrorHandler: `errors` of a site at work. Pages for the statuses that we answer ourselves, and their log.

A page is read when it is needed and kept as long as its file stays the same, so that a new one counts at once. One
that is missing, no regular file or larger than PAGE_BYTES is not used: the client gets the status as text, and the
process log says why.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Mapping
from typing import Final

from posthouse.observe.error_log import ErrorLog, error_line
from posthouse.observe.process_log import ONCE_A_MINUTE, ProcessLog

PAGE_BYTES: Final = 1 << 20
"""Largest page: it is sent from memory, with each error."""
ANY: Final = 0
"""The status that stands for `*`."""

_HTML = b"text/html; charset=utf-8"
_TEXT = b"text/plain; charset=utf-8"
_TYPES = {".json": b"application/json", ".txt": _TEXT, ".xml": b"application/xml"}
"""Of pages that are not HTML; everything is HTML in v1."""

_Stamp = tuple[int, int, int, int]


class ErrorPages:
    """Pages by status, ANY for the rest; relative names belong to `folder`."""

    __slots__ = ("_kept", "_log", "_pages")

    def __init__(self, pages: Mapping[int, str], folder: str, log: ProcessLog) -> None:
        self._pages = {status: os.path.join(folder, name) for status, name in pages.items()}
        self._log = log
        self._kept: dict[str, tuple[_Stamp, bytes]] = {}

    def __repr__(self) -> str:
        return f"<ErrorPages {self._pages}>"

    def missing(self) -> list[tuple[str, str]]:
        """(file, reason) of the pages that could not be used now."""
        found = []
        for path in self._pages.values():
            try:
                self._read(path)
            except OSError as error:
                found.append((path, _reason(error)))
        return found

    def find(self, status: int) -> tuple[bytes, bytes] | None:
        """Content type and body of the page for a status."""
        path = self._pages.get(status) or self._pages.get(ANY)
        if path is None:
            return None
        try:
            body = self._read(path)
        except OSError as error:
            self._kept.pop(path, None)
            self._log.error(
                "error page not used", key=path, limit=ONCE_A_MINUTE, page=path, error=_reason(error)
            )
            return None
        return _TYPES.get(os.path.splitext(path)[1].lower(), _HTML), body

    def _read(self, path: str) -> bytes:
        """Raises OSError."""
        there = os.stat(path)
        stamp = (there.st_dev, there.st_ino, there.st_size, there.st_mtime_ns)
        kept = self._kept.get(path)
        if kept is not None and kept[0] == stamp:
            return kept[1]
        # What is no regular file must not be opened: a FIFO would wait for its writer.
        if not stat.S_ISREG(there.st_mode):
            raise OSError("it is not a regular file")
        if there.st_size > PAGE_BYTES:
            raise OSError(f"it has {there.st_size} bytes, more than {PAGE_BYTES}")
        with open(path, "rb") as file:
            body = file.read(PAGE_BYTES)
        self._kept[path] = stamp, body
        return body


class ErrorHandler:
    """Who is asked by the exchanges of a site with `errors`."""

    __slots__ = ("_is_visible", "_log", "_pages", "_wall")

    def __init__(
        self,
        pages: ErrorPages,
        log: ErrorLog | None,
        *,
        is_visible: bool = False,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """log: None where errors are shown to the client instead (`visible`)."""
        self._pages = pages
        self._log = log
        self._is_visible = is_visible
        self._wall = wall

    def body(self, status: int, path: str, cause: str) -> tuple[bytes, bytes] | None:
        """Content type and body that go with a status of ours; None: the status as text."""
        if status < 400:
            return None
        if self._is_visible and cause:
            return _TEXT, error_line(status, path, cause, self._wall()) + b"\n"
        return self._pages.find(status)

    def log(self, status: int, path: str, cause: str) -> None:
        """Write the line of an error; `path` as it is now, rewritten."""
        if self._log is not None:
            self._log.write(status, path, cause)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
