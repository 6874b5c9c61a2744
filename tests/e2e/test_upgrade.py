"""Upgrades: a WebSocket through the proxy is the WebSocket; what was not asked for is no upgrade.

Rule 10 and topic 2.17 of the specification of reliability, and the `websocket` line of the stance.
"""

from __future__ import annotations

import json
import random
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve

from kit import BackendConnection, RawClient, Request, Response, Stage, chunk, request, response, wait_still
from kit.http1 import Fields

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
    proxy /ws WEBSOCKET
    proxy /ws/preset WEBSOCKET {
        websocket
        transparent
    }
}
"""

UPGRADE: Fields = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
STREAM = random.Random(5).randbytes(24 << 20)
SWITCHING = response(101, UPGRADE, None, reason="Switching Protocols")


@pytest.fixture(scope="module")
def websocket_server() -> Iterator[str]:
    """A `websockets` server that sends back what it gets."""

    def echo(websocket: ServerConnection) -> None:
        for message in websocket:
            if message == "close please":
                websocket.close(4001, "as asked")
            else:
                websocket.send(message)

    with serve(echo, "127.0.0.1", 0, max_size=None) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        serving.join(5)


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def shared_stage(request: pytest.FixtureRequest, websocket_server: str) -> Iterator[Stage]:
    env = {"POSTHOUSE_LOOP": request.param}
    with Stage(CADDYFILE, WEBSOCKET=websocket_server, env=env) as started:
        yield started


@pytest.fixture
def client(stage: Stage) -> Iterator[RawClient]:
    with stage.client() as connected:
        yield connected


Script = Callable[[BackendConnection], None]


def tunnel(script: Script, switching: bytes = SWITCHING) -> Script:
    """A backend's connection that reads a head, switches, and does as the script says."""

    def serve_tunnel(connection: BackendConnection) -> None:
        asked = connection.read_head()
        assert asked is not None
        connection.backend.record(asked)
        connection.send(switching)
        script(connection)

    return serve_tunnel


def copy_back(connection: BackendConnection) -> None:
    """Send back what comes, until it ends."""
    while True:
        if connection.buffer:
            connection.send(bytes(connection.buffer))
            connection.buffer.clear()
        if connection.fill():
            break


def wait_quietly(connection: BackendConnection) -> None:
    connection.wait_end()


def open_tunnel(client: RawClient, target: str = "/") -> Response:
    answer = client.exchange(request("GET", target, UPGRADE))
    assert answer.status == 101
    return answer


def take(client: RawClient, data: bytes) -> None:
    """These bytes come next, and nothing else has come with them."""
    while len(client.buffer) < len(data):
        assert client.fill() == "", f"ended after {bytes(client.buffer)!r}"
    assert bytes(client.buffer) == data
    client.buffer.clear()


def open_websocket(stage: Stage, path: str) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{stage.port}{path}", max_size=None, proxy=None)


# A real WebSocket.


@pytest.mark.parametrize("path", ["/ws", "/ws/preset"], ids=["plain", "preset"])
def test_messages_of_all_kinds(stage: Stage, path: str) -> None:
    with open_websocket(stage, path) as websocket:
        for message in (
            "",
            "text",
            "üñí",
            b"",
            b"\x00\xff",
            "long " * 30_000,
            random.Random(1).randbytes(1 << 20),
        ):
            websocket.send(message)
            assert websocket.recv(10) == message
        assert websocket.ping().wait(5)
        for number in range(200):
            websocket.send(str(number))
        assert [websocket.recv(5) for _ in range(200)] == [str(number) for number in range(200)]


def test_fragments(stage: Stage) -> None:
    with open_websocket(stage, "/ws") as websocket:
        websocket.send(["a", "b", "c"])
        assert websocket.recv(5) == "abc"


@pytest.mark.parametrize("side", ["client", "backend"])
def test_the_close_handshake_passes(stage: Stage, side: str) -> None:
    with open_websocket(stage, "/ws") as websocket:
        if side == "client":
            websocket.close(4002, "bye")
            assert (websocket.close_code, websocket.close_reason) == (4002, "bye")
        else:
            websocket.send("close please")
            with pytest.raises(ConnectionClosed):
                websocket.recv(5)
            assert (websocket.close_code, websocket.close_reason) == (4001, "as asked")


def test_an_idle_tunnel_lives(stage: Stage) -> None:
    """None of the limits of requests and responses applies to it: all of them are shorter than the silence."""
    stage.backend.on_connect = tunnel(copy_back)
    with stage.client() as client:
        open_tunnel(client)
        for _ in range(2):
            assert client.end(0.8) == "open"
            client.send(b"still here")
            take(client, b"still here")


def test_a_refused_handshake(stage: Stage) -> None:
    stage.backend.on_request = lambda asked, connection: response(403, body=b"no")
    with pytest.raises(InvalidStatus) as refused:
        open_websocket(stage, "/")
    assert refused.value.response.status_code == 403
    assert refused.value.response.body == b"no"


# Raw tunnels.


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


# What is asked for, and what is answered.


