"""What was judged good in one place is judged anew in another: same lines, other version, method or message.

Rules 1, 2, 4 and 7 of the specification of reliability. Heads and field lines that come again may be looked up
instead of parsed; a verdict that depends on what stands around them must not come along.
"""

from __future__ import annotations

import pytest

from kit import BackendConnection, Request, Stage, chunk, request, response
from kit.tables import POISON, SMUGGLED

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    proxy / BACKEND
}
"""

CHUNKED = [("Transfer-Encoding", "chunked")]
TIMES = 4
"""More often than anything that is remembered at its second or third sight needs."""


def warm(stage: Stage, data: bytes, method: str = "GET") -> None:
    """Send the same good message several times, on one connection and on new ones."""
    for _ in range(TIMES):
        with stage.client() as client:
            assert client.exchange(data, method).status == 200
            assert client.exchange(data, method).status == 200


def test_chunked_block_of_1_1_in_1_0(stage: Stage) -> None:
    body = chunk(b"body")
    warm(stage, request("POST", "/", CHUNKED) + body)
    stage.clear()
    for _ in range(TIMES):
        stage.assert_refused(request("POST", "/", CHUNKED, version="HTTP/1.0") + body + SMUGGLED)


def test_block_without_host_of_1_0_in_1_1(stage: Stage) -> None:
    old = request("GET", "/", [("X-A", "1")], host=None, version="HTTP/1.0")
    for _ in range(TIMES):
        with stage.client() as client:
            client.send(old)
            assert client.read_response().status in (200, 400)
    stage.clear()
    for _ in range(TIMES):
        stage.assert_refused(request("GET", "/", [("X-A", "1")], host=None))


def test_known_lines_twice_in_one_head(stage: Stage) -> None:
    warm(stage, request("POST", "/", [("Content-Length", "4")]) + b"body")
    warm(stage, request("POST", "/", CHUNKED) + chunk(b"body"))
    stage.clear()
    for fields in ([("Content-Length", "4")] * 2, [*CHUNKED, ("Content-Length", "4")], CHUNKED * 2):
        stage.assert_refused(request("POST", "/", fields) + b"body" + SMUGGLED)
    stage.assert_refused(request("GET", "/", [("Host", "site.test")]))


def test_known_lines_in_trailers(stage: Stage) -> None:
    fields = [("X-Kept", "1"), ("Content-Length", "4"), ("Connection", "close")]
    with stage.client() as client:
        assert client.exchange(request("POST", "/", fields) + b"body").status == 200
    warm(stage, request("GET", "/", [("X-Kept", "1")]))
    stage.clear()
    trailers = [*fields, ("Host", "site.test"), *CHUNKED]
    with stage.client() as client:
        assert client.exchange(request("POST", "/", CHUNKED) + chunk(b"a", trailers=trailers)).status in (
            200,
            400,
        )
    for asked in stage.backend.requests:
        assert asked.trailers == [(b"X-Kept", b"1")]
    assert stage.backend.violations == []


def test_trailer_lines_in_heads(stage: Stage) -> None:
    """Lines that were harmless as trailers frame a message when they stand in its head."""
    warm(stage, request("POST", "/", CHUNKED) + chunk(b"a", trailers=[("X-Sum", "4"), ("X-Long", "b" * 50)]))
    stage.clear()
    with stage.client() as client:
        data = request("POST", "/", [("X-Sum", "4"), ("X-Long", "b" * 50)], SMUGGLED)
        assert client.exchange(data).status == 200
    assert stage.backend.requests[0].body == SMUGGLED


def test_known_head_with_another_body(stage: Stage) -> None:
    head = request("POST", "/", [("Content-Length", "4")])
    with stage.client() as client:
        for body in (b"aaaa", b"bbbb", b"GET ", b"\r\n\r\n", b"cccc"):
            client.send(head + body)
            assert client.read_response().status == 200
    assert [asked.body for asked in stage.backend.requests] == [
        b"aaaa",
        b"bbbb",
        b"GET ",
        b"\r\n\r\n",
        b"cccc",
    ]


def test_known_head_in_pieces(stage: Stage) -> None:
    data = request("POST", "/x", [("X-A", "1"), ("Content-Length", "4")]) + b"body"
    warm(stage, data)
    stage.clear()
    with stage.client() as client:
        for cut in range(1, len(data)):
            client.send(data[:cut])
            client.send(data[cut:])
            assert client.read_response().status == 200
    assert {asked.body for asked in stage.backend.requests} == {b"body"}
    assert stage.backend.violations == []


def test_upgrade_block_with_another_method(stage: Stage) -> None:
    upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
    warm(stage, request("GET", "/", upgrade))
    assert stage.backend.requests[-1].field("Upgrade") == b"websocket"
    stage.clear()
    warm(stage, request("POST", "/", upgrade, b""))
    assert all(b"upgrade" not in asked.names() for asked in stage.backend.requests)


# Responses.


def answers(stage: Stage, data: dict[bytes, bytes]) -> None:
    def answer(asked: Request, connection: BackendConnection) -> bytes:
        return data.get(asked.target) or response(200, body=b"good " + asked.target)

    stage.backend.on_request = answer


def test_chunked_response_block_of_1_1_in_1_0(stage: Stage) -> None:
    good = response(200, CHUNKED, None) + chunk(b"body")
    answers(stage, {b"/good": good, b"/bad": good.replace(b"HTTP/1.1", b"HTTP/1.0", 1) + POISON})
    warm(stage, request("GET", "/good"))
    for _ in range(TIMES):
        assert stage.get("/bad").status == 502
        assert stage.get("/next").body == b"good /next"


@pytest.mark.parametrize("fields", [[("Content-Length", "4")], CHUNKED], ids=["length", "chunked"])
def test_same_response_head_for_get_and_head(stage: Stage, fields: list[tuple[str, str]]) -> None:
    head = response(200, [("X-A", "1"), *fields], None)
    body = chunk(b"body") if fields is CHUNKED else b"body"
    stage.backend.on_request = lambda asked, connection: head + (body if asked.method == b"GET" else b"")
    with stage.client() as client:
        for _ in range(TIMES):
            assert client.exchange(request("GET", "/")).body == b"body"
            assert client.exchange(request("HEAD", "/"), "HEAD").body == b""
    assert len(stage.backend.connections) == 1


def test_same_block_for_200_204_and_304(stage: Stage) -> None:
    block = [("X-A", "1"), ("Content-Length", "4")]
    answers(
        stage,
        {
            b"/200": response(200, block, None) + b"body",
            b"/304": response(304, block, None),
            b"/204": response(204, [("X-A", "1")], None),
        },
    )
    with stage.client() as client:
        for _ in range(TIMES):
            assert client.exchange(request("GET", "/200")).body == b"body"
            assert client.exchange(request("GET", "/304")).status == 304
            assert client.exchange(request("GET", "/204")).status == 204


@pytest.mark.parametrize("status", [101, 103])
def test_known_response_block_in_1xx(stage: Stage, status: int) -> None:
    """A block that was fine for 200 says nothing about 1xx, which has no body."""
    good = response(200, [("X-A", "1")], b"body")
    bad = response(status, [("X-A", "1"), ("Content-Length", "4")], None) + good
    answers(stage, {b"/good": good, b"/bad": bad})
    warm(stage, request("GET", "/good"))
    for _ in range(TIMES):
        answer = stage.get("/bad")
        if status == 101:
            assert answer.status == 502
        else:
            assert answer.status == 502 or (answer.status, answer.body) == (200, b"body")
        assert stage.get("/next").body == b"good /next"


def test_known_response_head_with_bad_chunks(stage: Stage) -> None:
    head = response(200, CHUNKED, None)
    answers(stage, {b"/good": head + chunk(b"body"), b"/bad": head + b"4\r\nbodyXX0\r\n\r\n" + POISON})
    warm(stage, request("GET", "/good"))
    for _ in range(TIMES):
        assert stage.get("/bad").status == 502
        assert stage.get("/next").body == b"good /next"
    stage.posthouse.wait_stderr(r" ERROR .*malformed")


def test_known_response_head_with_extra_bytes(stage: Stage) -> None:
    good = response(200, [("X-A", "1")], b"body")
    answers(stage, {b"/good": good, b"/bad": good + POISON})
    warm(stage, request("GET", "/good"))
    with stage.client() as client:
        for _ in range(TIMES):
            assert client.exchange(request("GET", "/bad")).body == b"body"
            assert client.exchange(request("GET", "/next")).body == b"good /next"
