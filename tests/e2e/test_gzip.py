"""`gzip` through a real process: the bytes, the fields, what is left alone, what breaks off, who waits."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e import peers
from e2e.bodies import CHUNKED, LOOPS, MIB
from kit import (
    BackendConnection,
    RawClient,
    Request,
    Response,
    Stage,
    Truncated,
    chunk,
    http1,
    request,
    response,
    wait_still,
)
from kit.http1 import Fields

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    log / access.log json
    gzip {
        ext *
        not /raw
    }
    proxy / BACKEND
    proxy /down 127.0.0.1:1
}
http://files.test:PORT {
    bind 127.0.0.1
    gzip {
        min_length 1
    }
    header / X-Rule yes
    proxy /api BACKEND
}
"""
GZIP = [("Accept-Encoding", "gzip, deflate, br")]
TEXT = b"".join(b"%d bottles of beer on the wall\n" % number for number in range(400))
HTML = ("Content-Type", "text/html")
ETAG = ("ETag", '"v1"')


@pytest.fixture(scope="module", params=LOOPS)
def shared_stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with Stage(CADDYFILE, env={"POSTHOUSE_LOOP": request.param}) as started:
        assert started.get("/").status == 200
        yield started


def answer_with(stage: Stage, data: bytes, *, close: bool = False) -> None:
    """The backend says this to every request."""

    def answer(asked: Request, connection: BackendConnection) -> None:
        connection.send(data)
        if close:
            connection.close()

    stage.backend.on_request = answer


def varies(answer: Response) -> bool:
    return answer.field("Vary") == b"Accept-Encoding"


def plain(answer: Response) -> bytes:
    """The decoded body, which must be one complete gzip member."""
    assert answer.field("Content-Encoding") == b"gzip"
    assert varies(answer)
    reader = zlib.decompressobj(31)
    found = reader.decompress(answer.body)
    assert reader.eof
    assert reader.unused_data == b""
    return found


# -- bodies --------------------------------------------------------------------------------------------------------

BODIES = {
    "short": TEXT[:600],
    "one piece": TEXT,
    "long": TEXT * 20,
    "random": random.Random(1).randbytes(3 * MIB),
}


def framed(body: bytes, framing: str) -> tuple[bytes, bool]:
    """A response in that framing, and whether the connection ends after it."""
    if framing == "length":
        return response(200, [HTML, ETAG], body), False
    if framing == "close":
        return response(200, [HTML, ETAG], None) + body, True
    trailers: Fields = [("X-Sum", "1"), ("Content-Digest", "sha-256=:eA==:")] if framing == "trailers" else ()
    pieces = [body[at : at + 50_000] for at in range(0, len(body), 50_000)]
    return response(200, [HTML, ETAG, CHUNKED], None) + chunk(*pieces, trailers=trailers), False


@pytest.mark.parametrize("framing", ["length", "chunked", "trailers", "close"])
@pytest.mark.parametrize("size", BODIES)
@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
def test_bodies_are_the_same_when_decoded(stage: Stage, size: str, framing: str, version: str) -> None:
    data, is_closed = framed(BODIES[size], framing)
    answer_with(stage, data, close=is_closed)
    with stage.client() as client:
        answer = client.exchange(request("GET", "/x", GZIP, version=version))
        assert plain(answer) == BODIES[size]
        assert answer.field("ETag") == b'W/"v1"'
        if version == "HTTP/1.1":
            assert answer.trailers == ([(b"X-Sum", b"1")] if framing == "trailers" else [])
            answer_with(stage, response(200))
            assert client.exchange(request("GET", "/next")).body == b"ok", "the connection goes on"


def test_what_came_whole_has_its_length(stage: Stage) -> None:
    answer_with(stage, response(200, [HTML], TEXT))
    answer = stage.get("/x", GZIP)
    assert answer.framing == "length"
    assert len(answer.body) < len(TEXT) / 2


def test_the_log_says_what_was_sent(stage: Stage) -> None:
    answer_with(stage, response(200, [HTML], TEXT))
    answer = stage.get("/logged", GZIP)
    lines: list[str] = []
    while not any('"/logged"' in line for line in lines):
        lines = stage.posthouse.wait_access(len(lines) + 1)
    [size] = [json.loads(line)["size"] for line in lines if '"/logged"' in line]
    assert size == len(answer.body)


