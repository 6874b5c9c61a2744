"""What the admin socket answers to what it is asked, as bytes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from posthouse.admin import api
from posthouse.protocol.h1 import Codec


class Functions:
    async def status(self) -> api.Report:
        return {"pools": ["ä"]}

    async def order(self, asked: Mapping[str, str]) -> api.Report:
        return {"error": "no", "hint": None} if not asked else dict(asked)

    async def upgrade(self) -> dict[str, object]:
        return {"error": "not now"}

    async def metrics(self, accept: bytes | None) -> api.Text:
        await asyncio.sleep(0)
        return api.Text(200, "text/plain", b"for " + (accept or b"anybody"))

    def health(self) -> api.Text:
        return api.Text(200, "text/plain", b"alive")

    def ready(self) -> api.Text:
        return api.Text(503, "text/plain", b"not ready")

    async def reload(self) -> api.Report:
        await asyncio.sleep(0)
        return self.reloaded

    def __init__(self, reloaded: api.Report | None = None) -> None:
        self.reloaded = reloaded or {}


def ask(head: str, reloaded: api.Report | None = None) -> tuple[bytes, list[bytes], Any]:
    data = head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n"
    lines, _, body = asyncio.run(api.answer(data, Functions(reloaded), Codec())).partition(b"\r\n\r\n")
    status, *fields = lines.split(b"\r\n")
    assert f"Content-Length: {len(body)}".encode() in fields
    assert b"Connection: close" in fields and b"Content-Type: application/json" in fields
    return status, fields, json.loads(body)


def test_status() -> None:
    status, _, report = ask("GET /status HTTP/1.1\nHost: localhost")
    assert (status, report) == (b"HTTP/1.1 200 OK", {"pools": ["ä"]})


def test_while_a_long_report_is_written_others_have_their_turns() -> None:
    report: api.Report = {"numbers": list(range(4 * api.PIECES_AT_ONCE))}
    turns = 0

    async def asked() -> bytes:
        loop = asyncio.get_running_loop()

        def turn() -> None:
            nonlocal turns
            turns += 1
            loop.call_soon(turn)

        functions = Functions()
        functions.status = lambda: report  # type: ignore[assignment, method-assign, return-value]
        loop.call_soon(turn)
        return await api.answer(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n", functions, Codec())

    _, _, body = asyncio.run(asked()).partition(b"\r\n\r\n")
    assert json.loads(body) == report
    assert turns >= 4


def test_an_order_is_a_query() -> None:
    status, _, report = ask(
        "POST /backend?order=drain&pool=a+b%2F&backend=%C3%A4&weight= HTTP/1.1\nHost: localhost"
    )
    assert status == b"HTTP/1.1 200 OK"
    assert report == {"order": "drain", "pool": "a b/", "backend": "ä", "weight": ""}
    status, _, report = ask("POST /backend HTTP/1.1\nHost: localhost\nContent-Length: 0")
    assert (status, report["error"]) == (b"HTTP/1.1 422 Unprocessable Entity", "no")


def test_reload() -> None:
    """Who asks can tell by the status alone whether the new configuration serves."""
    asked = "POST /reload HTTP/1.1\nHost: localhost"
    assert ask(asked, {"generation": 2})[::2] == (b"HTTP/1.1 200 OK", {"generation": 2})
    status, _, report = ask(asked, {"error": "1 mistake"})
    assert (status, report) == (b"HTTP/1.1 422 Unprocessable Entity", {"error": "1 mistake"})


@pytest.mark.parametrize(
    ("head", "status", "said"),
    [
        ("GET / HTTP/1.1\nHost: x", 404, "there is no '/'; there are /status, /reload, /upgrade, /backend"),
        ("GET /status? HTTP/1.1\nHost: x", 404, "there is no '/status?'"),
        ("GET //status HTTP/1.1\nHost: x", 404, "there is no '//status'"),
        ("POST /status HTTP/1.1\nHost: x", 405, "/status takes GET"),
        ("GET /reload HTTP/1.1\nHost: x", 405, "/reload takes POST"),
        ("GET /status HTTP/1.1\nHost: x\nContent-Length: 3", 400, "no request of this API has a body"),
        ("GET /status HTTP/1.1", 400, "missing Host"),
        ("GET /status HTTP/2.0\nHost: x", 400, "version is neither"),
        ("nonsense", 400, "malformed request line"),
        ("GET /status HTTP/1.1\nHost: x\n" + "\n".join(["A: b"] * 40), 431, ""),
        ("GET /status HTTP/1.1\nHost: x\nA: " + "b" * api.HEAD_BYTES, 431, ""),
    ],
)
def test_refused(head: str, status: int, said: str) -> None:
    line, fields, report = ask(head)
    assert line.startswith(f"HTTP/1.1 {status} ".encode())
    assert list(report) == ["error"] and said in report["error"]
    allowed = said.rpartition(" ")[2].encode()
    assert (b"Allow: " + allowed in fields) == (status == 405)


def raw(head: str, paths: tuple[str, ...] = tuple(api.ENDPOINTS)) -> tuple[bytes, bytes]:
    """First line and body."""
    data = head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n"
    lines, _, body = asyncio.run(api.answer(data, Functions(), Codec(), paths)).partition(b"\r\n\r\n")
    return lines.split(b"\r\n")[0], body


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/metrics", b"HTTP/1.1 200 OK", b"for anybody"),
        ("/health", b"HTTP/1.1 200 OK", b"alive"),
        ("/ready", b"HTTP/1.1 503 Service Unavailable", b"not ready"),
    ],
)
def test_texts(path: str, status: bytes, body: bytes) -> None:
    assert raw(f"GET {path} HTTP/1.1\nHost: x") == (status, body)
    assert raw(f"HEAD {path} HTTP/1.1\nHost: x") == (status, b"")
    assert raw(f"POST {path} HTTP/1.1\nHost: x")[0] == b"HTTP/1.1 405 Method Not Allowed"


def test_the_format_is_asked_for() -> None:
    assert raw("GET /metrics HTTP/1.1\nHost: x\nAccept: application/openmetrics-text")[1].startswith(
        b"for app"
    )


def test_what_is_public_tells_and_changes_nothing() -> None:
    assert set(api.PUBLIC) == {"/metrics", "/health", "/ready"}
    for path in api.ENDPOINTS:
        line, body = raw(f"GET {path} HTTP/1.1\nHost: x", api.PUBLIC)
        assert (b" 404 " in line) == (path not in api.PUBLIC)
        if path not in api.PUBLIC:
            assert b"there are /metrics, /health, /ready" in body
    for path in api.PUBLIC:
        assert set(api.ENDPOINTS[path]) == {"GET", "HEAD"}


def test_what_was_not_done_is_no_200() -> None:
    status, _, body = ask("POST /upgrade HTTP/1.1\nHost: a")
    assert status.startswith(b"HTTP/1.1 422 ")
    assert body == {"error": "not now"}
    status, fields, _ = ask("GET /upgrade HTTP/1.1\nHost: a")
    assert status.startswith(b"HTTP/1.1 405 ") and b"Allow: POST" in fields
