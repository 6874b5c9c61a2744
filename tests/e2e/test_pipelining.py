"""Pipelined requests: one at a time, answered in order, and nothing is read after an end.

Topic 2.4 of the specification of reliability.
"""

from __future__ import annotations

import threading

import pytest

from kit import BackendConnection, Request, Stage, chunk, request, response, wait_still
from kit.tables import SMUGGLED


def echo(asked: Request, connection: BackendConnection) -> bytes:
    """The target and body come back; a second request before the answer would be a violation."""
    if connection.buffer:
        connection.backend.violate(f"pipelined upstream: {bytes(connection.buffer[:80])!r}")
    body = asked.method + b" " + asked.target + b" " + asked.body
    return response(200, body=body)[: -len(body) if asked.method == b"HEAD" else None]


def test_twenty_in_one_write(stage: Stage) -> None:
    stage.backend.on_request = echo
    with stage.client() as client:
        client.send(b"".join(request("GET", f"/{number}") for number in range(20)))
        for number in range(20):
            assert client.read_response().body == b"GET /%d " % number
        assert client.is_open()
    assert [asked.target for asked in stage.backend.requests] == [b"/%d" % number for number in range(20)]
    assert stage.backend.violations == []


@pytest.mark.parametrize("pieces", [0, 1, 17], ids=["whole", "bytewise", "17-bytes"])
def test_bodies_and_methods_mixed(stage: Stage, pieces: int) -> None:
    stage.backend.on_request = echo
    chunked = [("Transfer-Encoding", "chunked")]
    data = b"".join(
        (
            request("POST", "/1", body=b"one" + SMUGGLED),
            request("POST", "/2", chunked) + chunk(b"t", b"wo"),
            request("HEAD", "/3"),
            b"\r\n" + request("GET", "/4"),
            request("PUT", "/5", chunked) + chunk(b"five", trailers=[("X-T", "1")]),
            request("DELETE", "/6", body=b""),
            request("HEAD", "/7", body=b"seven"),
            request("GET", "/8", [("Connection", "close")]),
        )
    )
    with stage.client() as client:
        if pieces:
            client.send_pieces(data, pieces)
        else:
            client.send(data)
        assert client.read_response().body == b"POST /1 one" + SMUGGLED
        assert client.read_response().body == b"POST /2 two"
        assert client.read_response("HEAD").field("Content-Length") == b"8"
        assert client.read_response().body == b"GET /4 "
        assert client.read_response().body == b"PUT /5 five"
        assert client.read_response().body == b"DELETE /6 "
        assert client.read_response("HEAD").field("Content-Length") in (b"13", b"8")
        assert client.read_response().body == b"GET /8 "
        assert client.end() == "fin"
    assert stage.backend.violations == []


def test_second_waits_for_the_answer_to_the_first(stage: Stage) -> None:
    may_answer, in_flight, most = threading.Event(), [0], [0]

    def slow(asked: Request, connection: BackendConnection) -> bytes:
        in_flight[0] += 1
        most[0] = max(most[0], in_flight[0])
        may_answer.wait(5)
        in_flight[0] -= 1
        return echo(asked, connection)

    stage.backend.on_request = slow
    with stage.client() as client:
        client.send(request("GET", "/1") + request("GET", "/2") + request("GET", "/3"))
        stage.backend.wait_requests(1)
        assert client.is_open(0.1)
        assert len(stage.backend.requests) == 1
        may_answer.set()
        assert [client.read_response().body for _ in range(3)] == [b"GET /1 ", b"GET /2 ", b"GET /3 "]
    assert most == [1]


BAD = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: site.test\r\nBad : 1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 1, 1\r\n\r\n",
    b"GET / HTTP/3.0\r\nHost: site.test\r\n\r\n",
    b"garbage\r\n\r\n",
    b"\r\n\r\n\r\n\0",
]


@pytest.mark.parametrize("bad", BAD, ids=repr)
@pytest.mark.parametrize("pieces", [0, 1], ids=["whole", "bytewise"])
def test_good_bad_good(stage: Stage, bad: bytes, pieces: int) -> None:
    """Exactly one reaches the backend, then 400, then the end."""
    stage.backend.on_request = echo
    data = request("GET", "/good") + bad + SMUGGLED
    with stage.client() as client:
        if pieces:
            client.send_pieces(data, pieces)
        else:
            client.send(data)
        assert client.read_response().body == b"GET /good "
        assert client.read_response().status in (400, 505)
        assert client.end() in ("fin", "rst")
        assert client.buffer == b""
    assert [asked.target for asked in stage.backend.requests] == [b"/good"]
    assert stage.backend.violations == []


@pytest.mark.parametrize(
    "first",
    [
        request("GET", "/last", [("Connection", "close")]),
        request("GET", "/last", [("Connection", "x"), ("connection", "foo ,\tCLOSE")]),
        request("GET", "/last", version="HTTP/1.0"),
        request("POST", "/last", [("Connection", "close")], b"body"),
    ],
    ids=["close", "second-line", "http-1.0", "post"],
)
def test_nothing_is_read_after_the_last_request(stage: Stage, first: bytes) -> None:
    with stage.client() as client:
        client.send(first + SMUGGLED)
        assert client.read_response().body == b"ok"
        assert client.end() in ("fin", "rst")
        assert client.buffer == b""
    assert [asked.target for asked in stage.backend.requests] == [b"/last"]


def test_backend_that_closes_does_not_end_the_client(stage: Stage) -> None:
    """`Connection: close` of a backend is about its own connection."""

    def once(asked: Request, connection: BackendConnection) -> None:
        connection.send(response(200, [("Connection", "close")], asked.target))
        connection.close()

    stage.backend.on_request = once
    with stage.client() as client:
        client.send(b"".join(request("GET", f"/{number}") for number in range(5)))
        assert [client.read_response().body for _ in range(5)] == [b"/%d" % number for number in range(5)]
        assert client.is_open()
    assert len(stage.backend.connections) == 5


def test_reader_that_stalls_holds_the_pipeline(stage: Stage) -> None:
    """800 pipelined answers of 64 KiB, none read at first: memory stays small, then everything arrives."""
    body = bytes(range(256)) * 256
    stage.backend.on_request = lambda asked, connection: response(200, body=body)
    before = stage.posthouse.memory()
    with stage.client() as client:
        client.send(b"".join(request("GET", f"/{number}") for number in range(800)))
        served = wait_still(lambda: len(stage.backend.requests))
        assert 0 < served < 800
        assert stage.posthouse.memory() - before < 16 << 20
        for _ in range(800):
            assert client.read_response().body == body
    assert stage.posthouse.memory() - before < 16 << 20
