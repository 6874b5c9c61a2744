"""A response that breaks off is never shown as complete, wherever it breaks off and however.

Rule 6 and topic 2.6 of the specification of reliability.
"""

from __future__ import annotations

import pytest

from kit import BackendConnection, Request, Stage, Truncated, chunk, request, response

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    proxy / BACKEND
    proxy /counted BACKEND {
        fail_timeout 1m
    }
    log
}
"""

BODY = b"0123456789"
LENGTH = response(200, body=BODY)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(
    b"01234", b"56789", trailers=[("X-T", "1")]
)
HEAD_END = {True: CHUNKED.index(b"\r\n\r\n") + 4, False: LENGTH.index(b"\r\n\r\n") + 4}


def break_off(stage: Stage, data: bytes, how: str) -> None:
    """The backend sends the bytes and ends the connection, except for /alive."""

    def answer(asked: Request, connection: BackendConnection) -> bytes | None:
        if asked.target == b"/alive":
            return response(200, body=b"ok")
        connection.send(data)
        if how == "fin":
            connection.close()
        else:
            connection.reset()
        return None

    stage.backend.on_request = answer


def assert_told(stage: Stage, data: bytes, how: str, asked: bytes = b"") -> None:
    """The client gets 502, or a response whose framing (a reset, if it has none) says that it broke off."""
    break_off(stage, data, how)
    with stage.client() as client:
        client.send(asked or request("GET", "/cut"))
        try:
            answer = client.read_response()
        except Truncated as ended:
            assert ended.partial is None or BODY.startswith(ended.partial.body[:10])
            assert ended.partial is not None or ended.data == b"" or b"HTTP/1.1 2" in ended.data
        else:
            assert answer.status == 502
    stage.assert_serves()


ENDS = pytest.mark.parametrize("how", ["fin", "rst"])


@ENDS
@pytest.mark.parametrize("at", range(len(LENGTH)))
def test_length_cut_at_every_point(stage: Stage, at: int, how: str) -> None:
    assert_told(stage, LENGTH[:at], how)


@ENDS
@pytest.mark.parametrize("at", range(len(CHUNKED)))
def test_chunks_cut_at_every_point(stage: Stage, at: int, how: str) -> None:
    assert_told(stage, CHUNKED[:at], how)


@ENDS
@pytest.mark.parametrize("at", [HEAD_END[True], HEAD_END[True] + 6, len(CHUNKED) - 2])
def test_chunks_cut_for_an_http_1_0_client(stage: Stage, at: int, how: str) -> None:
    """Only the end of the connection can tell: it is a reset."""
    assert_told(stage, CHUNKED[:at], how, request("GET", "/cut", version="HTTP/1.0"))


@ENDS
@pytest.mark.parametrize("at", [HEAD_END[False], HEAD_END[False] + 6])
def test_length_cut_for_an_http_1_0_client(stage: Stage, at: int, how: str) -> None:
    assert_told(stage, LENGTH[:at], how, request("GET", "/cut", version="HTTP/1.0"))


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
@pytest.mark.parametrize("client_version", ["HTTP/1.0", "HTTP/1.1"])
@pytest.mark.parametrize("body", [b"", BODY])
def test_reset_of_a_body_without_length(stage: Stage, version: str, client_version: str, body: bytes) -> None:
    data = response(200, body=None, version=version) + body
    assert_told(stage, data, "rst", request("GET", "/cut", version=client_version))


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
@pytest.mark.parametrize("client_version", ["HTTP/1.0", "HTTP/1.1"])
@pytest.mark.parametrize("body", [b"", BODY])
def test_orderly_end_of_a_body_without_length(
    stage: Stage, version: str, client_version: str, body: bytes
) -> None:
    """The other side of it: here the end of the connection is the end of the body."""
    break_off(stage, response(200, body=None, version=version) + body, "fin")
    with stage.client() as client:
        answer = client.exchange(request("GET", "/cut", version=client_version))
        assert (answer.status, answer.body) == (200, body)
        assert answer.framing != "chunked" or client_version == "HTTP/1.1"


@pytest.mark.parametrize("framing", ["length", "chunked", "none"])
@ENDS
def test_cut_after_the_client_had_a_part(stage: Stage, framing: str, how: str) -> None:
    """The head and a part are with the client already when the backend breaks off."""
    head = {
        "length": LENGTH[: HEAD_END[False]],
        "chunked": CHUNKED[: HEAD_END[True]],
        "none": response(body=None),
    }
    part = chunk(BODY[:5], last=False) if framing == "chunked" else BODY[:5]
    stage.backend.on_request = lambda asked, connection: head[framing] + part
    with stage.client() as client:
        client.send(request("GET", "/cut"))
        while BODY[:5] not in client.buffer:
            assert client.fill() == ""
        cut = stage.backend.connections[0]
        cut.reset() if how == "rst" else cut.finish_sending()
        if framing == "none" and how == "fin":
            assert client.read_response().body == BODY[:5]
        else:
            with pytest.raises(Truncated) as ended:
                client.read_response()
            assert ended.value.partial is not None or ended.value.how == "rst"
    stage.assert_serves()


@ENDS
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_one_and_a_half_of_three_megabytes(stage: Stage, how: str, is_chunked: bool) -> None:
    body = bytes(range(256)) * 12_288
    if is_chunked:
        data = CHUNKED[: HEAD_END[True]] + chunk(body)[: len(body) // 2]
    else:
        data = response(200, body=body)[: len(body) // 2]
    break_off(stage, data, how)
    with stage.client() as client, pytest.raises(Truncated) as ended:
        client.exchange(request("GET", "/cut"))
    partial = ended.value.partial
    if how == "fin":
        assert partial is not None and len(partial.body) > 1_500_000
    if partial is not None:
        assert body.startswith(partial.body)
    stage.assert_serves()


def test_cut_answer_to_head_request_is_complete(stage: Stage) -> None:
    """HEAD has no body that could be cut."""
    break_off(stage, response(200, [("Content-Length", "10")], None), "fin")
    with stage.client() as client:
        answer = client.exchange(request("HEAD", "/cut"), "HEAD")
        assert (answer.status, answer.field("Content-Length")) == (200, b"10")


def test_cut_after_103_is_bad_gateway(stage: Stage) -> None:
    break_off(stage, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "fin")
    with stage.client() as client:
        answer = client.exchange(request("GET", "/cut"))
        assert answer.status == 502


def test_broken_body_counts_as_failure_and_is_logged(stage: Stage) -> None:
    break_off(stage, LENGTH[:-5], "fin")
    with stage.client() as client, pytest.raises(Truncated):
        client.exchange(request("GET", "/counted"))
    assert stage.get("/counted").status == 503
    stage.posthouse.wait_stderr(r" ERROR .*truncated")
