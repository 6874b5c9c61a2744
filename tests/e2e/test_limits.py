"""Every buffer has an end: each limit on both of its sides.

Rule 12 and topics 2.2, 2.3, 2.5, 2.12 of the specification of reliability; the table of limits.
"""

from __future__ import annotations

import pytest

from kit import (
    BackendConnection,
    Request,
    Stage,
    Truncated,
    chunk,
    request,
    response,
    wait_still,
)

KB = 1024

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    proxy / BACKEND
}
http://:PORT2 {
    bind 127.0.0.1
    limits {
        header 2KB
        fields 10
        body 1KB
        body /large 64KB
    }
    proxy / BACKEND
}
"""


def small(stage: Stage) -> int:
    """The port of the site with limits of its own."""
    return stage.posthouse.named_port("PORT2")


def padded(target: str, size: int, fields: int = 1) -> bytes:
    """A GET whose head has exactly `size` bytes, padded in that many fields."""
    head = request("GET", target, [(f"X-{number:03}", "") for number in range(fields)])
    left = size - len(head)
    parts = [left // fields + (1 if number < left % fields else 0) for number in range(fields)]
    padding = [(f"X-{number:03}", "a" * part) for number, part in enumerate(parts)]
    head = request("GET", target, padding)
    assert len(head) == size
    return head


# The head of a request.


@pytest.mark.parametrize(
    ("size", "status"), [(16 * KB - 1, 200), (16 * KB, 200), (16 * KB + 1, 414), (60_000, 414)]
)
def test_target(stage: Stage, size: int, status: int) -> None:
    target = "/" + "a" * (size - 1)
    if status != 200:
        stage.assert_refused(request("GET", target), status)
        return
    assert stage.get(target).status == 200
    assert stage.backend.requests[0].target == target.encode()


def test_endless_target(stage: Stage) -> None:
    with stage.client() as client:
        client.send(b"GET /")
        for _ in range(200):
            client.send(b"a" * 4096)
        assert client.read_response().status == 414
        assert client.end() in ("fin", "rst")
    assert stage.backend.received() == b""


@pytest.mark.parametrize(
    ("size", "status"), [(63 * KB, 200), (64 * KB, 200), (65 * KB, 431), (200 * KB, 431)]
)
@pytest.mark.parametrize("fields", [1, 20], ids=["one-field", "twenty-fields"])
def test_head(stage: Stage, size: int, status: int, fields: int) -> None:
    data = padded("/x", size, fields)
    if status != 200:
        stage.assert_refused(data, status)
        return
    with stage.client() as client:
        assert client.exchange(data).status == 200
        assert client.exchange(data).status == 200
    assert (
        sum(len(value) for name, value in stage.backend.requests[0].fields if name.startswith(b"X-0"))
        > 60_000
    )


@pytest.mark.parametrize("data", [b"X-A: " + b"a" * 8_000_000, b"a" * 8_000_000, b"X: 1\r\n" * 100_000])
def test_endless_head(stage: Stage, data: bytes) -> None:
    """Reading stops at the limit, and memory does not follow."""
    before = stage.posthouse.memory()
    stage.assert_refused(b"GET / HTTP/1.1\r\nHost: site.test\r\n" + data, 431)
    assert stage.posthouse.memory() - before < 4 << 20


@pytest.mark.parametrize(("count", "status"), [(127, 200), (128, 200), (129, 431), (2000, 431)])
def test_fields(stage: Stage, count: int, status: int) -> None:
    fields = [(f"X-{number}", "1") for number in range(count - 1)]
    data = request("GET", "/", fields)
    if status != 200:
        stage.assert_refused(data, status)
        return
    with stage.client() as client:
        assert client.exchange(data).status == 200
    assert len([name for name in stage.backend.requests[0].names() if name.startswith(b"x-")]) >= count - 1


@pytest.mark.parametrize(("size", "status"), [(2 * KB, 200), (2 * KB + 100, 431)])
def test_head_of_a_site(stage: Stage, size: int, status: int) -> None:
    with stage.client(small(stage)) as client:
        assert client.exchange(padded("/", size)).status == status


@pytest.mark.parametrize(("count", "status"), [(10, 200), (11, 431)])
def test_fields_of_a_site(stage: Stage, count: int, status: int) -> None:
    with stage.client(small(stage)) as client:
        fields = [(f"X-{number}", "1") for number in range(count - 1)]
        assert client.exchange(request("GET", "/", fields)).status == status


@pytest.mark.parametrize("kind", ["head", "fields", "body"])
def test_one_site_accepts_nothing_for_another(stage: Stage, kind: str) -> None:
    """The same bytes, first where they are within the limits, then where they are not, then again."""
    data, status = {
        "head": (padded("/", 3 * KB), 431),
        "fields": (request("GET", "/", [(f"X-{number}", "1") for number in range(20)]), 431),
        "body": (request("POST", "/", body=b"a" * 2 * KB), 413),
    }[kind]
    for _ in range(3):
        with stage.client() as client:
            assert client.exchange(data).status == 200
            assert client.exchange(data).status == 200
        with stage.client(small(stage)) as client:
            assert client.exchange(data).status == status


# Bodies.


@pytest.mark.parametrize(
    ("target", "size", "status"),
    [("/", KB, 200), ("/", KB + 1, 413), ("/large/x", 64 * KB, 200), ("/large/x", 64 * KB + 1, 413)],
)
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_body_of_a_site(stage: Stage, target: str, size: int, status: int, is_chunked: bool) -> None:
    body = b"a" * size
    with stage.client(small(stage)) as client:
        if is_chunked:
            data = request("POST", target, [("Transfer-Encoding", "chunked")]) + chunk(body[:500], body[500:])
        else:
            data = request("POST", target, body=body)
        assert client.exchange(data).status == status
        if status == 413 and is_chunked:
            assert client.end() in ("fin", "rst")
    assert [len(asked.body) for asked in stage.backend.requests] == ([size] if status == 200 else [])
    assert stage.backend.violations == []


@pytest.mark.parametrize(("size", "status"), [(1000, 200), (1100, 400)])
def test_chunk_line(stage: Stage, size: int, status: int) -> None:
    head = request("POST", "/", [("Transfer-Encoding", "chunked")])
    with stage.client() as client:
        line = b"5;" + b"a" * (size - 2)
        assert client.exchange(head + line + b"\r\nhello\r\n0\r\n\r\n").status == status


@pytest.mark.parametrize(("size", "status"), [(8000, 200), (8 * KB + 100, 400)])
def test_trailers(stage: Stage, size: int, status: int) -> None:
    head = request("POST", "/", [("Transfer-Encoding", "chunked")])
    with stage.client() as client:
        trailers = [("X-T", "a" * (size // 2 - 10)), ("X-U", "a" * (size // 2 - 10))]
        assert client.exchange(head + chunk(b"hello", trailers=trailers)).status == status


# Responses.


def answer_padded(stage: Stage, size: int) -> None:
    head = response(200, [("X-Pad", "")])
    data = response(200, [("X-Pad", "a" * (size - len(head) + 2))])
    assert len(data) == size + 2
    stage.backend.on_request = lambda asked, connection: data if asked.target == b"/big" else response(200)


@pytest.mark.parametrize(("size", "status"), [(63 * KB, 200), (64 * KB, 200), (65 * KB, 502), (1 << 20, 502)])
def test_head_of_a_response(stage: Stage, size: int, status: int) -> None:
    answer_padded(stage, size)
    assert stage.get("/big").status == status
    assert stage.get("/next").status == 200


def test_endless_head_of_a_response(stage: Stage) -> None:
    def endless(asked: Request, connection: BackendConnection) -> bytes | None:
        if asked.target != b"/big":
            return response(200)
        connection.send(b"HTTP/1.1 200 OK\r\n")
        while not connection.ended:
            connection.send(b"X-Pad: " + b"a" * 10_000 + b"\r\n")
        return None

    stage.backend.on_request = endless
    before = stage.posthouse.memory()
    assert stage.get("/big").status == 502
    assert stage.backend.connections[0].wait_gone()
    assert stage.posthouse.memory() - before < 4 << 20
    assert stage.get("/next").status == 200


@pytest.mark.parametrize(("count", "status"), [(1, 200), (32, 200), (33, 502), (500, 502)])
def test_1xx(stage: Stage, count: int, status: int) -> None:
    data = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * count + response(200)
    stage.backend.on_request = lambda asked, connection: data if asked.target == b"/hints" else response(200)
    with stage.client() as client:
        answer = client.exchange(request("GET", "/hints"))
        assert answer.status == status
        assert len(answer.informational) == count if status == 200 else len(answer.informational) <= 32
    assert stage.get("/next").status == 200


def test_1xx_have_a_size_together(stage: Stage) -> None:
    data = (b"HTTP/1.1 103 Early Hints\r\nX-Pad: " + b"a" * 60_000 + b"\r\n\r\n") * 30 + response(200)
    stage.backend.on_request = lambda asked, connection: data
    assert stage.get("/hints").status == 502


@pytest.mark.parametrize(
    ("line", "trailer", "is_good"), [(1000, 8000, True), (1100, 10, False), (10, 8400, False)]
)
def test_chunks_of_a_response(stage: Stage, line: int, trailer: int, is_good: bool) -> None:
    body = b"5;" + b"a" * (line - 2) + b"\r\nhello\r\n0\r\nX-T: " + b"a" * (trailer - 10) + b"\r\n\r\n"
    data = response(200, [("Transfer-Encoding", "chunked")], None) + body
    stage.backend.on_request = lambda asked, connection: data
    with stage.client() as client:
        client.send(request("GET", "/"))
        try:
            answer = client.read_response()
        except Truncated:
            assert not is_good
        else:
            assert (answer.status, answer.body) == (200, b"hello") if is_good else answer.status == 502


# Memory with somebody who stalls.

BLOCK = bytes(range(256)) * 256


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_stalled_readers_cost_little(stage: Stage, is_chunked: bool) -> None:
    """Four downloads of 64 MiB that nobody reads: the backend is held, memory is not spent."""
    blocks, sent = 1024, [0]

    def flood(asked: Request, connection: BackendConnection) -> None:
        framing = (
            ("Transfer-Encoding", "chunked") if is_chunked else ("Content-Length", str(blocks * len(BLOCK)))
        )
        connection.send(response(200, [framing], None))
        for _ in range(blocks):
            connection.send(chunk(BLOCK, last=False) if is_chunked else BLOCK)
            sent[0] += 1
            if connection.ended:
                return

    stage.backend.on_request = flood
    before = stage.posthouse.memory()
    clients = [stage.client() for _ in range(4)]
    for client in clients:
        client.send(request("GET", "/"))
    stage.backend.wait_requests(4)
    assert wait_still(lambda: sent[0]) < 4 * blocks
    assert stage.posthouse.memory() - before < 8 << 20
    for client in clients:
        client.reset()
    for connection in stage.backend.connections:
        assert connection.wait_gone()


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_stalled_backends_cost_little(stage: Stage, is_chunked: bool) -> None:
    """Three uploads that the backend does not read: the clients are held."""
    stage.backend.on_connect = lambda connection: connection.backend.hold()
    before = stage.posthouse.memory()
    framing = ("Transfer-Encoding", "chunked") if is_chunked else ("Content-Length", str(1 << 30))
    clients = [stage.client() for _ in range(3)]
    for client in clients:
        client.send(request("POST", "/", [framing]))
        client.socket.setblocking(False)

    block = chunk(BLOCK, last=False) if is_chunked else BLOCK
    sent = [0] * len(clients)

    def push() -> int:
        for number, client in enumerate(clients):
            try:
                while True:
                    sent[number] += client.socket.send(block[sent[number] % len(block) :])
            except BlockingIOError:
                pass
        return sum(sent)

    assert 0 < wait_still(push) < 100 << 20
    assert stage.posthouse.memory() - before < 8 << 20
    for client in clients:
        client.reset()
    stage.backend.release()


# Connections.


def test_connections_are_bounded() -> None:
    """Past the limit accepting pauses; connections that end make room for those that wait.

    The loop accepts ahead of counting, so the limit may be passed by two bursts of an eighth of it.
    """
    caddyfile = "http://:PORT {\n bind 127.0.0.1\n limits {\n  connections 16\n }\n proxy / BACKEND\n}\n"
    with Stage(caddyfile) as stage:
        clients = [stage.client() for _ in range(30)]
        for client in clients:
            client.send(request("GET", "/"))
        served = wait_still(lambda: len(stage.backend.requests))
        assert 16 <= served <= 16 + 4
        for client in clients[:served]:
            assert client.read_response().status == 200
        assert all(client.is_open(0) for client in clients[served:])
        for client in clients[:served]:
            client.close()
        for client in clients[served:]:
            assert client.read_response().status == 200


@pytest.mark.parametrize("is_whole", [True, False])
def test_no_body_is_sent_to_head_whatever_is_wrong(stage: Stage, is_whole: bool) -> None:
    data = request("HEAD", "/" + "a" * (20 * KB))
    with stage.client() as client:
        client.send(data if is_whole else data[: 17 * KB])
        answer = client.read_until_end()
    assert answer.startswith(b"HTTP/1.1 414 ") and answer.endswith(b"\r\n\r\n")
