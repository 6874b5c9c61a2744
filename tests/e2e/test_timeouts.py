"""Every wait has an end, and a wait that ends says so: 408 to a slow client, 504 for a slow backend.

Rule 11 and topic 2.11 of the specification of reliability; the table of limits. Configured values are small;
what is measured is that the right thing ends, not too early, and within a second of its time.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest

from kit import (
    BackendConnection,
    Posthouse,
    Request,
    ScriptedBackend,
    Stage,
    Truncated,
    chunk,
    get,
    request,
    response,
)

LIMIT = 0.4

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    timeouts {
        header 400ms
        body 400ms
    }
    proxy / BACKEND {
        fail_timeout 1m
        max_fails 1
    }
}
http://:PORT2 {
    bind 127.0.0.1
    timeouts {
        idle 400ms
    }
    proxy / BACKEND
}
http://:PORT3 {
    bind 127.0.0.1
    proxy / BACKEND {
        response_timeout 400ms
    }
    proxy /body BACKEND {
        idle_timeout 400ms
    }
    proxy /whole BACKEND {
        exchange_timeout 400ms
    }
    proxy /tunnel BACKEND {
        tunnel_timeout 400ms
    }
}
http://:PORT4 {
    bind 127.0.0.1
    timeouts {
        read 400ms
    }
    proxy / BACKEND
}
http://:PORT5 {
    bind 127.0.0.1
    timeouts {
        write 400ms
    }
    proxy / BACKEND
}
"""


class Stopwatch:
    """Did it take the limit, no less and not more than a second longer?"""

    def __init__(self) -> None:
        self.started = time.monotonic()

    def assert_on_time(self) -> None:
        took = time.monotonic() - self.started
        assert LIMIT * 0.9 <= took < LIMIT + 1.0, f"took {took:.2f} s"


def never(asked: Request, connection: BackendConnection) -> None:
    """No answer until the other side has gone."""
    connection.wait_end()
    connection.close()


# The client is slow.


def test_head_in_total(stage: Stage) -> None:
    """A byte now and then does not help."""
    with stage.client() as client:
        watch = Stopwatch()
        client.send(b"GET / HTTP/1.1\r\nHost: site.test\r\n")
        while client.end(0.05) == "open" and not client.buffer:
            client.send(b"X")
        watch.assert_on_time()
        assert client.read_response().status == 408
        assert client.end() in ("fin", "rst")
    assert stage.backend.connections == []


def test_head_of_a_second_request(stage: Stage) -> None:
    with stage.client() as client:
        assert client.exchange(request("GET", "/")).status == 200
        watch = Stopwatch()
        client.send(b"GET / HTT")
        assert client.read_response().status == 408
        watch.assert_on_time()
        assert client.end() in ("fin", "rst")


def test_many_dripping_heads_hold_nothing(stage: Stage) -> None:
    """50 clients drip; others are served meanwhile, and no upstream connection waits for a head."""
    dripping = [stage.client() for _ in range(50)]
    for client in dripping:
        client.send(b"GET / HTTP/1.1\r\n")
    watch = time.monotonic()
    for _ in range(5):
        assert stage.get("/quick").status == 200
    assert time.monotonic() - watch < 1
    for client in dripping:
        assert client.read_response().status == 408
        client.close()
    assert len(stage.backend.requests) == 5
    assert len(stage.backend.connections) == 1


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_body_that_stops(stage: Stage, is_chunked: bool) -> None:
    framing = ("Transfer-Encoding", "chunked") if is_chunked else ("Content-Length", "100")
    with stage.client() as client:
        client.send(request("POST", "/", [framing]) + b"5\r\nhello\r\n")
        watch = Stopwatch()
        assert client.read_response().status == 408
        watch.assert_on_time()
        assert client.end() in ("fin", "rst")
    assert stage.backend.connections[0].wait_gone()
    assert stage.backend.requests == []
    stage.assert_serves()


def test_body_that_moves_may_take_longer(stage: Stage) -> None:
    """The limit is per byte, not in total."""
    with stage.client() as client:
        client.send(request("POST", "/", [("Content-Length", "8")]))
        for _ in range(8):
            assert client.end(LIMIT / 4) == "open"
            client.send(b"a")
        assert client.read_response().status == 200
    assert stage.backend.requests[0].body == b"aaaaaaaa"


def test_wait_for_the_backend_is_not_the_clients_fault(stage: Stage) -> None:
    """The body timer rests while the backend does not read, and after the body is complete."""

    def slow(asked: Request, connection: BackendConnection) -> bytes:
        connection.wait_end(LIMIT * 2)
        return response(200)

    stage.backend.on_request = slow
    with stage.client() as client:
        assert client.exchange(request("POST", "/", body=b"body")).status == 200


def test_idle_connection_is_closed_without_a_word(stage: Stage) -> None:
    with stage.client(stage.posthouse.named_port("PORT2")) as client:
        assert client.exchange(request("GET", "/")).status == 200
        watch = Stopwatch()
        assert client.end() == "fin"
        watch.assert_on_time()
        assert client.buffer == b""


def test_idle_timer_rests_during_an_exchange(stage: Stage) -> None:
    def slow(asked: Request, connection: BackendConnection) -> bytes:
        connection.wait_end(LIMIT * 2)
        return response(200)

    stage.backend.on_request = slow
    with stage.client(stage.posthouse.named_port("PORT2")) as client:
        assert client.exchange(request("GET", "/")).status == 200
        assert client.is_open()


