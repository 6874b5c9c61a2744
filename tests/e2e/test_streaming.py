"""What arrives goes on at once: events, chunks, heads and interim answers, in both directions.

The parties wait for each other instead of for the clock: whoever sends the next piece has seen that the one before
has arrived, so anything that is held back until more comes ends in a timeout.
"""

from __future__ import annotations

import queue
import statistics
import time
from collections.abc import Iterator

import pytest

from kit import BackendConnection, RawClient, Request, Stage, chunk, request, response

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    proxy / BACKEND
}
"""

PARTS = [b"data: %d\n\n" % number for number in range(40)]
CHUNKED = ("Transfer-Encoding", "chunked")


class Turns:
    """Whose turn it is: one party gives, the other takes and waits for no longer than it should last."""

    def __init__(self) -> None:
        self._turns: queue.Queue[bytes] = queue.Queue()

    def give(self, what: bytes = b"") -> None:
        self._turns.put(what)

    def take(self) -> bytes:
        return self._turns.get(timeout=5)


def read_raw(client: RawClient, data: bytes) -> None:
    """These bytes come next, and nothing else has come with them."""
    while len(client.buffer) < len(data):
        assert client.fill() == "", f"ended after {bytes(client.buffer)!r}"
    assert bytes(client.buffer) == data
    client.buffer.clear()


@pytest.fixture
def client(stage: Stage) -> Iterator[RawClient]:
    with stage.client() as connected:
        yield connected


# Responses.

FRAMINGS = {
    "chunked": [("Content-Type", "text/event-stream"), CHUNKED],
    "length": [("Content-Length", str(sum(map(len, PARTS))))],
    "close": [("Content-Type", "text/event-stream"), ("Connection", "close")],
}


@pytest.mark.parametrize("framing", list(FRAMINGS))
def test_parts_of_a_response_arrive_one_by_one(stage: Stage, client: RawClient, framing: str) -> None:
    turns = Turns()

    def stream(asked: Request, connection: BackendConnection) -> None:
        connection.send(response(200, FRAMINGS[framing], None))
        for part in PARTS:
            turns.take()
            connection.send(chunk(part, last=False) if framing == "chunked" else part)
        turns.take()
        if framing == "chunked":
            connection.send(chunk())
        elif framing == "close":
            connection.close()

    stage.backend.on_request = stream
    client.send(request("GET", "/events"))
    head = client.read_head()
    assert head.status == 200 and client.buffer == b""
    took = []
    for part in PARTS:
        started = time.monotonic()
        turns.give()
        read_raw(client, part if head.framing == "length" else chunk(part, last=False))
        took.append(time.monotonic() - started)
    turns.give()
    assert statistics.median(took) < 0.05
    if head.framing == "chunked":
        read_raw(client, b"0\r\n\r\n")
    assert client.is_open()


def test_a_head_does_not_wait_for_its_body(stage: Stage, client: RawClient) -> None:
    """The backend sends the body only after the client has got the head."""
    turns = Turns()

    def slow(asked: Request, connection: BackendConnection) -> bytes:
        connection.send(response(200, [("Content-Length", "4"), ("X-Early", "1")], None))
        return turns.take()

    stage.backend.on_request = slow
    client.send(request("GET", "/"))
    assert client.read_head().field("X-Early") == b"1"
    turns.give(b"body")
    read_raw(client, b"body")


def test_chunks_that_come_in_bytes(stage: Stage, client: RawClient) -> None:
    """A chunk's bytes go on before the chunk is complete."""
    turns = Turns()

    def drip(asked: Request, connection: BackendConnection) -> None:
        connection.send(response(200, [CHUNKED], None) + b"a\r\n")
        for _ in range(10):
            connection.send(turns.take())
        connection.send(turns.take())

    stage.backend.on_request = drip
    client.send(request("GET", "/"))
    client.read_head()
    for number in range(10):
        turns.give(b"%d" % number)
        read_raw(client, b"1\r\n%d\r\n" % number)
    turns.give(b"\r\n0\r\n\r\n")
    read_raw(client, b"0\r\n\r\n")


