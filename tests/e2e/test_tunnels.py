"""Tunnels after a 101: half-close, ends, backpressure, early bytes, idle time, header rules, slots, log.

Topic 2.17 of the specification of reliability, and the `websocket` line of the stance. On both event loops.
"""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from e2e.tunnels import SWITCHING, UPGRADE, copy_back, open_tunnel, take, tunnel, wait_quietly
from kit import BackendConnection, RawClient, Stage, request, response, wait_still
from kit.backend import PATIENCE

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    log / access.log json
    timeouts {
        header 300ms
        body 300ms
        idle 300ms
    }
    header / {
        X-Site yes
        -X-Secret
    }
    proxy / BACKEND {
        response_timeout 300ms
        idle_timeout 300ms
        header_downstream X-Backend {upstream}
        header_downstream -Server
    }
    proxy /one BACKEND {
        max_conns 1
    }
}
"""

STREAM = random.Random(5).randbytes(24 << 20)


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def shared_stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with Stage(CADDYFILE, env={"POSTHOUSE_LOOP": request.param}) as started:
        yield started


@pytest.fixture
def client(stage: Stage) -> Iterator[RawClient]:
    with stage.client() as connected:
        yield connected


def test_an_idle_tunnel_lives(stage: Stage) -> None:
    """None of the limits of requests and responses applies to it: all of them are shorter than the silence."""
    stage.backend.on_connect = tunnel(copy_back)
    with stage.client() as client:
        open_tunnel(client)
        for _ in range(2):
            assert client.end(0.8) == "open"
            client.send(b"still here")
            take(client, b"still here")


def test_half_close_by_the_client(stage: Stage, client: RawClient) -> None:
    """The backend sees the end of input and goes on sending; its own end comes after that."""

    def answer_late(connection: BackendConnection) -> None:
        assert connection.wait_end() == "fin"
        connection.send(b"got " + bytes(connection.buffer))
        connection.send(b" and more")

    stage.backend.on_connect = tunnel(answer_late)
    open_tunnel(client)
    client.send(b"last words")
    client.finish_sending()
    assert client.read_until_end() == b"got last words and more"
    assert stage.backend.connections[0].wait_gone()


def test_half_close_by_the_backend(stage: Stage, client: RawClient) -> None:
    ended = threading.Event()

    def end_first(connection: BackendConnection) -> None:
        connection.send(b"last words")
        connection.finish_sending()
        if connection.wait_end() == "fin" and connection.buffer == b"answer":
            ended.set()

    stage.backend.on_connect = tunnel(end_first)
    open_tunnel(client)
    assert client.end() == "fin"
    assert client.buffer == b"last words"
    client.send(b"answer")
    client.finish_sending()
    assert ended.wait(5)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_the_end_of_the_backend_reaches_the_client(stage: Stage, client: RawClient, how: str) -> None:
    def leave(connection: BackendConnection) -> None:
        connection.fill()
        connection.reset() if how == "reset" else connection.close()

    stage.backend.on_connect = tunnel(leave)
    open_tunnel(client)
    client.send(b"go")
    assert client.end(2) in ("fin", "rst")


def test_a_reset_of_the_client_reaches_the_backend(stage: Stage, client: RawClient) -> None:
    stage.backend.on_connect = tunnel(wait_quietly)
    open_tunnel(client)
    client.reset()
    assert stage.backend.connections[0].wait_gone(2)


@pytest.mark.parametrize("side", ["client", "backend"])
def test_a_reader_that_stalls_stops_the_other(stage: Stage, client: RawClient, side: str) -> None:
    """Backpressure in the tunnel: memory stays, and nothing is lost when the reader goes on."""
    data = STREAM
    sent, got = [0], bytearray()
    go = threading.Event()

    def send(sock: socket.socket) -> None:
        for at in range(0, len(data), 65_536):
            sock.sendall(data[at : at + 65_536])
            sent[0] += 65_536
        sock.shutdown(socket.SHUT_WR)

    def receive(sock: socket.socket) -> None:
        go.wait(20)
        while piece := sock.recv(1 << 18):
            got.extend(piece)

    def backend_side(connection: BackendConnection) -> None:
        send(connection.socket) if side == "client" else receive(connection.socket)
        connection.wait_end()

    stage.backend.on_connect = tunnel(backend_side)
    open_tunnel(client)
    got.extend(client.buffer)
    before = stage.posthouse.memory()
    here = threading.Thread(target=receive if side == "client" else send, args=(client.socket,))
    here.start()
    wait_still(lambda: sent[0])
    assert sent[0] < len(data)
    assert stage.posthouse.memory() - before < 8 << 20
    go.set()
    here.join(20)
    client.finish_sending()
    assert client.end() in ("fin", "rst")
    assert stage.backend.connections[0].wait_gone()
    assert got == data


def test_early_bytes_wait_for_the_101(stage: Stage, client: RawClient) -> None:
    """What the client sends with its head goes to the backend after the 101, and not before."""

    def look_first(connection: BackendConnection) -> None:
        connection.read_head()
        connection.socket.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.fill()
        assert connection.buffer == b""
        connection.socket.settimeout(10)
        connection.send(SWITCHING)
        copy_back(connection)

    stage.backend.on_connect = look_first
    client.send(request("GET", "/", UPGRADE) + b"early ")
    client.send(b"birds")
    assert client.read_response().status == 101
    take(client, b"early birds")


def test_bytes_behind_the_101_arrive(stage: Stage, client: RawClient) -> None:
    stage.backend.on_connect = tunnel(copy_back, SWITCHING + b"welcome")
    client.send(request("GET", "/", UPGRADE) + b"early")
    assert client.read_response().status == 101
    while len(client.buffer) < 12:
        assert client.fill() == ""
    assert client.buffer == b"welcomeearly"


def test_early_bytes_after_a_refusal_are_the_next_request(stage: Stage, client: RawClient) -> None:
    stage.backend.on_request = lambda asked, connection: response(200, body=asked.target)
    client.send(request("GET", "/first", UPGRADE) + request("GET", "/second"))
    assert client.read_response().body == b"/first"
    assert client.read_response().body == b"/second"
    assert stage.backend.violations == []


# Rules, slots and the log.


def test_header_rules_apply_to_the_101(stage: Stage, client: RawClient) -> None:
    own = [("Server", "theirs"), ("X-Secret", "1"), ("Sec-WebSocket-Accept", "abc"), ("Set-Cookie", "a=b")]
    stage.backend.on_connect = tunnel(wait_quietly, response(101, [*UPGRADE, *own], None))
    answer = open_tunnel(client)
    assert answer.field("X-Site") == b"yes"
    assert answer.field("X-Backend") == b"http://" + stage.backend.address.encode()
    assert (answer.field("Sec-WebSocket-Accept"), answer.field("Set-Cookie")) == (b"abc", b"a=b")
    assert not answer.names() & {b"server", b"x-secret", b"content-length", b"transfer-encoding"}
    assert (answer.field("Upgrade"), answer.field("Connection")) == (b"websocket", b"Upgrade")


def test_a_tunnel_holds_its_slot(stage: Stage, client: RawClient) -> None:
    stage.backend.on_connect = tunnel(wait_quietly)
    open_tunnel(client, "/one")
    assert stage.get("/one").status == 503
    stage.backend.on_connect = None
    client.close()
    assert stage.backend.connections[0].wait_gone()
    # The backend's end is on its way to Posthouse; the slot is free when it has arrived.
    deadline = time.monotonic() + PATIENCE
    while (status := stage.get("/one").status) == 503 and time.monotonic() < deadline:
        pass
    assert status == 200


def test_a_tunnel_is_logged_at_its_end(stage: Stage, client: RawClient) -> None:
    """As 101, with the bytes that went to the client."""
    before = len(stage.posthouse.access_log())
    stage.backend.on_connect = tunnel(copy_back)
    open_tunnel(client, "/logged")
    client.send(b"x" * 1000)
    take(client, b"x" * 1000)
    assert not any('"/logged"' in line for line in stage.posthouse.access_log()[before:])
    client.finish_sending()
    assert client.end() == "fin"
    lines = [json.loads(line) for line in stage.posthouse.wait_access(before + 1)]
    (line,) = [line for line in lines if line["uri"] == "/logged"]
    assert (line["status"], line["size"], line["failure"]) == (101, 1000, None)
    assert (line["attempts"], line["upstream"]) == (1, "http://" + stage.backend.address)
