"""Upgrades: a WebSocket through the proxy is the WebSocket; what was not asked for is no upgrade.

Rule 10 and topic 2.17 of the specification of reliability, and the `websocket` line of the stance.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve

from e2e.tunnels import SWITCHING, UPGRADE, copy_back, take, tunnel, wait_quietly
from kit import BackendConnection, RawClient, Request, Stage, chunk, request, response

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    proxy / BACKEND
    proxy /ws WEBSOCKET
    proxy /ws/preset WEBSOCKET {
        websocket
        transparent
    }
}
"""


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


def test_a_refused_handshake(stage: Stage) -> None:
    stage.backend.on_request = lambda asked, connection: response(403, body=b"no")
    with pytest.raises(InvalidStatus) as refused:
        open_websocket(stage, "/")
    assert refused.value.response.status_code == 403
    assert refused.value.response.body == b"no"


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
