"""`Expect: 100-continue` in all its cases, and final answers that come before the request body is finished.

The rule: the expectation goes on to the backend and its 100 comes back; with neither 100 nor answer within a second
we say 100 ourselves; an early final answer goes to the client at once, and what is left of the body is drained up to
64 KB or the connection closes. In no case do body bytes become a request.
"""

from __future__ import annotations

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
    http1,
    request,
    response,
)
from kit.backend import answer_ok
from kit.http1 import Fields
from kit.tables import SMUGGLED

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    proxy / BACKEND
    limits {
        body /limited 10
    }
}
"""

EXPECT = ("Expect", "100-continue")
CHUNKED = ("Transfer-Encoding", "chunked")
CONTINUE = response(100, body=None, reason="Continue")
BODY = b"b" * 1000


@pytest.fixture
def client(stage: Stage) -> Iterator[RawClient]:
    with stage.client() as connected:
        yield connected


def with_head(stage: Stage, script: Callable[[Request, BackendConnection], None]) -> None:
    """The script is asked after each head, and reads the body (or not) by itself; until another one is set."""

    def serve(connection: BackendConnection) -> None:
        while not connection.is_closed and (asked := connection.read_head()) is not None:
            if stage.backend.on_connect is serve:
                script(asked, connection)
            else:
                read_body(stage, asked, connection)
                connection.send(answer_ok(asked, connection))

    stage.backend.on_connect = serve


def read_body(stage: Stage, asked: Request, connection: BackendConnection) -> None:
    http1.read_body(connection, asked)
    stage.backend.record(asked)


FRAMINGS: dict[str, tuple[Fields, bytes]] = {
    "length": ([("Content-Length", "1000")], BODY),
    "chunked": ([CHUNKED], chunk(BODY[:300], BODY[300:])),
}


@pytest.mark.parametrize("framing", list(FRAMINGS))
def test_the_backends_100_comes_back(stage: Stage, client: RawClient, framing: str) -> None:
    """At once, not after our second; and the same connection serves again."""
    fields, coded = FRAMINGS[framing]

    def willing(asked: Request, connection: BackendConnection) -> None:
        assert asked.field("Expect") == b"100-continue"
        connection.send(CONTINUE)
        read_body(stage, asked, connection)
        connection.send(response(200, body=b"taken"))

    with_head(stage, willing)
    for _ in range(3):
        started = time.monotonic()
        client.send(request("POST", "/", [EXPECT, *fields]))
        assert client.read_head().status == 100
        assert time.monotonic() - started < 0.5
        client.send(coded)
        answer = client.read_response()
        assert (answer.status, answer.body, answer.informational) == (200, b"taken", [])
    assert [asked.body for asked in stage.backend.requests] == [BODY] * 3
    assert len(stage.backend.connections) == 1
    assert client.is_open()


@pytest.mark.parametrize("framing", list(FRAMINGS))
def test_we_say_100_after_a_second(stage: Stage, client: RawClient, framing: str) -> None:
    """A backend that ignores the field reads on; a 100 that it sends later is not a second one."""
    fields, coded = FRAMINGS[framing]

    def deaf(asked: Request, connection: BackendConnection) -> None:
        read_body(stage, asked, connection)
        connection.send(CONTINUE + response(200, body=b"taken"))

    with_head(stage, deaf)
    client.send(request("POST", "/", [EXPECT, *fields]))
    started = time.monotonic()
    assert client.read_head().status == 100
    assert 0.9 < time.monotonic() - started < 2
    client.send(coded)
    answer = client.read_response()
    assert (answer.status, answer.body, answer.informational) == (200, b"taken", [])
    assert stage.backend.requests[0].body == BODY
    assert client.is_open()


@pytest.mark.parametrize("framing", list(FRAMINGS))
def test_a_client_that_does_not_wait(stage: Stage, client: RawClient, framing: str) -> None:
    fields, coded = FRAMINGS[framing]
    for _ in range(2):
        answer = client.exchange(request("POST", "/", [EXPECT, *fields]) + coded)
        assert (answer.status, answer.body) == (200, b"ok")
    assert [asked.body for asked in stage.backend.requests] == [BODY] * 2
    assert client.is_open()


@pytest.mark.parametrize("framing", list(FRAMINGS))
def test_a_refusal_comes_at_once(stage: Stage, client: RawClient, framing: str) -> None:
    """The client never sends the body: nothing waits for it."""
    fields, _ = FRAMINGS[framing]

    def unwilling(asked: Request, connection: BackendConnection) -> None:
        connection.send(response(401, [("WWW-Authenticate", "Basic")], b"who?"))
        connection.wait_end()
        connection.close()

    with_head(stage, unwilling)
    client.send(request("POST", "/", [EXPECT, *fields]))
    started = time.monotonic()
    answer = client.read_response()
    assert (answer.status, answer.body, answer.informational) == (401, b"who?", [])
    assert time.monotonic() - started < 0.5
    assert stage.backend.connections[0].wait_gone(), "the upstream connection waits for a body"
    assert_unconfused(stage, client, answer.field("Connection") == b"close")


def assert_unconfused(stage: Stage, client: RawClient, is_closed: bool) -> None:
    """The client's connection is closed, or serves what comes next; the backend got nothing odd."""
    if is_closed:
        assert client.end() in ("fin", "rst")
    stage.backend.on_connect = None
    stage.assert_serves()


