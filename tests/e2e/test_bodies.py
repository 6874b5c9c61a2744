"""Bodies: byte for byte in both directions, also when they break off. On both event loops."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import pytest

from e2e.bodies import CHUNKED, LOOPS, MIB, POOL, body_of, coded, same, stage_on
from kit import (
    BackendConnection,
    RawClient,
    Request,
    Stage,
    Truncated,
    chunk,
    request,
    response,
)
from kit.tables import POISON

SIZES = [1, 65_535, 65_536, 65_537, 262_144, MIB + 13, 20 * MIB]


@pytest.fixture(scope="module", params=LOOPS)
def shared_stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with stage_on(request.param) as started:
        yield started


@pytest.fixture
def client(stage: Stage) -> Iterator[RawClient]:
    with stage.client() as connected:
        yield connected


# Byte for byte.


@pytest.mark.parametrize(
    ("framing", "size"),
    [(framing, size) for framing in ("length", "chunked") for size in SIZES] + [("close", MIB + 13)],
)
def test_download(stage: Stage, client: RawClient, size: int, framing: str) -> None:
    body = body_of(size)
    fields = {"length": [("Content-Length", str(size))], "chunked": [CHUNKED], "close": []}[framing]

    def answer(asked: Request, connection: BackendConnection) -> None:
        connection.send(response(200, fields, None) + coded(body, framing))
        if framing == "close":
            connection.close()

    stage.backend.on_request = answer
    rounds = 1 if size > MIB else 2
    for _ in range(rounds):
        got = client.exchange(request("GET", "/"))
        assert (got.status, got.framing) == (200, "length" if framing == "length" else "chunked")
        assert same(got.body, body)
    assert client.is_open()
    assert len(stage.backend.connections) == (rounds if framing == "close" else 1)


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", SIZES)
def test_upload(stage: Stage, client: RawClient, size: int, framing: str) -> None:
    body = body_of(size)
    fields = [("Content-Length", str(size))] if framing == "length" else [CHUNKED]
    for number in range(1 if size > MIB else 2):
        got = client.exchange(request("POST", "/", fields) + coded(body, framing))
        assert got.status == 200
        asked = stage.backend.requests[number]
        assert asked.framing == framing
        assert same(asked.body, body)
    assert client.is_open()
    assert len(stage.backend.connections) == 1


def test_both_ways_one_after_the_other(stage: Stage, client: RawClient) -> None:
    """Bodies of all sizes on one connection, some in one write with the next request."""
    stage.backend.on_request = lambda asked, connection: response(200, body=asked.body[::-1])
    bodies = [body_of(size) for size in (3, 70_000, 1, 300_000, 65_536, MIB, 2)]
    sending = threading.Thread(
        target=client.send, args=(b"".join(request("PUT", "/", body=body) for body in bodies),)
    )
    sending.start()
    for body in bodies:
        assert same(client.read_response().body, body[::-1])
    sending.join(10)
    assert client.is_open()


# Long bodies that end otherwise. They go another way through the program than short ones.


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("extra", [POISON, b"x"], ids=["poison", "x"])
def test_bytes_behind_a_long_body(stage: Stage, client: RawClient, framing: str, extra: bytes) -> None:
    """The body passes whole, what follows it does not, and the connection that it came on is not used again."""
    body = body_of(MIB)
    fields = [("Content-Length", str(MIB))] if framing == "length" else [CHUNKED]

    def answer(asked: Request, connection: BackendConnection) -> bytes:
        if asked.target != b"/long":
            return response(200, body=b"short")
        return response(200, fields, None) + coded(body, framing) + extra

    stage.backend.on_request = answer
    for _ in range(2):
        assert same(client.exchange(request("GET", "/long")).body, body)
        assert client.exchange(request("GET", "/short")).body == b"short"
    assert [asked.connection for asked in stage.backend.requests] == [0, 1, 1, 2]


@pytest.mark.parametrize("how", ["fin", "rst", "silence"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_long_download_that_breaks_off(stage: Stage, client: RawClient, framing: str, how: str) -> None:
    """What came is passed on, and the client can tell that it is not all."""
    body = body_of(4 * MIB)
    fields = [("Content-Length", str(5 * MIB))] if framing == "length" else [CHUNKED]
    part = (
        body
        if framing == "length"
        else chunk(*(body[at : at + MIB] for at in range(0, 4 * MIB, MIB)), last=False)
    )

    def stop(asked: Request, connection: BackendConnection) -> None:
        connection.send(response(200, fields, None) + part)
        if how == "silence":
            connection.wait_end()
        connection.reset() if how == "rst" else connection.close()

    stage.backend.on_request = stop
    with pytest.raises(Truncated) as ended:
        client.exchange(request("GET", "/idle"))
    partial = ended.value.partial
    assert partial is not None and body.startswith(partial.body)
    if how == "silence":
        assert same(partial.body, body)
    assert stage.backend.connections[0].wait_gone()
    stage.assert_serves()


@pytest.mark.parametrize("how", ["fin", "rst", "silence"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_long_upload_that_breaks_off(stage: Stage, client: RawClient, framing: str, how: str) -> None:
    """The backend never sees a complete request; a client that is only silent is told so."""
    fields = [("Content-Length", str(5 * MIB))] if framing == "length" else [CHUNKED]
    body = body_of(4 * MIB)
    part = (
        body
        if framing == "length"
        else chunk(*(body[at : at + MIB] for at in range(0, 4 * MIB, MIB)), last=False)
    )
    client.send(request("POST", "/", fields) + part)
    if how == "silence":
        assert client.read_response().status == 408
        assert client.end() in ("fin", "rst")
    else:
        (connection,) = stage.backend.wait_connections(1)
        connection.wait_received(len(body))
        client.reset() if how == "rst" else client.close()
    (connection,) = stage.backend.wait_connections(1)
    assert connection.wait_gone()
    assert stage.backend.requests == []
    stage.assert_serves()


def test_the_log_counts_the_bytes(stage: Stage, client: RawClient) -> None:
    sizes = [1, 65_536, MIB + 1, 20 * MIB]
    stage.backend.on_request = lambda asked, connection: response(200, body=POOL[: int(asked.target[7:])])
    for size in sizes:
        assert len(client.exchange(request("GET", f"/sized/{size}")).body) == size
    logged: list[int] = []
    while len(logged) < len(sizes):
        time.sleep(0.02)
        lines = map(json.loads, stage.posthouse.wait_access(len(logged) + 1))
        logged = [line["size"] for line in lines if line["uri"].startswith("/sized/")]
    assert logged == sizes
