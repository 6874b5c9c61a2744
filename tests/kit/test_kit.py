"""The kit judges Posthouse, so it is judged first: client and backend talk to each other directly."""

from __future__ import annotations

import socket

import pytest

from kit import (
    BackendConnection,
    BadMessage,
    RawClient,
    Request,
    ScriptedBackend,
    Truncated,
    chunk,
    request,
    response,
)
from kit.posthouse import RefusingPort


def test_client_and_backend_agree(backend: ScriptedBackend) -> None:
    with RawClient(backend.port) as client:
        for body in (b"", b"x" * 100_000):
            answer = client.exchange(request("POST", "/a", [("X-A", "1")], body))
            assert (answer.status, answer.body, answer.framing) == (200, b"ok", "length")
        client.send(request("POST", "/b", [("Transfer-Encoding", "chunked")]))
        client.send_pieces(chunk(b"ab", b"c", trailers=[("T", "1")]))
        assert client.read_response().status == 200
        assert client.is_open()
    assert [asked.body for asked in backend.requests] == [b"", b"x" * 100_000, b"abc"]
    assert backend.requests[2].trailers == [(b"T", b"1")]
    assert backend.violations == []


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n b: c\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n1",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\na\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\naXX0\r\n\r\n",
    ],
)
def test_backend_notices_what_is_not_normal(backend: ScriptedBackend, data: bytes) -> None:
    with RawClient(backend.port) as client:
        client.send(data)
        assert client.end(2) in ("fin", "rst")
    assert len(backend.violations) == 1
    assert backend.requests == []


def test_client_tells_the_ends_apart(backend: ScriptedBackend) -> None:
    def cut(asked: Request, connection: BackendConnection) -> None:
        connection.send(response(200, body=b"12345")[:-2])
        connection.reset() if asked.target == b"/rst" else connection.close()

    backend.on_request = cut
    for how in ("fin", "rst"):
        with RawClient(backend.port) as client, pytest.raises(Truncated) as ended:
            client.exchange(request("GET", f"/{how}"))
        assert ended.value.how == how
        if how == "fin":
            assert ended.value.partial is not None and ended.value.partial.body == b"123"


def test_client_refuses_what_is_not_normal(backend: ScriptedBackend) -> None:
    backend.on_request = lambda asked, connection: b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"
    with RawClient(backend.port) as client, pytest.raises(BadMessage):
        client.exchange(request())


def test_a_head_is_waited_for_while_its_body_is_still_coming(backend: ScriptedBackend) -> None:
    with RawClient(backend.port) as client:
        client.send(request("POST", "/half", [("Content-Length", "10")]) + b"12345")
        head = backend.wait_head(b"/half")
        assert backend.wait_heads(1) == [head] and backend.requests == []
        (connection,) = backend.connections
        assert connection.wait_received(len(head.raw_head) + 5).endswith(b"12345")
        with pytest.raises(AssertionError, match="bytes came"):
            connection.wait_received(len(head.raw_head) + 6, timeout=0.01)
        with pytest.raises(AssertionError, match="1 of 2 heads"):
            backend.wait_heads(2, timeout=0.01)
        client.reset()
        assert connection.wait_gone()
    assert backend.unfinished == [head]


def test_what_a_connection_learns_after_clear_is_not_told_to_the_next_test(backend: ScriptedBackend) -> None:
    with RawClient(backend.port) as client:
        client.send(request("POST", "/half", [("Content-Length", "10")]) + b"12345")
        backend.wait_head(b"/half")
        (connection,) = backend.connections
        with backend.changed:  # its thread cannot take in the end before everything is forgotten
            backend.clear()
        assert connection.wait_gone()
    assert (backend.heads, backend.requests, backend.unfinished, backend.violations) == ([], [], [], [])


def test_a_refusing_port_refuses_and_is_nobody_elses() -> None:
    with RefusingPort() as port:
        with pytest.raises(ConnectionRefusedError):
            RawClient(port.number)
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port.number))
        with socket.create_server(("127.0.0.1", port.number)) as server, RawClient(port.number):
            server.accept()[0].close()
