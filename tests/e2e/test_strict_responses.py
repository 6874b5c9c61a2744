"""A backend's malformed, doubled or unasked-for bytes become 502 or nothing, and never another's answer.

Rules 5, 7, 10 and topic 2.5 of the specification of reliability. Each case is followed by requests on
the same and on new client connections: they must get their own answer and no POISON.
"""

from __future__ import annotations

import pytest

from kit import BadMessage, Stage, Truncated, request
from kit.tables import ODD_BYTES, POISON, named

OK = b"HTTP/1.1 200 OK\r\n"


def assert_bad_gateway(stage: Stage, data: bytes, method: str = "GET", *, close: bool = False) -> None:
    """The answer is 502, its connection is closed from our side, and later answers are the right ones."""
    stage.answer_bad(data, close=close)
    with stage.client() as client:
        answer = client.exchange(request(method, "/bad"), method)
        assert answer.status == 502, answer
        assert b"POISON" not in answer.body
        stage.assert_next(client)
    bad = next(connection for connection in stage.backend.connections if connection.sent)
    assert bad.wait_gone()
    stage.assert_unpoisoned()
    assert all(asked.connection != bad.number for asked in stage.backend.requests[1:])


LENGTHS = {
    "empty": b"",
    "plus": b"+6",
    "minus": b"-6",
    "hexadecimal": b"0x6",
    "underscore": b"0_6",
    "comma-equal": b"6, 6",
    "comma-differing": b"6, 0",
    "blank-inside": b"0 6",
    "arabic": "٦".encode(),
    "next-line-after": b"6\x85",
    "no-break-space-before": b"\xa06",
    "over-2^63": b"9223372036854775808",
    "over-2^64": b"18446744073709551622",
    "word": b"six",
}


@pytest.mark.parametrize("value", named(LENGTHS))
def test_invalid_length(stage: Stage, value: bytes) -> None:
    assert_bad_gateway(stage, OK + b"Content-Length: " + value + b"\r\n\r\nabcdef" + POISON)


TE, CL = b"Transfer-Encoding: chunked\r\n", b"Content-Length: 6\r\n"
FRAMINGS = {
    "cl-twice-equal": CL + CL,
    "cl-twice-differing": CL + b"Content-Length: 0\r\n",
    "cl-te": CL + TE,
    "te-cl": TE + CL,
    "te-twice": TE + TE,
    "te-gzip": b"Transfer-Encoding: gzip\r\n",
    "te-identity": b"Transfer-Encoding: identity\r\n",
    "te-gzip-chunked": b"Transfer-Encoding: gzip, chunked\r\n",
    "te-chunked-gzip": b"Transfer-Encoding: chunked, gzip\r\n",
    "te-chunked-chunked": b"Transfer-Encoding: chunked, chunked\r\n",
    "te-empty": b"Transfer-Encoding:\r\n",
    "te-prefix": b"Transfer-Encoding: chunkedx\r\n",
    "te-vertical-tab": b"Transfer-Encoding: \x0bchunked\r\n",
    "te-no-break-space": b"Transfer-Encoding: chunked\xa0\r\n",
    "te-cl-empty": TE + b"Content-Length:\r\n",
    "te-space-before-colon": CL + b"Transfer-Encoding : chunked\r\n",
    "te-folded": CL + b"Transfer-Encoding:\r\n chunked\r\n",
    "te-bare-lf": CL + b"X-A: 1\nTransfer-Encoding: chunked\r\n",
}


@pytest.mark.parametrize("fields", named(FRAMINGS))
def test_two_framings(stage: Stage, fields: bytes) -> None:
    assert_bad_gateway(stage, OK + fields + b"\r\n0\r\n\r\n" + POISON)


def test_chunked_in_http_1_0(stage: Stage) -> None:
    assert_bad_gateway(stage, b"HTTP/1.0 200 OK\r\n" + TE + b"\r\n0\r\n\r\n" + POISON)


