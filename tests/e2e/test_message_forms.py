"""HEAD, 204, 304, HTTP/1.0 on either side, keep-alive on both: every form in which a message may end.

After each of them the client's connection carries the next request, and so does the backend's where it may.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kit import BackendConnection, RawClient, Request, Stage, chunk, get, request, response
from kit.http1 import Fields

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    proxy / BACKEND
}
http://:PORT2 {
    bind 127.0.0.1
    proxy / BACKEND {
        keepalive 0
    }
}
http://:PORT3 {
    bind 127.0.0.1
    proxy / BACKEND {
        keepalive 2
    }
}
"""

CHUNKED = ("Transfer-Encoding", "chunked")


@pytest.fixture
def client(stage: Stage) -> Iterator[RawClient]:
    with stage.client() as connected:
        yield connected


# Answers without a body.


@pytest.mark.parametrize(
    "fields", [[("Content-Length", "5000")], [CHUNKED], []], ids=["length", "chunked", "none"]
)
def test_head(stage: Stage, client: RawClient, fields: Fields) -> None:
    """The length that GET would have passes; no body follows; both connections stay."""
    stage.backend.on_request = lambda asked, connection: response(200, [("ETag", '"x"'), *fields], None)
    for _ in range(3):
        answer = client.exchange(request("HEAD", "/"), "HEAD")
        assert (answer.status, answer.field("ETag")) == (200, b'"x"')
        assert answer.all("Content-Length") == ([b"5000"] if ("Content-Length", "5000") in fields else [])
        assert client.is_open()
    assert {asked.method for asked in stage.backend.requests} == {b"HEAD"}
    assert len(stage.backend.connections) == 1


def test_204(stage: Stage, client: RawClient) -> None:
    stage.backend.on_request = lambda asked, connection: response(204, [("X-A", "1")], None)
    for method in ("GET", "DELETE", "HEAD"):
        answer = client.exchange(request(method, "/"), method)
        assert (answer.status, answer.field("X-A")) == (204, b"1")
        assert not answer.names() & {b"content-length", b"transfer-encoding"}
        assert client.is_open()
    assert len(stage.backend.connections) == 1


@pytest.mark.parametrize("fields", [[("Content-Length", "5000")], []], ids=["length", "none"])
def test_304(stage: Stage, client: RawClient, fields: Fields) -> None:
    stage.backend.on_request = lambda asked, connection: response(304, [("ETag", '"x"'), *fields], None)
    for _ in range(2):
        answer = client.exchange(request("GET", "/", [("If-None-Match", '"x"')]))
        assert (answer.status, answer.field("ETag")) == (304, b'"x"')
        assert b"transfer-encoding" not in answer.names()
        assert client.is_open()
    assert stage.backend.requests[0].field("If-None-Match") == b'"x"'
    assert len(stage.backend.connections) == 1


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_empty_body(stage: Stage, client: RawClient, framing: str) -> None:
    data = response(200, [CHUNKED], None) + chunk() if framing == "chunked" else response(200, body=b"")
    stage.backend.on_request = lambda asked, connection: data
    for _ in range(2):
        answer = client.exchange(request("GET", "/"))
        assert (answer.status, answer.body, answer.framing) == (200, b"", framing)
    assert len(stage.backend.connections) == 1


def test_the_status_line_passes(stage: Stage, client: RawClient) -> None:
    stage.backend.on_request = lambda asked, connection: response(299, reason="Quite \xe4 Reason")
    answer = client.exchange(request("GET", "/"))
    assert (answer.version, answer.status, answer.reason) == (b"HTTP/1.1", 299, b"Quite \xe4 Reason")


# Requests with a body where few expect one.


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "lower", "M-SEARCH"])
@pytest.mark.parametrize("framing", ["length", "chunked", "none"])
def test_any_method_with_and_without_a_body(
    stage: Stage, client: RawClient, method: str, framing: str
) -> None:
    data = {
        "length": request(method, "/", body=b"body"),
        "chunked": request(method, "/", [CHUNKED]) + chunk(b"body"),
        "none": request(method, "/"),
    }[framing]
    assert client.exchange(data).status == 200
    asked = stage.backend.wait_requests(1)[0]
    assert (asked.method, asked.body) == (method.encode(), b"" if framing == "none" else b"body")
    assert stage.backend.violations == []


def test_a_post_without_a_body_says_so(stage: Stage, client: RawClient) -> None:
    client.exchange(request("POST", "/"))
    assert stage.backend.wait_requests(1)[0].field("Content-Length") == b"0"


# HTTP/1.0.


def test_a_client_of_http_1_0_is_closed(stage: Stage, client: RawClient) -> None:
    answer = client.exchange(request("GET", "/", version="HTTP/1.0"))
    assert (answer.status, answer.body) == (200, b"ok")
    assert client.end() == "fin"
    assert stage.backend.requests[0].version == b"HTTP/1.1"


