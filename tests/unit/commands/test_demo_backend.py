"""The demo's backend: enough HTTP/1.1 for a proxy in front of it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from posthouse.commands import demo_backend
from posthouse.commands.demo_backend import DemoBackend, answer


def talk(sent: bytes, until: bytes = b"") -> bytes:
    """What a backend answers to these bytes; up to `until`, or to the end of the connection."""

    async def conversation() -> bytes:
        server = await asyncio.start_server(DemoBackend("one").serve, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(sent)
            if until:
                heard = await reader.readuntil(until)
            else:
                writer.write_eof()
                heard = await reader.read()
            writer.close()
            await writer.wait_closed()
        return heard

    return within(conversation())


def within(conversation: Coroutine[Any, Any, bytes]) -> bytes:
    return asyncio.run(asyncio.wait_for(conversation, 10))


def test_the_page_shows_who_and_what_arrived() -> None:
    heard = talk(b"GET /?x=1 HTTP/1.1\r\nHost: a.test\r\nX-Evil: <script>\r\n\r\n")
    assert heard.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"<h1>backend one</h1>" in heard
    assert b"X-Evil: &lt;script&gt;" in heard
    assert b"GET /?x=1 HTTP/1.1\nHost: a.test" in heard


def test_one_connection_several_requests_bodies_are_skipped() -> None:
    heard = talk(
        b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
        b"POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n"
        b"HEAD / HTTP/1.1\r\n\r\n"
    )
    assert heard.count(b"HTTP/1.1 404 Not Found") == 2
    assert heard.count(b"HTTP/1.1 200 OK") == 1
    assert heard.endswith(b"\r\n\r\n"), "HEAD has no body"


def test_events_come_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_backend, "TICK_SECONDS", 0.0)
    heard = talk(b"GET /events HTTP/1.1\r\n\r\n", until=b"event 3 of backend one\n\n\r\n")
    assert b"Content-Type: text/event-stream" in heard
    assert heard.count(b"data: event ") == 3


@pytest.mark.parametrize(
    "sent", [b"", b"GET", b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"]
)
def test_nonsense_ends_the_connection(sent: bytes) -> None:
    assert talk(sent) == b""


def test_answer() -> None:
    assert answer("200 OK", "ü").endswith(b"Content-Length: 2\r\n\r\n\xc3\xbc")
    assert answer("200 OK", "x", is_head=True).endswith(b"Content-Length: 1\r\n\r\n")
