"""Request heads are refused strictly, byte by byte, whole or in pieces.

Rule 3 and topic 2.2 of the specification of reliability.
"""

from __future__ import annotations

import pytest

from kit import Stage, request
from kit.tables import ODD_BYTES, SMUGGLED, named

odd_bytes = pytest.mark.parametrize("byte", ODD_BYTES, ids=[f"{byte:02x}" for byte in ODD_BYTES])


def is_value_byte(byte: int) -> bool:
    return byte in (0x09, 0x20) or byte >= 0x80


@odd_bytes
@pytest.mark.parametrize("place", ["before", "inside", "after"])
def test_odd_byte_at_a_name(stage: Stage, byte: int, place: str) -> None:
    odd = bytes([byte])
    name = {"before": odd + b"X-Odd", "inside": b"X-" + odd + b"Odd", "after": b"X-Odd" + odd}[place]
    head = b"GET / HTTP/1.1\r\nHost: site.test\r\n" + name + b": value\r\nX-Last: 1\r\n\r\n"
    stage.assert_refused(head + SMUGGLED)


@odd_bytes
@pytest.mark.parametrize("place", ["before", "inside", "after"])
def test_odd_byte_at_a_value(stage: Stage, byte: int, place: str) -> None:
    odd = bytes([byte])
    value = {"before": odd + b"value", "inside": b"va" + odd + b"lue", "after": b"value" + odd}[place]
    head = b"GET / HTTP/1.1\r\nHost: site.test\r\nX-Odd:" + value + b"\r\nX-Last: 1\r\n\r\n"
    if not is_value_byte(byte):
        stage.assert_refused(head + SMUGGLED)
        return
    with stage.client() as client:
        assert client.exchange(head).status == 200
    assert stage.backend.requests[0].field("X-Odd") == value.strip(b" \t")
    assert stage.backend.requests[0].field("X-Last") == b"1"
    assert stage.backend.violations == []


@odd_bytes
@pytest.mark.parametrize("place", ["method", "target-first", "target", "target-last", "version", "end"])
def test_odd_byte_in_the_request_line(stage: Stage, byte: int, place: str) -> None:
    """High bytes may stand in a path, as they came or percent-encoded; nothing else may be odd."""
    odd = bytes([byte])
    line = {
        "method": b"G" + odd + b"ET / HTTP/1.1",
        "target-first": b"GET " + odd + b"/a HTTP/1.1",
        "target": b"GET /a" + odd + b"b HTTP/1.1",
        "target-last": b"GET /a" + odd + b" HTTP/1.1",
        "version": b"GET /a " + odd + b"HTTP/1.1",
        "end": b"GET /a HTTP/1.1" + odd,
    }[place]
    data = line + b"\r\nHost: site.test\r\n\r\n"
    if byte < 0x80 or place not in ("target", "target-last"):
        stage.assert_refused(data + SMUGGLED, 400, 405, 505)
        return
    with stage.client() as client:
        assert client.exchange(data).status in (200, 400)
    expected = {b"/a" + odd, b"/a%%%02X" % byte, b"/a" + odd + b"b", b"/a%%%02Xb" % byte}
    assert {asked.target for asked in stage.backend.requests} <= expected
    assert stage.backend.violations == []