STATUS_LINES = [
    b"HTTP/1.1 20 OK",
    b"HTTP/1.1 2000 OK",
    b"HTTP/1.1 099 OK",
    b"HTTP/1.1 000 OK",
    b"HTTP/1.1 600 OK",
    b"HTTP/1.1 999 OK",
    b"HTTP/1.1 2x0 OK",
    b"HTTP/1.1 +20 OK",
    b"HTTP/1.1 -20 OK",
    b"HTTP/1.1 2_0 OK",
    b"HTTP/1.1 200OK",
    b"HTTP/1.1  200 OK",
    b"HTTP/1.1\t200 OK",
    b"HTTP/1.1 \xd9\xa2\xd9\xa0\xd9\xa0 OK",
    b" HTTP/1.1 200 OK",
    b"HTTP/1.2 200 OK",
    b"HTTP/1.10 200 OK",
    b"HTTP/0.9 200 OK",
    b"HTTP/2.0 200 OK",
    b"HTTP/2 200",
    b"http/1.1 200 OK",
    b"HTTP/1.1",
    b"HTTP/1.1 ",
    b"ICY 200 OK",
    b"SSH-2.0-OpenSSH_9.2p1",
    b"220 mail.test ESMTP",
    b"<html>hello</html>",
    b"garbage",
    b"GET / HTTP/1.1",
    b"\x15\x03\x01\x00\x02\x02\x46",
    b"\0\0\0\0",
    b"HTTP/1.1 200 O\0K",
    b"HTTP/1.1 200 O\rK",
    b"HTTP/1.1 200 O\nK",
]


@pytest.mark.parametrize("line", STATUS_LINES, ids=repr)
def test_status_line(stage: Stage, line: bytes) -> None:
    assert_bad_gateway(stage, line + b"\r\nContent-Length: 6\r\n\r\nabcdef" + POISON, close=True)