@pytest.mark.parametrize("framing", list(FRAMINGS))
@pytest.mark.parametrize("status", [200, 417])
def test_a_body_after_a_refusal_is_no_request(
    stage: Stage, client: RawClient, framing: str, status: int
) -> None:
    """0.CL: the client sends the body that nobody wants any more, and the body looks like a request."""
    fields: Fields = [("Content-Length", str(len(SMUGGLED)))] if framing == "length" else [CHUNKED]
    coded = SMUGGLED if framing == "length" else chunk(SMUGGLED)

    def unwilling(asked: Request, connection: BackendConnection) -> None:
        if asked.framing == "none":
            stage.backend.record(asked)
        connection.send(response(status, body=b"no"))

    with_head(stage, unwilling)
    client.send(request("POST", "/", [EXPECT, *fields]))
    answer = client.read_response()
    assert answer.status == status
    client.send(coded + request("GET", "/next"))
    if answer.field("Connection") == b"close":
        assert client.end() in ("fin", "rst")
        assert client.buffer == b""
    else:
        assert client.read_response().body == b"no"
        assert [asked.target for asked in stage.backend.requests] == [b"/next"]
    assert b"smuggled" not in b"".join(asked.target for asked in stage.backend.requests)
    assert_unconfused(stage, client, is_closed=False)


@pytest.mark.parametrize("target", ["/limited", "/"], ids=["413", "502"])
def test_our_own_answers_come_without_a_100(start_posthouse: Callable[..., Posthouse], target: str) -> None:
    with ScriptedBackend() as gone:
        address = gone.address
    posthouse = start_posthouse(CADDYFILE, BACKEND=address)
    with RawClient(posthouse.named_port()) as client:
        started = time.monotonic()
        answer = client.exchange(request("POST", target, [EXPECT, ("Content-Length", "1000")]))
        assert (answer.status, answer.informational) == (413 if target == "/limited" else 502, [])
        assert time.monotonic() - started < 0.5
        assert answer.field("Connection") == b"close"
        assert client.end() in ("fin", "rst")


@pytest.mark.parametrize("fields", [[], [("Content-Length", "0")]], ids=["none", "length-0"])
def test_without_a_body_nothing_waits(stage: Stage, client: RawClient, fields: Fields) -> None:
    for _ in range(2):
        started = time.monotonic()
        answer = client.exchange(request("POST", "/", [EXPECT, *fields]))
        assert (answer.status, answer.informational) == (200, [])
        assert time.monotonic() - started < 0.5


def test_http_1_0_knows_no_100(stage: Stage, client: RawClient) -> None:
    """RFC 9110 10.1.1: the field of an HTTP/1.0 client is ignored, and it gets no 1xx."""
    stage.backend.on_request = lambda asked, connection: CONTINUE + response(200)
    answer = client.exchange(request("POST", "/", [EXPECT], BODY, version="HTTP/1.0"))
    assert (answer.status, answer.informational) == (200, [])
    assert stage.backend.requests[0].body == BODY


