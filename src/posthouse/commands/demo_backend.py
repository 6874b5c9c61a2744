"""One of the demo's backends: a small web server in a process of its own, so that it can be killed.

    python -m posthouse.commands.demo_backend NAME

prints its port and serves until its stdin ends, which it does when the demo is gone. Understands just enough
HTTP/1.1 for a proxy in front of it; it is no example of how to write a server.
"""

from __future__ import annotations

import asyncio
import html
import os
import sys

COLOURS = {"one": "#b3541e", "two": "#2f6f4f", "three": "#33508a"}
TICK_SECONDS = 1.0

Head = list[str]
"""The lines of a request's head: request line, then fields."""


class DemoBackend:
    """Answers `/` with a page, `/events` with an endless stream, anything else with 404."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.requests = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, request after request."""
        try:
            while (head := await _read_head(reader)) is not None:
                self.requests += 1
                path = head[0].split(" ")[1].partition("?")[0]
                if path == "/events":
                    await self._stream(writer)
                status, body = ("200 OK", self.page(head)) if path == "/" else ("404 Not Found", "not here\n")
                writer.write(answer(status, body, is_head=head[0].startswith("HEAD ")))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, IndexError, ValueError):
            pass  # the proxy left, or it was no request
        finally:
            writer.close()

    def page(self, head: Head) -> str:
        """Who answers, and the request as it arrived."""
        colour = COLOURS.get(self.name, "#444")
        arrived = html.escape("\n".join(head))
        return (
            f'<!doctype html><meta charset="utf-8"><title>backend {self.name}</title>\n'
            f'<body style="font-family:sans-serif;margin:3em;color:{colour}">\n'
            f"<h1>backend {self.name}</h1>\n<p>pid {os.getpid()}, request {self.requests}. Reload the page:"
            f" the backends take turns.</p>\n<h2>the request as it arrived here</h2>\n<pre>{arrived}</pre>\n"
        )

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        """Server-sent events, one a second, until the reader leaves."""
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Cache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        number = 0
        while True:
            number += 1
            event = f"data: event {number} of backend {self.name}\n\n".encode()
            writer.write(b"%x\r\n%b\r\n" % (len(event), event))
            await writer.drain()
            await asyncio.sleep(TICK_SECONDS)


def answer(status: str, body: str, *, is_head: bool = False) -> bytes:
    """A whole response."""
    data = body.encode()
    kind = "text/html; charset=utf-8" if body.startswith("<") else "text/plain; charset=utf-8"
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n".encode()
    return head if is_head else head + data


async def _read_head(reader: asyncio.StreamReader) -> Head | None:
    """The next request's head, with its body read and dropped; None when the connection ended before one."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    if fields.get("transfer-encoding", "").lower() == "chunked":
        while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            await reader.readexactly(size + 2)
        while (await reader.readuntil(b"\r\n")) != b"\r\n":
            pass
    else:
        await reader.readexactly(int(fields.get("content-length", "0")))
    return head


async def run(name: str) -> None:
    """Serve on a free loopback port until stdin ends."""
    server = await asyncio.start_server(DemoBackend(name).serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()
    # Whatever still streams ends with the process; cancelling it would print a traceback over the demo.
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1]))