HOST = b"Host: site.test\r\n"
HEADS = {
    "empty-name": b"GET / HTTP/1.1\r\n" + HOST + b": x\r\n\r\n",
    "empty-name-first": b"GET / HTTP/1.1\r\n: x\r\n" + HOST + b"\r\n",
    "no-colon": b"GET / HTTP/1.1\r\n" + HOST + b"X-A\r\n\r\n",
    "no-colon-first": b"GET / HTTP/1.1\r\nX-A\r\n" + HOST + b"\r\n",
    "obs-fold-blank": b"GET / HTTP/1.1\r\n" + HOST + b"X-A: 1\r\n 2\r\n\r\n",
    "obs-fold-tab": b"GET / HTTP/1.1\r\n" + HOST + b"X-A: 1\r\n\t2\r\n\r\n",
    "obs-fold-empty": b"GET / HTTP/1.1\r\n" + HOST + b"X-A: 1\r\n \r\n\r\n",
    "obs-fold-host": b"GET / HTTP/1.1\r\nHost: site.test\r\n .evil\r\n\r\n",
    "fold-in-front": b"GET / HTTP/1.1\r\n Host: site.test\r\n\r\n",
    "space-before-colon-host": b"GET / HTTP/1.1\r\nHost : site.test\r\n\r\n",
    "bare-lf-request-line": b"GET / HTTP/1.1\n" + HOST + b"\r\n",
    "bare-lf-field": b"GET / HTTP/1.1\r\nHost: site.test\n\r\n",
    "bare-lf-end": b"GET / HTTP/1.1\r\n" + HOST + b"\n",
    "bare-lf-everywhere": b"GET / HTTP/1.1\nHost: site.test\n\n",
    "lf-cr-lf": b"GET / HTTP/1.1\r\nHost: site.test\n\r\n\r\n",
    "bare-cr-request-line": b"GET / HTTP/1.1\r" + HOST + b"\r\n",
    "bare-cr-end": b"GET / HTTP/1.1\r\n" + HOST + b"\rGET /smuggled HTTP/1.1\r\n\r\n",
    "cr-cr-lf": b"GET / HTTP/1.1\r\r\n" + HOST + b"\r\n",
    "cr-cr-lf-end": b"GET / HTTP/1.1\r\n" + HOST + b"\r\r\n\r\n",
    "leading-lf": b"\nGET / HTTP/1.1\r\n" + HOST + b"\r\n",
    "leading-cr": b"\rGET / HTTP/1.1\r\n" + HOST + b"\r\n",
    "leading-blank": b" GET / HTTP/1.1\r\n" + HOST + b"\r\n",
    "leading-nul": b"\0GET / HTTP/1.1\r\n" + HOST + b"\r\n",
    "byte-order-mark": b"\xef\xbb\xbfGET / HTTP/1.1\r\n" + HOST + b"\r\n",
    "two-blanks": b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n",
    "two-blanks-version": b"GET /  HTTP/1.1\r\n" + HOST + b"\r\n",
    "trailing-blank": b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n",
    "tab-for-blank": b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "blank-in-target": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "second-version": b"GET / HTTP/1.1 HTTP/1.1\r\n" + HOST + b"\r\n",
    "no-method": b"/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "method-not-a-token": b"G(T / HTTP/1.1\r\n" + HOST + b"\r\n",
    "method-colon": b"GET: / HTTP/1.1\r\n" + HOST + b"\r\n",
    "request-line-alone": b"GET\r\n" + HOST + b"\r\n",
    "response-for-a-request": b"HTTP/1.1 200 OK\r\n" + HOST + b"\r\n",
    "tls-hello": bytes.fromhex("16030100c2010000be0303") + bytes(range(64)) + b"\r\n\r\n",
    "name-with-quote": b"GET / HTTP/1.1\r\n" + HOST + b'X"A: 1\r\n\r\n',
    "name-with-parentheses": b"GET / HTTP/1.1\r\n" + HOST + b"X(A): 1\r\n\r\n",
    "name-with-slash": b"GET / HTTP/1.1\r\n" + HOST + b"X/A: 1\r\n\r\n",
    "name-with-equals": b"GET / HTTP/1.1\r\n" + HOST + b"X=A: 1\r\n\r\n",
    "name-utf-8": b"GET / HTTP/1.1\r\n" + HOST + "X-Ä: 1\r\n\r\n".encode(),
}


@pytest.mark.parametrize("data", named(HEADS))
def test_head_is_refused(stage: Stage, data: bytes) -> None:
    stage.assert_refused(data + SMUGGLED)
    stage.assert_serves()


@pytest.mark.parametrize("data", named(HEADS))
def test_head_is_refused_in_pieces(stage: Stage, data: bytes) -> None:
    stage.assert_refused(data + SMUGGLED, pieces=1)


def test_refusal_says_that_it_closes(stage: Stage) -> None:
    answer = stage.assert_refused(request("GET", "/", [("Bad Name", "1")]))
    assert answer.field("Connection") == b"close"
    assert answer.framing == "length"
