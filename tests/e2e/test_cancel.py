"""The client goes away: what runs for it towards a backend ends at once, at whatever point, and costs nobody else.

499 in the log while no head of a response had been sent, failure `client_gone` always; the slot of `max_conns` is
free, and the backend is not to blame (`max_fails 1` would take it out).
"""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from kit import (
    BackendConnection,
    Posthouse,
    RawClient,
    Request,
    ScriptedBackend,
    Stage,
    chunk,
    request,
    response,
    wait_still,
)
from kit.backend import PATIENCE

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    log / access.log json
    proxy / BACKEND {
        max_conns 1
        max_fails 1
        fail_timeout 1m
        try_duration 20s
        try_interval 20ms
    }
}
"""

CHUNKED = ("Transfer-Encoding", "chunked")
AT_ONCE = 5.0
"""Seconds within which the other side must have learnt of it; none of the timeouts is so short."""


class Log:
    """The access log's lines of one target."""

    def __init__(self, posthouse: Posthouse) -> None:
        self.posthouse = posthouse
        self.before = len(posthouse.access_log())

    def line(self, uri: str) -> dict[str, object]:
        """The only line of that target; waits for it."""
        found: list[dict[str, object]] = []
        deadline = time.monotonic() + PATIENCE
        while not found and time.monotonic() < deadline:
            lines = self.posthouse.wait_access(self.before + 1)[self.before :]
            found = [line for line in map(json.loads, lines) if line["uri"] == uri]
            time.sleep(0.02)
        assert len(found) == 1, found
        return found[0]

    def assert_gone(self, uri: str, *, status: int = 499, attempts: int = 1) -> dict[str, object]:
        line = self.line(uri)
        assert (line["status"], line["failure"], line["attempts"]) == (status, "client_gone", attempts), line
        return line


@pytest.fixture
def log(stage: Stage) -> Log:
    return Log(stage.posthouse)


@pytest.fixture
def client(stage: Stage) -> Iterator[RawClient]:
    with stage.client() as connected:
        yield connected


def leave(client: RawClient, how: str) -> None:
    client.reset() if how == "reset" else client.close()


def assert_free(stage: Stage) -> None:
    """The backend's only slot is free and the backend is not marked: an answer comes without waiting."""
    started = time.monotonic()
    stage.assert_serves()
    assert time.monotonic() - started < AT_ONCE


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_before_the_first_byte(stage: Stage, client: RawClient, log: Log, how: str, method: str) -> None:
    ended: list[str] = []
    stage.backend.on_request = lambda asked, connection: ended.append(connection.wait_end())
    client.send(request(method, "/waits", body=b"body" if method == "POST" else None))
    stage.backend.wait_requests(1)
    left = time.monotonic()
    leave(client, how)
    assert stage.backend.connections[0].wait_gone(AT_ONCE)
    assert time.monotonic() - left < AT_ONCE
    assert ended[0] in ("fin", "rst")
    line = log.assert_gone("/waits")
    assert (line["upstream"], line["size"]) == ("http://" + stage.backend.address, 0)
    assert_free(stage)


def test_after_an_interim_answer(stage: Stage, client: RawClient, log: Log) -> None:
    def hint(asked: Request, connection: BackendConnection) -> None:
        connection.send(response(103, [("Link", "</a>")], None))
        connection.wait_end()

    stage.backend.on_request = hint
    client.send(request("GET", "/hinted"))
    assert client.read_head().status == 103
    client.close()
    assert stage.backend.connections[0].wait_gone(AT_ONCE)
    log.assert_gone("/hinted")
    assert_free(stage)


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_in_the_middle_of_a_silent_response(
    stage: Stage, client: RawClient, log: Log, how: str, framing: str
) -> None:
    """The head went out with its status, which is what the log tells; no byte comes that could fail to be sent."""
    fields = {"length": [("Content-Length", "1000")], "chunked": [CHUNKED], "close": []}[framing]
    part = chunk(b"part", last=False) if framing == "chunked" else b"part"

    def stop(asked: Request, connection: BackendConnection) -> None:
        connection.send(response(200, fields, None) + part)
        connection.wait_end()

    stage.backend.on_request = stop
    client.send(request("GET", "/middle"))
    client.read_head()
    while b"part" not in client.buffer:
        assert client.fill() == ""
    leave(client, how)
    assert stage.backend.connections[0].wait_gone(AT_ONCE)
    assert log.assert_gone("/middle", status=200)["size"] == 4
    assert_free(stage)


@pytest.mark.parametrize("is_reading", [True, False], ids=["reading", "stalled"])
def test_in_the_middle_of_a_long_response(
    stage: Stage, client: RawClient, log: Log, is_reading: bool
) -> None:
    """Also while the client's side is full and nothing is read from the backend."""
    sent = [0]

    def flood(asked: Request, connection: BackendConnection) -> None:
        connection.send(response(200, [("Content-Length", str(1 << 40))], None))
        block = bytes(65_536)
        while True:
            connection.socket.sendall(block)
            sent[0] += len(block)

    stage.backend.on_request = flood
    client.send(request("GET", "/flood"))
    client.read_head()
    if is_reading:
        for _ in range(50):
            client.fill()
    else:
        wait_still(lambda: sent[0])
    client.reset()
    assert stage.backend.connections[0].wait_gone(AT_ONCE)
    log.assert_gone("/flood", status=200)
    assert_free(stage)


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", [10, 300_000])
def test_during_an_upload(
    stage: Stage, client: RawClient, log: Log, how: str, framing: str, size: int
) -> None:
    """The backend must see the request broken, never a complete one; it is not executed."""
    fields = [("Content-Length", "1000000")] if framing == "length" else [CHUNKED]
    part = b"p" * size
    client.send(
        request("POST", "/upload", fields) + (part if framing == "length" else chunk(part, last=False))
    )
    (connection,) = stage.backend.wait_connections(1)
    head = len(stage.backend.wait_heads(1)[0].raw_head)
    connection.wait_received(head + size)
    leave(client, how)
    assert connection.wait_gone(AT_ONCE)
    assert stage.backend.requests == []
    log.assert_gone("/upload")
    assert_free(stage)