# Requests.


@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_parts_of_a_request_arrive_one_by_one(stage: Stage, client: RawClient, framing: str) -> None:
    turns = Turns()
    coded = [chunk(part, last=False) if framing == "chunked" else part for part in PARTS]

    def read_slowly(connection: BackendConnection) -> None:
        asked = connection.read_head()
        assert asked is not None and asked.framing == framing
        for part in coded:
            while len(connection.buffer) < len(part):
                connection.fill()
            turns.give(bytes(connection.buffer))
            connection.buffer.clear()
        if framing == "chunked":
            while not connection.buffer.endswith(b"0\r\n\r\n"):
                connection.fill()
        connection.send(response(200, body=b"all"))
        connection.wait_end()

    stage.backend.on_connect = read_slowly
    fields = [CHUNKED] if framing == "chunked" else [("Content-Length", str(sum(map(len, PARTS))))]
    client.send(request("POST", "/", fields))
    for part in coded:
        client.send(part)
        assert turns.take() == part
    if framing == "chunked":
        client.send(chunk())
    assert client.read_response().body == b"all"


def test_both_directions_at_once(stage: Stage, client: RawClient) -> None:
    """A response that begins before the request is finished; the request goes on, and both connections stay."""

    def echo(connection: BackendConnection) -> None:
        while connection.read_head() is not None:
            connection.send(response(200, [CHUNKED], None))
            for number in range(20):
                piece = chunk(b"%04d" % number, last=False)
                while len(connection.buffer) < len(piece):
                    connection.fill()
                assert bytes(connection.buffer) == piece
                connection.buffer.clear()
                connection.send(piece)
            while connection.buffer != b"0\r\n\r\n":
                connection.fill()
            connection.buffer.clear()
            connection.send(chunk())

    stage.backend.on_connect = echo
    for _ in range(2):
        client.send(request("POST", "/echo", [CHUNKED]))
        assert client.read_head().status == 200
        for number in range(20):
            piece = chunk(b"%04d" % number, last=False)
            client.send(piece)
            read_raw(client, piece)
        client.send(chunk())
        read_raw(client, chunk())
    assert client.is_open()
    assert len(stage.backend.connections) == 1


# Interim answers.