@pytest.mark.parametrize(
    "line", [b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 200 \xff", b"HTTP/1.0 200 OK"]
)
def test_status_line_that_is_common(stage: Stage, line: bytes) -> None:
    stage.answer_bad(line + b"\r\nContent-Length: 6\r\n\r\nabcdef")
    answer = stage.get("/bad")
    assert (answer.status, answer.version, answer.body) == (200, b"HTTP/1.1", b"abcdef")


def is_value_byte(byte: int) -> bool:
    return byte in (0x09, 0x20) or byte >= 0x80


odd_bytes = pytest.mark.parametrize("byte", ODD_BYTES, ids=[f"{byte:02x}" for byte in ODD_BYTES])


@odd_bytes
@pytest.mark.parametrize("place", ["before", "inside", "after"])
def test_odd_byte_at_a_name(stage: Stage, byte: int, place: str) -> None:
    odd = bytes([byte])
    name = {"before": odd + b"X-Odd", "inside": b"X-" + odd + b"Odd", "after": b"X-Odd" + odd}[place]
    data = OK + b"X-First: 1\r\n" + name + b": value\r\nContent-Length: 6\r\n\r\nabcdef"
    assert_bad_gateway(stage, data)


@odd_bytes
@pytest.mark.parametrize("place", ["before", "inside", "after"])
def test_odd_byte_at_a_value(stage: Stage, byte: int, place: str) -> None:
    odd = bytes([byte])
    value = {"before": odd + b"value", "inside": b"va" + odd + b"lue", "after": b"value" + odd}[place]
    data = OK + b"X-Odd:" + value + b"\r\nContent-Length: 6\r\n\r\nabcdef"
    if not is_value_byte(byte):
        assert_bad_gateway(stage, data)
        return
    stage.answer_bad(data)
    answer = stage.get("/bad")
    assert (answer.status, answer.field("X-Odd")) == (200, value.strip(b" \t"))


HEADS = {
    "empty-name": b": x\r\n",
    "no-colon": b"X-A\r\n",
    "obs-fold": b"X-A: 1\r\n 2\r\n",
    "bare-lf": b"X-A: 1\nX-B: 2\r\n",
    "cr-cr-lf": b"X-A: 1\r\r\n",
    "set-cookie-lf": b"Set-Cookie: a=b\nSet-Cookie: c=d\r\n",
}


@pytest.mark.parametrize("fields", named(HEADS))
def test_head(stage: Stage, fields: bytes) -> None:
    assert_bad_gateway(stage, OK + fields + b"Content-Length: 6\r\n\r\nabcdef")


@pytest.mark.parametrize("data", [b"", b"H", b"HTTP/1.1 200 OK\r\nContent-Le", b"\r\n\r\n", b"\0"], ids=repr)
def test_end_instead_of_an_answer(stage: Stage, data: bytes) -> None:
    stage.answer_bad(data, close=True)
    assert stage.get("/bad").status == 502
    stage.assert_unpoisoned()


# Bad chunks after a good head: the client can tell, and nothing of them looks like an end.

CHUNKS = {
    "size-letter": b"4\r\nfine\r\ng\r\nx\r\n0\r\n\r\n",
    "size-blank": b"4\r\nfine\r\n1 \r\nx\r\n0\r\n\r\n",
    "size-sign": b"4\r\nfine\r\n+1\r\nx\r\n0\r\n\r\n",
    "size-0x": b"4\r\nfine\r\n0x1\r\nx\r\n0\r\n\r\n",
    "size-huge": b"4\r\nfine\r\nffffffffffffffff\r\nx\r\n0\r\n\r\n",
    "size-17-digits": b"4\r\nfine\r\n00000000000000001\r\nx\r\n0\r\n\r\n",
    "size-lf": b"4\r\nfine\r\n1\nx\r\n0\r\n\r\n",
    "data-lf": b"4\r\nfine\n0\r\n\r\n",
    "data-xx": b"4\r\nfineXX0\r\n\r\n",
    "data-long": b"4\r\nfine, really\r\n0\r\n\r\n",
    "end-lf": b"4\r\nfine\r\n0\n\n",
    "end-xx": b"4\r\nfine\r\n0\r\nXX\r\n\r\n",
    "trailer-blank": b"4\r\nfine\r\n0\r\nX-T : 1\r\n\r\n",
    "trailer-fold": b"4\r\nfine\r\n0\r\nX-T: 1\r\n 2\r\n\r\n",
    "trailer-9-kib": b"4\r\nfine\r\n0\r\nX-T: " + b"a" * 9216 + b"\r\n\r\n",
    "extension-lf": b"4\r\nfine\r\n1;a\nb\r\nx\r\n0\r\n\r\n",
    "extension-2-kib": b"4\r\nfine\r\n1;" + b"a" * 2048 + b"\r\nx\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("body", named(CHUNKS))
@pytest.mark.parametrize("is_split", [False, True], ids=["at-once", "after-the-head"])
def test_bad_chunk(stage: Stage, body: bytes, is_split: bool) -> None:
    stage.answer_bad(OK + TE + b"\r\n" + (b"" if is_split else body + POISON))
    with stage.client() as client:
        client.send(request("GET", "/bad"))
        if is_split:
            assert client.read_head().status == 200
            client.buffer[:0] = OK + TE + b"\r\n"
            stage.backend.connections[0].send(body + POISON)
        try:
            assert client.read_response().status == 502
        except (Truncated, BadMessage) as ended:
            assert isinstance(ended, Truncated)
            assert ended.partial is None or ended.partial.body in b"fine, really"
            assert b"POISON" not in client.buffer
    assert stage.backend.connections[0].wait_gone()
    stage.assert_unpoisoned()


def test_reason_is_logged(stage: Stage) -> None:
    assert_bad_gateway(stage, b"garbage\r\n\r\n")
    stage.posthouse.wait_stderr(r" ERROR .*malformed")