def test_the_hundred_is_not_for_the_next_request(stage: Stage, client: RawClient) -> None:
    """The body is there before our second is over: no 100 comes afterwards, in front of a later answer."""
    client.send(request("POST", "/", [EXPECT, ("Content-Length", "1000")]))
    client.send(BODY)
    assert client.read_response().status == 200
    stage.backend.on_request = lambda asked, connection: (connection.wait_end(1.2), response(200))[1]
    answer = client.exchange(request("GET", "/"))
    assert (answer.status, answer.informational) == (200, [])


# Early answers to a body that is on its way.


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_early_answer_is_passed_on_at_once(stage: Stage, client: RawClient, framing: str) -> None:
    """Half of the body is still with the client; it gets the answer, and the connection is no trap."""
    fields: Fields = [("Content-Length", "1000")] if framing == "length" else [CHUNKED]
    first = BODY[:500] if framing == "length" else chunk(BODY[:500], last=False)
    rest = BODY[500:] if framing == "length" else chunk(BODY[500:])

    def early(asked: Request, connection: BackendConnection) -> None:
        stage.backend.record(asked)
        connection.send(response(413, body=b"enough"))
        if asked.framing != "none":
            connection.wait_end()
            connection.close()

    with_head(stage, early)
    client.send(request("POST", "/", fields) + first)
    answer = client.read_response()
    assert (answer.status, answer.body) == (413, b"enough")
    assert stage.backend.connections[0].wait_gone(), "reused although its request was not finished"
    client.send(rest + request("GET", "/next"))
    if answer.field("Connection") == b"close":
        assert client.end() in ("fin", "rst")
    else:
        assert client.read_response().status == 413
        assert [asked.target for asked in stage.backend.requests] == [b"/", b"/next"]
    assert_unconfused(stage, client, is_closed=False)


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("then", ["stay", "close", "reset"])
def test_an_early_answer_survives_a_long_upload(
    stage: Stage, client: RawClient, framing: str, then: str
) -> None:
    """Far past 64 KB: the connection closes, and no reset eats the answer while the client still sends.

    A backend that resets may lose its own answer; the client gets one all the same, whole.
    """
    size = 32 << 20  # more than the buffers of all the sockets on the way hold
    fields: Fields = [("Content-Length", str(size))] if framing == "length" else [CHUNKED]
    piece = b"p" * 65536
    coded = piece if framing == "length" else chunk(piece, last=False)

    def early(asked: Request, connection: BackendConnection) -> None:
        while len(connection.buffer) < 100_000:
            connection.fill()
        connection.send(response(413, body=b"e" * 5000))
        if then == "reset":
            connection.reset()
        elif then == "close":
            connection.finish_sending()
        connection.wait_end()
        connection.close()

    with_head(stage, early)

    def upload() -> None:
        client.send(request("POST", "/", fields))
        for _ in range(size // len(piece)):
            client.send(coded)

    uploading = threading.Thread(target=upload)
    uploading.start()
    try:
        answer = client.read_response()
    finally:
        uploading.join(20)
    if then != "reset" or answer.status != 502:
        assert (answer.status, answer.body) == (413, b"e" * 5000)
    assert client.end() in ("fin", "rst")
    assert client.buffer == b""
    assert stage.backend.connections[0].wait_gone()
    assert_unconfused(stage, client, is_closed=False)


def test_an_early_answer_that_goes_on(stage: Stage, client: RawClient) -> None:
    """The head and half of the body before the request's end, the rest after it: nothing is cut."""

    def early(asked: Request, connection: BackendConnection) -> None:
        connection.send(response(200, [("Content-Length", "8")], None) + b"half")
        read_body(stage, asked, connection)
        connection.send(b"rest")

    with_head(stage, early)
    for _ in range(2):
        client.send(request("POST", "/", [("Content-Length", "1000")]) + BODY[:500])
        assert client.read_head().status == 200
        client.send(BODY[500:])
        while len(client.buffer) < 8:
            assert client.fill() == ""
        assert bytes(client.buffer) == b"halfrest"
        client.buffer.clear()
    assert [asked.body for asked in stage.backend.requests] == [BODY] * 2
    assert len(stage.backend.connections) == 1