def test_during_an_upload_that_stalls(stage: Stage, client: RawClient, log: Log) -> None:
    """The backend does not read, so nothing is read from the client either; its reset is noticed all the same."""
    sent = [0]
    ended: list[str] = []

    def stall(connection: BackendConnection) -> None:
        connection.read_head()
        stage.backend.hold()
        ended.append(connection.wait_end())

    stage.backend.on_connect = stall
    block = bytes(65_536)

    def upload() -> None:
        try:
            while True:
                client.socket.sendall(block)
                sent[0] += len(block)
        except OSError:
            pass

    client.send(request("POST", "/stalled", [("Content-Length", str(1 << 40))]))
    uploading = threading.Thread(target=upload)
    uploading.start()
    stage.backend.wait_heads(1)
    wait_still(lambda: sent[0])
    client.socket.shutdown(socket.SHUT_RD)
    client.reset()
    uploading.join(20)
    log.assert_gone("/stalled")
    stage.backend.release()
    (connection,) = stage.backend.connections
    assert connection.wait_gone()
    assert ended[0] in ("fin", "rst")
    assert_free(stage)


def test_while_waiting_for_the_hundred(stage: Stage, client: RawClient, log: Log) -> None:
    def wait(connection: BackendConnection) -> None:
        connection.read_head()
        connection.wait_end()

    stage.backend.on_connect = wait
    client.send(request("POST", "/expects", [("Expect", "100-continue"), ("Content-Length", "10")]))
    stage.backend.wait_heads(1)
    (connection,) = stage.backend.connections
    client.close()
    assert connection.wait_gone(AT_ONCE)
    log.assert_gone("/expects")
    assert_free(stage)


def test_while_waiting_for_a_slot(stage: Stage, log: Log) -> None:
    """The pool is full and `try_duration` lets it wait: the wait ends, and takes no slot afterwards."""
    stage.backend.on_request = lambda asked, connection: stage.backend.hold()
    with stage.client() as holder, stage.client() as waiter:
        holder.send(request("GET", "/holds"))
        stage.backend.wait_requests(1)
        waiter.send(request("GET", "/waits-for-slot"))
        assert waiter.is_open(0.1)
        waiter.close()
        log.assert_gone("/waits-for-slot", attempts=0)
    stage.backend.release()
    assert_free(stage)
    assert b"/waits-for-slot" not in {asked.target for asked in stage.backend.requests}


def test_a_crowd_that_leaves_at_any_moment(stage: Stage, client: RawClient) -> None:
    """Sixty clients, each leaving when it likes: no slot stays taken, no upstream connection open, nobody is marked."""
    chance = random.Random(9)

    def slow(asked: Request, connection: BackendConnection) -> None:
        connection.send(response(200, [("Content-Length", "300000")], None) + bytes(150_000))
        connection.wait_end(0.01)
        connection.send(bytes(150_000))

    stage.backend.on_request = slow
    for number in range(60):
        with stage.client() as leaving:
            body = b"b" * chance.choice((1, 70_000))
            data = (
                request("POST", f"/crowd/{number}", body=body)
                if number % 2
                else request("GET", f"/crowd/{number}")
            )
            leaving.send(data[: chance.choice((len(data), len(data) // 2, len(data) - 1))])
            leaving.end(chance.choice((0.001, 0.005, 0.02)))
            leave(leaving, chance.choice(("close", "reset")))
    stage.backend.on_request = lambda asked, connection: response(200)
    assert client.exchange(request("GET", "/after")).status == 200
    assert_free(stage)
    assert len([connection for connection in stage.backend.connections if not connection.is_closed]) <= 2


# Where no backend has the request yet.


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


def test_during_dialling(start_posthouse: Callable[..., Posthouse], deaf: str) -> None:
    """The dial ends with the client: the slot is free for a next one, which would else get 503."""
    posthouse = start_posthouse(
        """
        http://:PORT {
            bind 127.0.0.1
            log / access.log json
            proxy / DEAF {
                max_conns 1
                max_fails 1
                fail_timeout 1m
                timeout 20s
            }
        }
        """,
        DEAF=deaf,
    )
    log = Log(posthouse)
    for number in range(3):
        with RawClient(posthouse.named_port()) as client:
            client.send(request("POST", f"/dials/{number}", body=b"body"))
            assert client.is_open(0.2)
        log.assert_gone(f"/dials/{number}")


def test_between_attempts(start_posthouse: Callable[..., Posthouse]) -> None:
    """The backend is dead, the next attempt a while away: the exchange ends now, and the backend is not tried."""
    with ScriptedBackend() as gone:
        address = gone.address
    posthouse = start_posthouse(
        """
        http://:PORT {
            bind 127.0.0.1
            log / access.log json
            proxy / GONE {
                try_duration 30s
                try_interval 20s
            }
        }
        """,
        GONE=address,
    )
    log = Log(posthouse)
    with RawClient(posthouse.named_port()) as client:
        client.send(request("GET", "/between"))
        assert client.is_open(0.2)
    log.assert_gone("/between")
