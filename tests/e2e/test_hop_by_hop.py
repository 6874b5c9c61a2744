"""Fields that are meant for one hop end here, in both directions, and cannot take ours with them.

Rules 9 and 10 and topics 2.7 and 2.17 of the specification of reliability.
"""

from __future__ import annotations

import pytest

from kit import BackendConnection, Request, Stage, chunk, request, response
from kit.tables import SMUGGLED

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    proxy / BACKEND
}
http://loop.test:PORT {
    bind 127.0.0.1
    proxy / 127.0.0.1:PORT {
        transparent
    }
}
"""

STANDARD = [
    ("Keep-Alive", "timeout=5"),
    ("Proxy-Connection", "keep-alive"),
    ("Proxy-Authenticate", "Basic"),
    ("Proxy-Authorization", "Basic eDp5"),
    ("TE", "gzip"),
    ("Upgrade", "example/1"),
    ("Connection", "keep-alive"),
]


@pytest.mark.parametrize(("name", "value"), STANDARD)
def test_standard_list_on_requests(stage: Stage, name: str, value: str) -> None:
    assert stage.get("/", [(name, value), (name.upper(), value), ("X-Kept", "1")]).status == 200
    [asked] = stage.backend.requests
    left = asked.all(name)
    assert left == [] or (name == "Connection" and left in ([b"keep-alive"], [b"close"]))
    assert asked.field("X-Kept") == b"1"


@pytest.mark.parametrize(("name", "value"), STANDARD)
def test_standard_list_on_responses(stage: Stage, name: str, value: str) -> None:
    stage.backend.on_request = lambda asked, connection: response(200, [(name, value), ("X-Kept", "1")])
    with stage.client() as client:
        answer = client.exchange(request("GET", "/"))
        assert client.is_open()
    left = answer.all(name)
    assert left == [] or (name == "Connection" and left == [b"keep-alive"])
    assert answer.field("X-Kept") == b"1"


NAMED = [
    [("Connection", "X-Secret")],
    [("Connection", "close, X-Secret")],
    [("Connection", "keep-alive"), ("Connection", "X-Secret")],
    [("Connection", ""), ("Connection", "X-Secret")],
    [("connection", "x-SECRET")],
    [("CONNECTION", " ,\t, x-secret\t,, foo")],
    [("Connection", "X-Secret,X-Secret")],
    [("Connection", "a,b,c"), ("X-Between", "1"), ("cOnNeCtIoN", "d ,X-Secret , e")],
]


@pytest.mark.parametrize("fields", NAMED, ids=repr)
def test_named_fields_on_requests(stage: Stage, fields: list[tuple[str, str]]) -> None:
    around = [("x-secret", "1"), *fields, ("X-Secret", "2"), ("X-Kept", "1"), ("X-Secretly", "1")]
    assert stage.get("/", around).status == 200
    [asked] = stage.backend.requests
    assert b"x-secret" not in asked.names()
    assert {b"x-kept", b"x-secretly"} <= asked.names()
    assert asked.all("Connection") in ([], [b"keep-alive"], [b"close"])


@pytest.mark.parametrize("fields", NAMED, ids=repr)
def test_named_fields_on_responses(stage: Stage, fields: list[tuple[str, str]]) -> None:
    around = [("x-secret", "1"), *fields, ("X-Secret", "2"), ("X-Kept", "1"), ("X-Secretly", "1")]
    stage.backend.on_request = lambda asked, connection: response(200, around)
    answer = stage.get("/")
    assert b"x-secret" not in answer.names()
    assert {b"x-kept", b"x-secretly"} <= answer.names()
    assert answer.all("Connection") in ([], [b"keep-alive"], [b"close"])


OURS = ["Host", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Via"]


@pytest.mark.parametrize("name", [*OURS, ", ".join(OURS), ",".join(OURS).lower()])
def test_our_fields_cannot_be_named_away(stage: Stage, name: str) -> None:
    fields = [("X-Forwarded-For", "6.6.6.6"), ("Connection", name), ("Connection", f"close, {name}")]
    assert stage.get("/", fields).status == 200
    [asked] = stage.backend.requests
    assert asked.field("Host") == stage.backend.address.encode()
    assert asked.field("X-Forwarded-For") == b"127.0.0.1"
    assert asked.field("X-Forwarded-Host") == b"site.test"
    assert asked.field("X-Forwarded-Proto") == b"http"
    assert asked.field("Via") == b"1.1 posthouse"
    assert stage.backend.violations == []


@pytest.mark.parametrize(
    "name", ["Content-Length", "Transfer-Encoding", "content-length, transfer-encoding, host"]
)
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_framing_cannot_be_named_away(stage: Stage, name: str, is_chunked: bool) -> None:
    fields = [("Connection", name)]
    if is_chunked:
        data = request("POST", "/", [*fields, ("Transfer-Encoding", "chunked")]) + chunk(SMUGGLED)
    else:
        data = request("POST", "/", fields, SMUGGLED)
    with stage.client() as client:
        assert client.exchange(data).status == 200
        assert client.exchange(request("GET", "/next")).status == 200
    first, second = stage.backend.requests
    assert (first.body, second.target) == (SMUGGLED, b"/next")
    assert stage.backend.violations == []


@pytest.mark.parametrize("name", ["Content-Length", "Transfer-Encoding"])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_framing_of_responses_cannot_be_named_away(stage: Stage, name: str, is_chunked: bool) -> None:
    fields = [("Connection", name)]
    if is_chunked:
        data = response(200, [*fields, ("Transfer-Encoding", "chunked")], None) + chunk(b"body")
    else:
        data = response(200, fields, b"body")
    stage.backend.on_request = lambda asked, connection: data
    with stage.client() as client:
        for _ in range(2):
            answer = client.exchange(request("GET", "/"))
            assert (answer.body, answer.framing) == (b"body", "chunked" if is_chunked else "length")


def test_te_trailers_may_stay(stage: Stage) -> None:
    assert stage.get("/", [("Connection", "TE"), ("TE", "trailers, deflate;q=0.5")]).status == 200
    assert stage.backend.requests[0].all("TE") in ([], [b"trailers"])


def test_via_goes_up_and_not_down(stage: Stage) -> None:
    stage.backend.on_request = lambda asked, connection: response(200, [("Via", "1.1 other")])
    answer = stage.get("/", [("Via", "1.0 first")])
    via = b", ".join(stage.backend.requests[0].all("Via"))
    assert via == b"1.0 first, 1.1 posthouse"
    assert answer.all("Via") == [b"1.1 other"]


def test_loop_ends(stage: Stage) -> None:
    """loop.test is its own backend: after 16 passes the answer is 508."""
    assert stage.get("/", host="loop.test").status == 508
    stage.assert_serves()


# Upgrades.

WEBSOCKET = [("Connection", "keep-alive, Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Kept: 1\r\n\r\n"


def tunnel(asked: Request, connection: BackendConnection) -> None:
    """101 and "hello" in one write, then an echo until the end."""
    connection.send(SWITCH + b"hello")
    while True:
        if connection.buffer:
            connection.send(b"<" + bytes(connection.buffer) + b">")
            connection.buffer.clear()
        if connection.fill():
            connection.send(b"bye")
            connection.close()
            return


def test_upgrade_passes_without_a_preset(stage: Stage) -> None:
    stage.backend.on_request = tunnel
    with stage.client() as client:
        answer = client.exchange(request("GET", "/", WEBSOCKET))
        assert (answer.status, answer.field("X-Kept")) == (101, b"1")
        assert answer.field("Upgrade") == b"websocket"
        assert b"upgrade" in (answer.field("Connection") or b"").lower()
        client.send(b"\0\xff\r\n0\r\n\r\n")
        client.finish_sending()
        assert client.read_until_end() == b"hello<\0\xff\r\n0\r\n\r\n>bye"
    [asked] = stage.backend.requests
    assert asked.field("Upgrade") == b"websocket"
    assert (asked.field("Connection") or b"").lower() == b"upgrade"
    assert asked.field("Sec-WebSocket-Version") == b"13"


def test_early_bytes_wait_for_the_101(stage: Stage) -> None:
    """Bytes that the client sends along are neither a request nor raw bytes before the backend has agreed."""
    seen: list[bytes] = []

    def slow(asked: Request, connection: BackendConnection) -> None:
        seen.append(bytes(connection.buffer))
        connection.wait_end(0.15)
        seen.append(bytes(connection.buffer))
        tunnel(asked, connection)

    stage.backend.on_request = slow
    with stage.client() as client:
        client.send(request("GET", "/", WEBSOCKET) + SMUGGLED)
        assert client.read_response().status == 101
        client.finish_sending()
        assert client.read_until_end() == b"hello<" + SMUGGLED + b">bye"
    assert seen == [b"", b""]
    assert len(stage.backend.requests) == 1


def test_refused_upgrade_is_an_ordinary_answer(stage: Stage) -> None:
    """What follows the request is then the next request, not raw bytes."""
    stage.backend.on_request = lambda asked, connection: response(403, body=asked.target)
    with stage.client() as client:
        client.send(request("GET", "/1", WEBSOCKET) + request("GET", "/2"))
        assert client.read_response().body == b"/1"
        assert client.read_response().body == b"/2"
        assert client.is_open()
    assert stage.backend.violations == []


TOKENS = ["h2c", "H2C", "HTTP/2.0", "http/1.1", "HTTP/3", "TLS/1.0", "tls/1.3"]


@pytest.mark.parametrize("token", TOKENS)
def test_protocols_that_would_hide_http(stage: Stage, token: str) -> None:
    fields = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", token), ("HTTP2-Settings", "AAMAAABk")]
    assert stage.get("/", fields).status == 200
    [asked] = stage.backend.requests
    assert asked.names().isdisjoint({b"upgrade", b"http2-settings"})
    assert b"upgrade" not in (asked.field("Connection") or b"").lower()


@pytest.mark.parametrize("value", ["h2c, websocket", "websocket, h2c", "websocket,HTTP/2.0,TLS/1.0"])
def test_forbidden_protocols_beside_another(stage: Stage, value: str) -> None:
    assert stage.get("/", [("Connection", "Upgrade"), ("Upgrade", value)]).status == 200
    [asked] = stage.backend.requests
    assert asked.all("Upgrade") in ([], [b"websocket"])


PLAIN = {
    "post": request("POST", "/", WEBSOCKET, b""),
    "get-with-body": request("GET", "/", WEBSOCKET, b"body"),
    "get-with-chunks": request("GET", "/", [*WEBSOCKET, ("Transfer-Encoding", "chunked")]) + chunk(b"body"),
    "no-connection": request("GET", "/", [("Upgrade", "websocket")]),
    "http-1.0": request("GET", "/", WEBSOCKET, version="HTTP/1.0"),
}


@pytest.mark.parametrize("data", PLAIN.values(), ids=list(PLAIN))
def test_upgrade_that_is_none_goes_on_without(stage: Stage, data: bytes) -> None:
    with stage.client() as client:
        assert client.exchange(data).status == 200
    [asked] = stage.backend.requests
    assert b"upgrade" not in asked.names()
    assert b"upgrade" not in (asked.field("Connection") or b"").lower()
    assert stage.backend.violations == []


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_end_of_a_backend_reaches_the_client(stage: Stage, how: str) -> None:
    def switch_and_end(asked: Request, connection: BackendConnection) -> None:
        connection.send(SWITCH)
        connection.fill()
        connection.reset() if how == "rst" else connection.close()

    stage.backend.on_request = switch_and_end
    with stage.client() as client:
        assert client.exchange(request("GET", "/", WEBSOCKET)).status == 101
        client.send(b"x")
        assert client.end(2) in ("fin", "rst")
    stage.assert_serves()


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_end_of_a_client_reaches_the_backend(stage: Stage, how: str) -> None:
    ended: list[str] = []

    def switch_and_wait(asked: Request, connection: BackendConnection) -> None:
        connection.send(SWITCH)
        ended.append(connection.wait_end(2))
        connection.close()

    stage.backend.on_request = switch_and_wait
    with stage.client() as client:
        assert client.exchange(request("GET", "/", WEBSOCKET)).status == 101
        client.reset() if how == "rst" else client.finish_sending()
        assert stage.backend.connections[0].wait_gone()
    assert ended[0] in ("fin", "rst")
    stage.assert_serves()


def test_backend_may_finish_first(stage: Stage) -> None:
    """Half-close the other way: the backend has finished, the client still talks."""
    heard: list[bytes] = []

    def finish_first(asked: Request, connection: BackendConnection) -> None:
        connection.send(SWITCH + b"last words")
        connection.finish_sending()
        while not connection.fill():
            pass
        heard.append(bytes(connection.buffer))
        connection.close()

    stage.backend.on_request = finish_first
    with stage.client() as client:
        assert client.exchange(request("GET", "/", WEBSOCKET)).status == 101
        assert client.end() == "fin"
        assert client.buffer == b"last words"
        client.send(b"still here")
        client.finish_sending()
        assert stage.backend.connections[0].wait_gone()
    assert heard == [b"still here"]