def test_read_is_the_whole_request(stage: Stage) -> None:
    with stage.client(stage.posthouse.named_port("PORT4")) as client:
        watch = Stopwatch()
        client.send(request("POST", "/", [("Content-Length", "1000")]))
        while client.end(0.05) == "open" and not client.buffer:
            client.send(b"a")
        watch.assert_on_time()
        assert client.end() in ("fin", "rst")
    assert stage.backend.requests == []


def test_write_is_the_whole_response(stage: Stage) -> None:
    def drip(asked: Request, connection: BackendConnection) -> None:
        connection.send(response(200, [("Content-Length", "1000")], None))
        while connection.wait_end(0.05) == "open":
            connection.send(b"a")
        connection.close()

    stage.backend.on_request = drip
    with stage.client(stage.posthouse.named_port("PORT5")) as client:
        watch = Stopwatch()
        with pytest.raises(Truncated):
            client.exchange(request("GET", "/"))
        watch.assert_on_time()


# The backend is slow.


def upstream(stage: Stage) -> int:
    return stage.posthouse.named_port("PORT3")


@pytest.mark.parametrize("target", ["/", "/whole"], ids=["response_timeout", "exchange_timeout"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_silent_backend(stage: Stage, target: str, method: str) -> None:
    stage.backend.on_request = never
    with stage.client(upstream(stage)) as client:
        watch = Stopwatch()
        assert client.exchange(request(method, target, body=b"a" if method == "POST" else None)).status == 504
        watch.assert_on_time()
    assert stage.backend.connections[0].wait_gone()
    assert len(stage.backend.requests) == 1
    stage.posthouse.wait_stderr(r" ERROR .*(response|exchange)_timeout")


def test_half_a_head_does_not_count_as_an_answer(stage: Stage) -> None:
    def half(asked: Request, connection: BackendConnection) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nContent-")
        never(asked, connection)

    stage.backend.on_request = half
    with stage.client(upstream(stage)) as client:
        watch = Stopwatch()
        assert client.exchange(request("GET", "/")).status == 504
        watch.assert_on_time()


@pytest.mark.parametrize("framing", ["length", "chunked", "none"])
def test_body_of_a_response_that_stops(stage: Stage, framing: str) -> None:
    fields = {"length": [("Content-Length", "10")], "chunked": [("Transfer-Encoding", "chunked")], "none": []}
    part = chunk(b"01234", last=False) if framing == "chunked" else b"01234"

    def stop(asked: Request, connection: BackendConnection) -> None:
        connection.send(response(200, fields[framing], None) + part)
        never(asked, connection)

    stage.backend.on_request = stop
    with stage.client(upstream(stage)) as client:
        watch = Stopwatch()
        with pytest.raises(Truncated):
            client.exchange(request("GET", "/body"))
        watch.assert_on_time()
    assert stage.backend.connections[0].wait_gone()
    stage.posthouse.wait_stderr(r" ERROR .*idle_timeout")


def test_body_of_a_response_that_moves_may_take_longer(stage: Stage) -> None:
    def drip(asked: Request, connection: BackendConnection) -> None:
        connection.send(response(200, [("Content-Length", "8")], None))
        for _ in range(8):
            connection.wait_end(LIMIT / 4)
            connection.send(b"a")

    stage.backend.on_request = drip
    with stage.client(upstream(stage)) as client:
        assert client.exchange(request("GET", "/body")).body == b"aaaaaaaa"


def test_exchange_timeout_is_in_total(stage: Stage) -> None:
    def drip(asked: Request, connection: BackendConnection) -> None:
        connection.send(response(200, [("Content-Length", "1000")], None))
        while connection.wait_end(0.05) == "open":
            connection.send(b"a")
        connection.close()

    stage.backend.on_request = drip
    with stage.client(upstream(stage)) as client:
        watch = Stopwatch()
        with pytest.raises(Truncated):
            client.exchange(request("GET", "/whole"))
        watch.assert_on_time()


def test_idle_tunnel_ends(stage: Stage) -> None:
    switch = b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

    def tunnel(asked: Request, connection: BackendConnection) -> None:
        connection.send(switch)
        never(asked, connection)

    stage.backend.on_request = tunnel
    with stage.client(upstream(stage)) as client:
        upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
        assert client.exchange(request("GET", "/tunnel", upgrade)).status == 101
        for _ in range(6):
            assert client.end(LIMIT / 4) == "open"
            client.send(b"still here")
        watch = Stopwatch()
        assert client.end() in ("fin", "rst")
        watch.assert_on_time()
    assert stage.backend.connections[0].wait_gone()


@pytest.fixture
def deaf() -> Iterator[str]:
    """An address that takes no connections and refuses none: its backlog is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        filling = []
        for _ in range(8):
            waiting = socket.socket()
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
            filling.append(waiting)
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        for waiting in filling:
            waiting.close()


def test_connect_that_takes_too_long(start_posthouse: Callable[..., Posthouse], deaf: str) -> None:
    caddyfile = "http://:PORT {\n bind 127.0.0.1\n proxy / DEAF {\n  timeout 400ms\n }\n}\n"
    posthouse = start_posthouse(caddyfile, DEAF=deaf)
    watch = Stopwatch()
    assert get(posthouse.named_port()).status == 504
    watch.assert_on_time()
    posthouse.wait_stderr(r" ERROR .*connect_timeout")


def test_refused_connection_is_bad_gateway(start_posthouse: Callable[..., Posthouse]) -> None:
    with ScriptedBackend() as gone:
        address = gone.address
    posthouse = start_posthouse("http://:PORT {\n bind 127.0.0.1\n proxy / GONE\n}\n", GONE=address)
    assert get(posthouse.named_port()).status == 502
    posthouse.wait_stderr(r" ERROR .*connect")
