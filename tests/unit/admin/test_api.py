"""What the admin socket answers to what it is asked, as bytes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from posthouse.admin import api
from posthouse.protocol.h1 import Codec


class Functions:
    async def status(self) -> api.Report:
        return {"pools": ["ä"]}

    async def upgrade(self) -> dict[str, object]:
        return {"error": "not now"}


def ask(head: str) -> tuple[bytes, list[bytes], Any]:
    data = head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n"
    lines, _, body = asyncio.run(api.answer(data, Functions(), Codec())).partition(b"\r\n\r\n")
    status, *fields = lines.split(b"\r\n")
    assert f"Content-Length: {len(body)}".encode() in fields
    assert b"Connection: close" in fields and b"Content-Type: application/json" in fields
    return status, fields, json.loads(body)


def test_status() -> None:
    status, _, report = ask("GET /status HTTP/1.1\nHost: localhost")
    assert (status, report) == (b"HTTP/1.1 200 OK", {"pools": ["ä"]})


@pytest.mark.parametrize(
    ("head", "status", "said"),
    [
        ("GET / HTTP/1.1\nHost: x", 404, "there is no '/'; there are /status"),
        ("GET /status? HTTP/1.1\nHost: x", 404, "there is no '/status?'"),
        ("GET //status HTTP/1.1\nHost: x", 404, "there is no '//status'"),
        ("POST /status HTTP/1.1\nHost: x", 405, "/status takes GET"),
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
    assert (b"Allow: GET" in fields) == (status == 405)


def test_what_was_not_done_is_no_200() -> None:
    status, _, body = ask("POST /upgrade HTTP/1.1\nHost: a")
    assert status.startswith(b"HTTP/1.1 422 ")
    assert body == {"error": "not now"}
    status, fields, _ = ask("GET /upgrade HTTP/1.1\nHost: a")
    assert status.startswith(b"HTTP/1.1 405 ") and b"Allow: POST" in fields