def test_a_client_of_http_1_0_may_keep_alive(stage: Stage, client: RawClient) -> None:
    for _ in range(3):
        answer = client.exchange(request("GET", "/", [("Connection", "Keep-Alive")], version="HTTP/1.0"))
        assert (answer.status, answer.body, answer.framing) == (200, b"ok", "length")
        assert answer.field("Connection") == b"keep-alive"
    assert client.is_open()


def test_a_client_of_http_1_0_gets_no_chunks(stage: Stage, client: RawClient) -> None:
    """Even where it would keep the connection: nothing else could end such a body."""
    coded = response(200, [CHUNKED], None) + chunk(b"bo", b"dy")
    stage.backend.on_request = lambda asked, connection: coded
    answer = client.exchange(request("GET", "/", [("Connection", "keep-alive")], version="HTTP/1.0"))
    assert (answer.status, answer.body, answer.framing) == (200, b"body", "close")
    assert b"transfer-encoding" not in answer.names()


@pytest.mark.parametrize("ending", ["close", "length"])
def test_a_backend_of_http_1_0(stage: Stage, client: RawClient, ending: str) -> None:
    """Its connection serves once; the client's goes on, in HTTP/1.1 of our own."""

    def old(asked: Request, connection: BackendConnection) -> None:
        fields = [("Content-Length", "4")] if ending == "length" else []
        connection.send(response(200, fields, None, version="HTTP/1.0") + b"body")
        connection.close()

    stage.backend.on_request = old
    for number in range(3):
        answer = client.exchange(request("GET", "/"))
        assert (answer.version, answer.status, answer.body) == (b"HTTP/1.1", 200, b"body")
        assert answer.framing == ("length" if ending == "length" else "chunked")
        assert len(stage.backend.connections) == number + 1
    assert client.is_open()


def test_http_1_0_on_both_sides(stage: Stage, client: RawClient) -> None:
    def old(asked: Request, connection: BackendConnection) -> None:
        connection.send(response(200, body=None, version="HTTP/1.0") + b"body")
        connection.close()

    stage.backend.on_request = old
    answer = client.exchange(request("GET", "/", version="HTTP/1.0"))
    assert (answer.status, answer.body, answer.framing) == (200, b"body", "close")


# Keep-alive.


def test_one_connection_on_each_side(stage: Stage, client: RawClient) -> None:
    for number in range(100):
        body = b"%d" % number if number % 3 else None
        assert client.exchange(request("POST" if body else "GET", f"/{number}", body=body)).body == b"ok"
    assert client.is_open()
    assert len(stage.backend.connections) == 1
    assert [asked.target for asked in stage.backend.requests] == [b"/%d" % number for number in range(100)]


def test_clients_share_warm_connections(stage: Stage) -> None:
    for _ in range(10):
        stage.get("/")
    assert len(stage.backend.connections) == 1


def test_a_client_that_closes_leaves_the_warm_connection(stage: Stage) -> None:
    for _ in range(3):
        with stage.client() as client:
            answer = client.exchange(request("GET", "/", [("Connection", "close")]))
            assert answer.field("Connection") == b"close"
            assert client.end() == "fin"
    assert len(stage.backend.connections) == 1
    assert all(b"connection" not in asked.names() for asked in stage.backend.requests)


@pytest.mark.parametrize("closes", [True, False], ids=["closes", "only-says-so"])
def test_a_backend_that_closes_leaves_the_client(stage: Stage, client: RawClient, closes: bool) -> None:
    def close(asked: Request, connection: BackendConnection) -> None:
        connection.send(response(200, [("Connection", "close")]))
        if closes:
            connection.close()

    stage.backend.on_request = close
    for number in range(3):
        answer = client.exchange(request("GET", "/"))
        assert (answer.body, answer.all("Connection")) == (b"ok", [])
        assert len(stage.backend.connections) == number + 1
        assert stage.backend.connections[number].wait_gone()
    assert client.is_open()


def test_keepalive_0_uses_a_connection_once(stage: Stage) -> None:
    for number in range(3):
        assert get(stage.posthouse.named_port("PORT2")).body == b"ok"
        assert stage.backend.requests[number].field("Connection") == b"close"
        assert stage.backend.connections[number].wait_gone()
    assert len(stage.backend.connections) == 3


def test_keepalive_is_how_many_stay(stage: Stage) -> None:
    """Five at once need five connections; two of them are kept."""
    port = stage.posthouse.named_port("PORT3")
    stage.backend.on_request = lambda asked, connection: stage.backend.hold() or response(200)  # type: ignore[func-returns-value]
    clients = [RawClient(port) for _ in range(5)]
    for client in clients:
        client.send(request("GET", "/"))
    stage.backend.wait_requests(5)
    stage.backend.on_request = lambda asked, connection: response(200)
    stage.backend.release()
    for client in clients:
        assert client.read_response().status == 200
        client.close()
    gone = [connection for connection in stage.backend.connections if connection.wait_gone(0.5)]
    assert len(gone) == 3
