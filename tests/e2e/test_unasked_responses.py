"""Answers that nobody asked for: a second one, bytes while idle, floods of 1xx, a 101 out of the blue.

Rules 7, 10, 12 and topic 2.5 of the specification of reliability.
"""

from __future__ import annotations

import pytest

from kit import BackendConnection, Request, Stage, request, response
from kit.tables import POISON

OK = b"HTTP/1.1 200 OK\r\n"
TE = b"Transfer-Encoding: chunked\r\n"

EXTRA = {
    "length": ("GET", response(200, body=b"fine"), b"fine"),
    "length-0": ("GET", response(200, body=b""), b""),
    "chunked": ("GET", OK + TE + b"\r\n4\r\nfine\r\n0\r\n\r\n", b"fine"),
    "head": ("HEAD", response(200, [("Content-Length", "6")], None), b""),
    "head-with-body": ("HEAD", response(200, body=b"abcdef"), b""),
    "head-chunked": ("HEAD", OK + TE + b"\r\n", b""),
    "204": ("GET", response(204, body=None), b""),
    "204-with-body": ("GET", response(204, body=None) + b"abcdef", b""),
    "304": ("GET", response(304, body=None), b""),
    "304-with-length": ("GET", response(304, [("Content-Length", "6")], None), b""),
    "304-with-body": ("GET", response(304, body=b"abcdef"), b""),
    "post": ("POST", response(200, body=b"fine"), b"fine"),
}


@pytest.mark.parametrize(("method", "data", "body"), list(EXTRA.values()), ids=list(EXTRA))
@pytest.mark.parametrize(
    "extra", [POISON, b"\r\n" + POISON, b"x", b"\r\n"], ids=["poison", "crlf-poison", "x", "crlf"]
)
def test_extra_bytes_after_an_answer(
    stage: Stage, method: str, data: bytes, body: bytes, extra: bytes
) -> None:
    """The first answer passes; what follows it makes the connection unusable."""
    stage.answer_bad(data + extra)
    with stage.client() as client:
        answer = client.exchange(request(method, "/bad", body=b"" if method == "POST" else None), method)
        assert answer.status < 400 and answer.body == body
        assert client.exchange(request("GET", "/next")).body == b"good /next"
    assert stage.backend.connections[0].wait_gone()
    stage.assert_unpoisoned()
    assert all(asked.connection != 0 for asked in stage.backend.requests[1:])


@pytest.mark.parametrize("status", [204, 304])
def test_204_has_no_length(stage: Stage, status: int) -> None:
    """RFC 9110 8.6: no Content-Length in 204; a 304 may tell the length that 200 would have."""
    stage.answer_bad(response(status, [("Content-Length", "6")], None))
    with stage.client() as client:
        answer = client.exchange(request("GET", "/bad"))
        assert answer.status == status or (status == 204 and answer.status == 502)
        if answer.status == 204:
            assert answer.all("Content-Length") == []
        assert client.exchange(request("GET", "/next")).body == b"good /next"
    stage.assert_unpoisoned()


@pytest.mark.parametrize(
    "data", [POISON, b"x", b"\r\n", b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"]
)
def test_bytes_on_an_idle_connection(stage: Stage, data: bytes) -> None:
    """Nobody asked: the connection is closed, and the next request gets a new one."""
    stage.answer_bad(b"")
    with stage.client() as client:
        assert client.exchange(request("GET", "/1")).body == b"good /1"
        idle = stage.backend.connections[0]
        idle.send(data)
        assert idle.wait_gone()
        assert client.exchange(request("GET", "/2")).body == b"good /2"
    stage.assert_unpoisoned()
    assert stage.backend.requests[1].connection == 1


# 1xx.


def test_103_passes_without_hop_by_hop_fields(stage: Stage) -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\r\n"
    stage.answer_bad(hint * 2 + response(200, body=b"fine"))
    with stage.client() as client:
        answer = client.exchange(request("GET", "/bad"))
    assert answer.body == b"fine"
    assert [one.status for one in answer.informational] == [103, 103]
    for one in answer.informational:
        assert one.field("Link") == b"</a>"
        assert one.names().isdisjoint({b"x-hop", b"keep-alive"})


def test_unexpected_100_stays_here(stage: Stage) -> None:
    stage.answer_bad(b"HTTP/1.1 100 Continue\r\n\r\n" + response(200, body=b"fine"))
    with stage.client() as client:
        answer = client.exchange(request("GET", "/bad"))
        assert (answer.body, answer.informational) == (b"fine", [])
        assert client.exchange(request("GET", "/next")).body == b"good /next"


def test_1xx_for_an_http_1_0_client_stays_here(stage: Stage) -> None:
    """RFC 9110 15.2: never send 1xx to a 1.0 client."""
    stage.answer_bad(b"HTTP/1.1 103 Early Hints\r\n\r\n" + response(200, body=b"fine"))
    with stage.client() as client:
        answer = client.exchange(request("GET", "/bad", version="HTTP/1.0"))
        assert (answer.body, answer.informational) == (b"fine", [])


def test_flood_of_1xx_ends(stage: Stage) -> None:
    def flood(asked: Request, connection: BackendConnection) -> bytes | None:
        if asked.target != b"/bad":
            return response(200, body=b"good " + asked.target)
        while not connection.ended:
            connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 100)
        return None

    stage.backend.on_request = flood
    assert stage.get("/bad").status == 502
    stage.assert_unpoisoned()


UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
SWITCHES = {
    "not-asked": ((), b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
    "without-upgrade": (UPGRADE, b"HTTP/1.1 101 S\r\n\r\n"),
    "without-connection": (UPGRADE, b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n"),
    "other-protocol": (UPGRADE, b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n"),
    "h2c": (UPGRADE, b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
}


@pytest.mark.parametrize(("fields", "data"), list(SWITCHES.values()), ids=list(SWITCHES))
def test_101_that_was_not_asked_for(stage: Stage, fields: list[tuple[str, str]], data: bytes) -> None:
    stage.answer_bad(data + POISON)
    with stage.client() as client:
        answer = client.exchange(request("GET", "/bad", fields))
        assert answer.status == 502
        stage.assert_next(client)
    stage.assert_unpoisoned()