def test_each_piece_comes_at_once(stage: Stage) -> None:
    """The backend sends the next piece when the client has decoded the last one."""
    ready = threading.Event()

    def answer(asked: Request, connection: BackendConnection) -> bytes:
        connection.send(response(200, [HTML, CHUNKED], None))
        for number in range(5):
            connection.send(chunk(b"piece %d" % number, last=False))
            assert ready.wait(5)
            ready.clear()
        return chunk()

    stage.backend.on_request = answer
    reader, decoded = zlib.decompressobj(31), b""
    with stage.client() as client:
        client.send(request("GET", "/x", GZIP))
        client.read_head()
        for number in range(5):
            while not decoded.endswith(b"piece %d" % number):
                size = client.buffer.find(b"\r\n")
                if size < 0 or len(client.buffer) < size + 4 + int(client.buffer[:size], 16):
                    assert client.fill() == ""
                    continue
                length = int(client.buffer[:size], 16)
                decoded += reader.decompress(bytes(client.buffer[size + 2 : size + 2 + length]))
                del client.buffer[: size + 4 + length]
            ready.set()


# -- what is left alone --------------------------------------------------------------------------------------------


def test_who_does_not_ask_gets_it_as_it_is(stage: Stage) -> None:
    answer_with(stage, response(200, [HTML, ETAG], TEXT))
    for fields in ([], [("Accept-Encoding", "br")], [("Accept-Encoding", "gzip;q=0")]):
        answer = stage.get("/x", fields)
        assert (answer.body, answer.field("ETag"), answer.framing) == (TEXT, b'"v1"', "length")
        assert varies(answer)


def test_excluded_paths_have_nothing_said_about_them(stage: Stage) -> None:
    answer_with(stage, response(200, [HTML, ETAG], TEXT))
    answer = stage.get("/raw/x", GZIP)
    assert (answer.body, answer.names() & {b"vary", b"content-encoding"}) == (TEXT, set())


def test_never_twice(stage: Stage) -> None:
    packed = gzip.compress(TEXT)
    answer_with(
        stage, response(200, [HTML, ETAG, ("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")], packed)
    )
    answer = stage.get("/x", GZIP)
    assert (plain(answer), answer.body, answer.field("ETag")) == (TEXT, packed, b'"v1"')
    assert stage.backend.requests[-1].field("Accept-Encoding") == GZIP[0][1].encode(), "it may do it itself"


def test_ranges_are_the_backends(stage: Stage) -> None:
    answer_with(stage, response(206, [HTML, ETAG, ("Content-Range", "bytes 0-999/2000")], TEXT[:1000]))
    answer = stage.get("/x", [*GZIP, ("Range", "bytes=0-999")])
    assert (answer.status, answer.body, answer.field("ETag")) == (206, TEXT[:1000], b'"v1"')
    assert b"content-encoding" not in answer.names()


@pytest.mark.parametrize(
    "line",
    [("Content-Type", "text/event-stream"), ("X-Accel-Buffering", "no"), ("Content-Type", "image/png")],
)
def test_streams_and_packed_types_are_untouched(stage: Stage, line: tuple[str, str]) -> None:
    answer_with(stage, response(200, [line, CHUNKED], None) + chunk(b"data: 1\n\n", b"data: 2\n\n" * 200))
    answer = stage.get("/x", GZIP)
    assert answer.body == b"data: 1\n\n" + b"data: 2\n\n" * 200
    assert answer.names() & {b"vary", b"content-encoding"} == set()


