"""The upstream of the upload row: reads each request's body to its end, then answers; run as a program.

nginx answers before it has read a body, which would measure early answers instead of uploads.
    python -m benchmarks.sink PORT
"""

from __future__ import annotations

import asyncio
import re
import sys
from typing import cast

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\ndone\n"
LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


class Sink(asyncio.BufferedProtocol):
    """One connection; bodies by Content-Length only, one request after the other."""

    def __init__(self) -> None:
        self._buffer = bytearray(256 * 1024)
        self._head = b""
        self._left = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast: uvloop's transport is no subclass of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._left == 0:
            self._head += self._buffer[:nbytes]
            head, blank, rest = self._head.partition(b"\r\n\r\n")
            if not blank:
                return
            found = LENGTH.search(head)
            self._head = b""
            self._left = int(found.group(1)) if found else 0
            nbytes = len(rest)
        self._left -= nbytes
        if self._left <= 0 and self._transport is not None:
            self._left = 0
            self._transport.write(ANSWER)


async def serve(port: int) -> None:
    """Accept on the loopback port until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


def main() -> None:
    """Serve on uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve(int(sys.argv[1])))
    else:
        uvloop.run(serve(int(sys.argv[1])))


if __name__ == "__main__":
    main()
