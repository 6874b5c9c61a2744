"""ErrorLog: one line for each error that we answer with, for sites with `errors`.

    24/Nov/2026:12:00:00 +0000 [ERROR 502 /api/items] http://127.0.0.1:9000: connect: Connection refused

The form of v1 up to 1.0.3 (1.0.4 left out the time). The path is escaped to one word, the cause to one line.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from posthouse.observe.access_lines import escaped
from posthouse.observe.timestamps import Seconds, common_time_bytes

_seconds = Seconds(common_time_bytes)


class LineSink(Protocol):
    """`access_log.AccessLog`."""

    def write(self, line: bytes, /) -> None: ...


def error_line(status: int, path: str, cause: str, wall: float) -> bytes:
    """The line, without a line break. `path`: decoded, as matchers see it; `cause`: what went wrong."""
    shown = escaped(path.encode("utf-8", "surrogateescape")).replace(b" ", b"\\x20").replace(b"]", b"\\x5D")
    why = escaped(cause.encode("utf-8", "surrogateescape"))
    return b"%b [ERROR %d %b] %b" % (_seconds[int(wall)], status, shown or b"-", why)


class ErrorLog:
    """Error lines to one sink."""

    __slots__ = ("_sink", "_wall")

    def __init__(self, sink: LineSink, *, wall: Callable[[], float] = time.time) -> None:
        self._sink = sink
        self._wall = wall

    def write(self, status: int, path: str, cause: str) -> None:
        """Write the line of an error."""
        self._sink.write(error_line(status, path, cause, self._wall()) + b"\n")