def test_the_head_that_the_backend_gets(stage: Stage, client: RawClient) -> None:
    stage.backend.on_connect = tunnel(wait_quietly)
    fields = [("Connection", "keep-alive, UPGRADE, X-Hop"), ("upgrade", "WebSocket"), ("X-Hop", "1")]
    client.send(
        request("GET", "/", [*fields, ("Sec-WebSocket-Key", "k"), ("Sec-WebSocket-Protocol", "a, b")])
    )
    assert client.read_response().status == 101
    asked = stage.backend.wait_requests(1)[0]
    upgrade, connection = asked.field("Upgrade"), asked.field("Connection")
    assert upgrade is not None and upgrade.lower() == b"websocket"
    assert connection is not None and connection.lower() == b"upgrade"
    assert asked.field("Sec-WebSocket-Key") == b"k"
    assert asked.field("Sec-WebSocket-Protocol") == b"a, b"
    assert b"x-hop" not in asked.names()


def test_other_protocols_pass_too(stage: Stage, client: RawClient) -> None:
    fields = [("Connection", "Upgrade"), ("Upgrade", "our-own/2")]
    stage.backend.on_connect = tunnel(copy_back, response(101, fields, None))
    answer = client.exchange(request("GET", "/", fields))
    assert (answer.status, answer.field("Upgrade")) == (101, b"our-own/2")
    client.send(b"hello")
    take(client, b"hello")


@pytest.mark.parametrize("protocol", ["h2c", "H2C", "HTTP/2.0", "TLS/1.0", "tls/1.2, h2c"])
def test_protocols_that_hide_http_are_not_forwarded(stage: Stage, client: RawClient, protocol: str) -> None:
    settings = [("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA")]
    fields = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", protocol), *settings]
    assert client.exchange(request("GET", "/", fields)).body == b"ok"
    asked = stage.backend.requests[0]
    assert not asked.names() & {b"upgrade", b"connection", b"http2-settings"}
    assert client.is_open()


def test_h2c_among_others_is_taken_out(stage: Stage, client: RawClient) -> None:
    stage.backend.on_connect = tunnel(copy_back)
    answer = client.exchange(request("GET", "/", [("Connection", "Upgrade"), ("Upgrade", "h2c, websocket")]))
    assert answer.status == 101
    assert stage.backend.wait_requests(1)[0].field("Upgrade") == b"websocket"


ORDINARY = {
    "post": request("POST", "/", UPGRADE, b"body"),
    "head": request("HEAD", "/", UPGRADE),
    "body": request("GET", "/", UPGRADE, b"body"),
    "chunked": request("GET", "/", [*UPGRADE, ("Transfer-Encoding", "chunked")]) + chunk(b"body"),
    "http-1.0": request("GET", "/", UPGRADE, version="HTTP/1.0"),
    "not-named": request("GET", "/", [("Upgrade", "websocket")]),
}


@pytest.mark.parametrize("data", list(ORDINARY.values()), ids=list(ORDINARY))
def test_what_is_no_upgrade_goes_on_without_the_field(stage: Stage, client: RawClient, data: bytes) -> None:
    answer = client.exchange(data, "HEAD" if data.startswith(b"HEAD") else "GET")
    assert answer.status == 200
    asked = stage.backend.wait_requests(1)[0]
    assert not asked.names() & {b"upgrade", b"connection"}
    assert asked.body == (b"body" if b"body" in data else b"")


UNASKED = {
    "plain": (request("GET", "/"), SWITCHING),
    "post": (request("POST", "/", UPGRADE, b"body"), SWITCHING),
    "other": (request("GET", "/", UPGRADE), SWITCHING.replace(b"websocket", b"our-own")),
    "h2c": (request("GET", "/", UPGRADE), SWITCHING.replace(b"websocket", b"h2c")),
    "h2c-asked": (
        request("GET", "/", [("Connection", "Upgrade"), ("Upgrade", "h2c")]),
        SWITCHING.replace(b"websocket", b"h2c"),
    ),
    "without-field": (request("GET", "/", UPGRADE), response(101, [("Connection", "Upgrade")], None)),
    "http-1.0": (request("GET", "/", UPGRADE, version="HTTP/1.0"), SWITCHING),
}


@pytest.mark.parametrize(("asked", "switching"), list(UNASKED.values()), ids=list(UNASKED))
def test_a_101_that_was_not_asked_for(
    stage: Stage, client: RawClient, asked: bytes, switching: bytes
) -> None:
    def switch(request: Request, connection: BackendConnection) -> None:
        connection.send(switching + b"RAW BYTES")
        connection.wait_end()
        connection.close()

    stage.backend.on_request = switch
    assert client.exchange(asked).status == 502
    assert stage.backend.connections[0].wait_gone()
    assert b"RAW" not in client.buffer
    stage.assert_serves()


@pytest.mark.parametrize("status", [200, 204, 400, 426, 503])
def test_a_refused_upgrade_is_an_ordinary_answer(stage: Stage, client: RawClient, status: int) -> None:
    body = None if status == 204 else b"refused"
    stage.backend.on_request = lambda asked, connection: response(status, [("X-Why", "so")], body)
    for _ in range(2):
        answer = client.exchange(request("GET", "/", UPGRADE))
        assert (answer.status, answer.body, answer.field("X-Why")) == (status, body or b"", b"so")
        assert not answer.names() & {b"connection", b"upgrade"}
    assert client.is_open()
    assert len(stage.backend.connections) == 1


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
    assert stage.get("/one").status == 200


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