def test_103_is_passed_on_before_the_answer(stage: Stage, client: RawClient) -> None:
    turns = Turns()

    def hint(asked: Request, connection: BackendConnection) -> bytes:
        for name in ("a", "b"):
            hop_by_hop = [("Connection", "X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "x")]
            connection.send(
                response(
                    103, [("Link", f"</{name}.css>; rel=preload"), *hop_by_hop], None, reason="Early Hints"
                )
            )
        turns.take()
        return response(200, body=b"page")

    stage.backend.on_request = hint
    client.send(request("GET", "/"))
    for name in (b"a", b"b"):
        early = client.read_head()
        assert (early.status, early.field("Link")) == (103, b"</" + name + b".css>; rel=preload")
        assert not early.names() & {b"connection", b"x-hop", b"keep-alive", b"content-length"}
    turns.give()
    answer = client.read_response()
    assert (answer.status, answer.body, answer.informational) == (200, b"page", [])
    assert client.is_open()


@pytest.mark.parametrize("status", [102, 103, 199])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_interim_answers_in_one_piece_with_the_answer(
    stage: Stage, client: RawClient, status: int, method: str
) -> None:
    body = b"" if method == "HEAD" else b"body"
    final = response(200, [("Content-Length", "4")], None) + body
    stage.backend.on_request = lambda asked, connection: response(status, [("X-A", "1")], None) + final
    for _ in range(2):
        answer = client.exchange(request(method, "/"), method)
        assert [(early.status, early.field("X-A")) for early in answer.informational] == [(status, b"1")]
        assert (answer.status, answer.body) == (200, body)
    assert len(stage.backend.connections) == 1


def test_interim_answers_are_not_for_http_1_0(stage: Stage, client: RawClient) -> None:
    stage.backend.on_request = lambda asked, connection: (
        response(103, body=None) + response(200, body=b"page")
    )
    answer = client.exchange(request("GET", "/", version="HTTP/1.0"))
    assert (answer.status, answer.body, answer.informational) == (200, b"page", [])


def test_100_that_nobody_waits_for_is_dropped(stage: Stage, client: RawClient) -> None:
    stage.backend.on_request = lambda asked, connection: (
        response(100, body=None) + response(200, body=b"page")
    )
    for asked in (request("GET", "/"), request("POST", "/", body=b"body")):
        answer = client.exchange(asked)
        assert (answer.status, answer.body, answer.informational) == (200, b"page", [])


# Trailers.


@pytest.mark.parametrize("is_announced", [True, False], ids=["announced", "unannounced"])
@pytest.mark.parametrize("body", [b"", b"body"], ids=["empty", "body"])
def test_trailers_of_a_response(stage: Stage, client: RawClient, is_announced: bool, body: bytes) -> None:
    fields = [CHUNKED, ("Trailer", "X-Sum, X-Sign")] if is_announced else [CHUNKED]
    coded = chunk(*([body] if body else []), trailers=[("X-Sum", "12"), ("X-Sign", "abc")])
    stage.backend.on_request = lambda asked, connection: response(200, fields, None) + coded
    for _ in range(2):
        answer = client.exchange(request("GET", "/", [("TE", "trailers"), ("Connection", "TE")]))
        assert (answer.status, answer.body) == (200, body)
        assert answer.trailers == [(b"X-Sum", b"12"), (b"X-Sign", b"abc")]
        assert answer.all("Trailer") == ([b"X-Sum, X-Sign"] if is_announced else [])
    assert len(stage.backend.connections) == 1


def test_trailers_that_come_late(stage: Stage, client: RawClient) -> None:
    turns = Turns()

    def late(asked: Request, connection: BackendConnection) -> bytes:
        connection.send(response(200, [CHUNKED], None) + chunk(b"body", last=False))
        return turns.take()

    stage.backend.on_request = late
    client.send(request("GET", "/"))
    client.read_head()
    read_raw(client, chunk(b"body", last=False))
    turns.give(b"0\r\nX-Sum: 12\r\n\r\n")
    read_raw(client, b"0\r\nX-Sum: 12\r\n\r\n")
    assert client.is_open()


@pytest.mark.parametrize("is_announced", [True, False], ids=["announced", "unannounced"])
@pytest.mark.parametrize("pieces", [0, 7])
def test_trailers_of_a_request(stage: Stage, client: RawClient, is_announced: bool, pieces: int) -> None:
    fields = [CHUNKED, ("Trailer", "X-Sum")] if is_announced else [CHUNKED]
    data = request("POST", "/", fields) + chunk(b"bo", b"dy", trailers=[("X-Sum", "12")])
    client.send_pieces(data, pieces or len(data))
    assert client.read_response().status == 200
    asked = stage.backend.wait_requests(1)[0]
    assert (asked.body, asked.trailers) == (b"body", [(b"X-Sum", b"12")])
    assert asked.all("Trailer") == ([b"X-Sum"] if is_announced else [])


def test_trailers_are_not_for_http_1_0(stage: Stage, client: RawClient) -> None:
    coded = chunk(b"body", trailers=[("X-Sum", "12")])
    stage.backend.on_request = lambda asked, connection: response(200, [CHUNKED], None) + coded
    answer = client.exchange(request("GET", "/", version="HTTP/1.0"))
    assert (answer.framing, answer.body) == ("close", b"body")