def test_upgrades_are_untouched(stage: Stage) -> None:
    def answer(asked: Request, connection: BackendConnection) -> None:
        connection.send(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello")
        connection.wait_end()

    stage.backend.on_request = answer
    with stage.client() as client:
        upgrade = [("Connection", "Upgrade"), ("Upgrade", "echo")]
        head = client.exchange(request("GET", "/x", [*GZIP, *upgrade]))
        assert head.status == 101
        assert head.names() & {b"vary", b"content-encoding"} == set()
        while client.buffer != b"hello":
            assert client.fill() == ""


# -- HEAD, 304, our own answers ------------------------------------------------------------------------------------


def test_head_has_the_fields_of_get(stage: Stage) -> None:
    for fields in ([HTML, ETAG, ("Accept-Ranges", "bytes")], [HTML, ETAG, CHUNKED]):
        for body in (TEXT, b"short"):
            whole = response(200, fields, None if CHUNKED in fields else body)
            end = chunk(body) if CHUNKED in fields else b""
            answer_with(stage, whole + end)
            got = stage.get("/x", GZIP)
            answer_with(stage, whole[: whole.index(b"\r\n\r\n") + 4])
            head = stage.get("/x", GZIP, method="HEAD")
            framing = {b"content-length", b"transfer-encoding", b"date"}
            assert [one for one in head.fields if one[0].lower() not in framing] == [
                one for one in got.fields if one[0].lower() not in framing
            ]
            if head.field("Content-Encoding"):
                assert head.field("Content-Length") is None, "it is not known before it is coded"


def test_a_304_to_our_own_etag(stage: Stage) -> None:
    """The weak form goes to the backend, which compares weakly; its 304 names what this client holds."""
    answer_with(stage, response(304, [ETAG], None))
    answer = stage.get("/x", [*GZIP, ("If-None-Match", 'W/"v1"')])
    assert stage.backend.requests[-1].field("If-None-Match") == b'W/"v1"'
    assert (answer.status, answer.field("ETag"), answer.body) == (304, b'W/"v1"', b"")
    assert varies(answer)
    assert stage.get("/x", [("If-None-Match", '"v1"')]).field("ETag") == b'"v1"'


def test_our_own_answers(stage: Stage) -> None:
    lost = stage.get("/nothing", GZIP, host="files.test")
    assert (lost.status, plain(lost), lost.framing) == (404, b"404 Not Found\n", "length")
    assert lost.field("X-Rule") == b"yes"
    down = stage.get("/down", GZIP)
    assert (down.status, down.body) == (502, b"502 Bad Gateway\n"), "shorter than min_length"
    assert varies(down)


# -- what breaks off -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_backend_that_breaks_off_is_shown(stage: Stage, framing: str, how: str) -> None:
    """The framing is not ended, and the coding is not either."""
    body = random.Random(2).randbytes(200_000)
    data, _ = framed(body, framing)

    def answer(asked: Request, connection: BackendConnection) -> None:
        connection.send(data[:-70_000])
        if how == "fin":
            connection.close()
        else:
            assert seen.wait(5)
            connection.reset()

    seen = threading.Event()
    stage.backend.on_request = answer
    with stage.client() as client:
        client.send(request("GET", "/x", GZIP))
        while len(client.buffer) < 100_000:
            assert client.fill() == ""
        seen.set()
        with pytest.raises(Truncated) as cut:
            client.read_response()
    assert cut.value.partial is not None
    reader = zlib.decompressobj(31)
    assert body.startswith(reader.decompress(cut.value.partial.body))
    assert not reader.eof
    stage.assert_serves()


def test_a_client_that_leaves_midway_stops_the_backend(stage: Stage) -> None:
    ended: list[str] = []

    def answer(asked: Request, connection: BackendConnection) -> None:
        connection.send(response(200, [HTML, CHUNKED], None))
        block = chunk(random.Random(3).randbytes(MIB), last=False)
        while not connection.ended:
            connection.send(block)
        ended.append(connection.ended)

    stage.backend.on_request = answer
    with stage.client() as client:
        client.send(request("GET", "/x", GZIP))
        while len(client.buffer) < 300_000:
            assert client.fill() == ""
        client.reset()
    assert stage.backend.connections[0].wait_gone()
    assert ended == ["rst"]
    stage.assert_serves()


# -- who waits -----------------------------------------------------------------------------------------------------


def test_a_reader_that_stalls_costs_little_and_others_are_served(stage: Stage) -> None:
    """What shrinks little, so that the kernels' buffers are full soon."""
    block = random.Random(4).randbytes(MIB)
    sent = 0

    def answer(asked: Request, connection: BackendConnection) -> bytes | None:
        nonlocal sent
        if asked.target != b"/large":
            return response(200, [HTML], TEXT)
        connection.send(response(200, [HTML, ("Content-Length", str(64 * MIB))], None))
        for _ in range(64):
            connection.socket.sendall(block)
            sent += MIB
        return None

    stage.backend.on_request = answer
    before = stage.posthouse.memory()
    with stage.client() as client:
        client.send(request("GET", "/large", GZIP))
        head = client.read_head()
        assert head.framing == "chunked"
        wait_still(lambda: sent)
        assert sent < 64 * MIB
        assert stage.posthouse.memory() - before < 16 * MIB
        for _ in range(3):
            assert plain(stage.get("/small", GZIP)) == TEXT
        reader, count = zlib.decompressobj(31), 0
        while count < 4 * MIB:
            count += len(reader.decompress(take_chunk(client)))
    assert stage.backend.connections[0].wait_gone()


def take_chunk(client: RawClient) -> bytes:
    """The data of the next chunk."""
    found = Response(b"", [])
    http1.read_exactly(client, found, int(http1.read_line(client, None), 16))
    assert http1.read_line(client, None) == b""
    return found.body


# -- a real client -------------------------------------------------------------------------------------------------


@pytest.mark.peer
def test_curl_decodes_it(stage: Stage, tmp_path: Path) -> None:
    data, _ = framed(BODIES["long"], "chunked")
    answer_with(stage, data)
    fields = tmp_path / "fields"
    found = subprocess.run(
        [peers.require("curl"), "-sS", "--compressed", "-D", fields, f"http://127.0.0.1:{stage.port}/x"],
        stdout=subprocess.PIPE,
        check=True,
        timeout=20,
    ).stdout
    assert found == BODIES["long"]
    assert b"content-encoding: gzip" in fields.read_bytes().lower()
