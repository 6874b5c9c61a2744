"""Requests whose length two parsers could read in two ways are refused; nothing of them reaches a backend.

Rules 1, 2, 5 and topic 2.1 of the specification of reliability. The site remembers failures for
a minute after one: if a client's fault ever counted against the backend, the tests after it would get 503.
"""

from __future__ import annotations

import pytest

from kit import BackendConnection, RawClient, Request, Stage, Truncated, request, response
from kit.tables import SMUGGLED, named

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    proxy / BACKEND {
        fail_timeout 1m
    }
}
"""

# Length conflicts: each with a second request inside.

LENGTHS = {
    "empty": b"",
    "plus": b"+5",
    "minus": b"-5",
    "zero-minus": b"-0",
    "blank-inside": b"5 5",
    "comma": b"5,5",
    "comma-blank": b"5, 5",
    "trailing-comma": b"5,",
    "hexadecimal": b"0x5",
    "underscore": b"1_0",
    "arabic-digit": "٥".encode(),
    "fullwidth-digit": "５".encode(),
    "superscript": b"\xb2",
    "next-line-after": b"5\x85",
    "no-break-space-after": b"5\xa0",
    "no-break-space-before": b"\xa05",
    "vertical-tab-after": b"5\x0b",
    "form-feed-before": b"\x0c5",
    "semicolon": b"5;",
    "point": b"5.0",
    "exponent": b"5e0",
    "letter": b"5a",
    "quoted": b'"5"',
    "over-2^63": b"9223372036854775808",
    "over-2^64": b"18446744073709551621",
    "absurd": b"9" * 400,
    "word": b"chunked",
}


@pytest.mark.parametrize("value", named(LENGTHS))
def test_content_length_must_be_digits(stage: Stage, value: bytes) -> None:
    stage.assert_refused(request("POST", "/", [("Content-Length", value)]) + b"12345" + SMUGGLED)
    stage.assert_serves()


CODINGS = {
    "identity": b"identity",
    "gzip": b"gzip",
    "unknown": b"xchunked",
    "prefix": b"chunkedx",
    "gzip-chunked": b"gzip, chunked",
    "identity-chunked": b"identity, chunked",
    "chunked-gzip": b"chunked, gzip",
    "chunked-identity": b"chunked, identity",
    "chunked-twice": b"chunked, chunked",
    "leading-comma": b", chunked",
    "trailing-comma": b"chunked,",
    "empty": b"",
    "quoted": b'"chunked"',
    "single-quoted": b"'chunked'",
    "parameter": b"chunked;q=1",
    "blank-inside": b"chun ked",
    "vertical-tab-before": b"\x0bchunked",
    "vertical-tab-after": b"chunked\x0b",
    "form-feed-after": b"chunked\x0c",
    "no-break-space-before": b"\xa0chunked",
    "next-line-after": b"chunked\x85",
    "kelvin-sign": "chun\u212aed".encode(),
    "nul-after": b"chunked\0",
    "bare-cr-after": b"chunked\rx",
}


@pytest.mark.parametrize("value", named(CODINGS))
def test_transfer_coding_must_be_chunked_alone(stage: Stage, value: bytes) -> None:
    stage.assert_refused(
        request("POST", "/", [("Transfer-Encoding", value)]) + b"0\r\n\r\n" + SMUGGLED, 400, 501
    )
    stage.assert_serves()


TE, CL = b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n"
CONFLICTS = {
    "cl-te": CL + TE,
    "te-cl": TE + CL,
    "cl-zero-te": b"Content-Length: 0\r\n" + TE,
    "cl-te-odd-case": b"content-LENGTH: 5\r\ntransfer-ENCODING: chunked\r\n",
    "cl-between-fields-te": CL + b"X-A: 1\r\n" * 20 + TE,
    "cl-te-identity": CL + b"Transfer-Encoding: identity\r\n",
    "cl-te-empty": CL + b"Transfer-Encoding:\r\n",
    "cl-te-unknown": CL + b"Transfer-Encoding: x\r\n",
    "cl-twice-equal": CL + CL,
    "cl-twice-odd-case": CL + b"CONTENT-length: 5\r\n",
    "cl-twice-differing": CL + b"Content-Length: 0\r\n",
    "cl-twice-differing-2": b"Content-Length: 0\r\n" + CL,
    "cl-twice-second-empty": CL + b"Content-Length:\r\n",
    "cl-equal-but-spelled": CL + b"Content-Length: 05\r\n",
    "te-twice": TE + TE,
    "te-gzip-then-chunked": b"Transfer-Encoding: gzip\r\n" + TE,
    "te-chunked-then-gzip": TE + b"Transfer-Encoding: gzip\r\n",
    "te-chunked-then-identity": TE + b"Transfer-Encoding: identity\r\n",
    "te-space-before-colon": CL + b"Transfer-Encoding : chunked\r\n",
    "te-tab-before-colon": CL + b"Transfer-Encoding\t: chunked\r\n",
    "te-folded": CL + b"Transfer-Encoding:\r\n chunked\r\n",
    "te-folded-after": CL + b"X-A: 1\r\n Transfer-Encoding: chunked\r\n",
    "te-after-bare-lf": CL + b"X-A: 1\nTransfer-Encoding: chunked\r\n",
    "te-after-bare-cr": CL + b"X-A: 1\rTransfer-Encoding: chunked\r\n",
    "te-nul-in-name": CL + b"Transfer-Encoding\0: chunked\r\n",
    "te-space-in-front": CL + b" Transfer-Encoding: chunked\r\n",
    "te-high-byte-name": CL + b"\xa0Transfer-Encoding: chunked\r\n",
    "cl-space-before-colon": TE + b"Content-Length : 5\r\n",
    "cl-folded": TE + b"X-A: 1\r\n\tContent-Length: 5\r\n",
}


@pytest.mark.parametrize("fields", named(CONFLICTS))
@pytest.mark.parametrize("body", [b"0\r\n\r\n", b"5\r\n"], ids=["te-reading", "cl-reading"])
def test_two_framings_are_refused(stage: Stage, fields: bytes, body: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: site.test\r\n" + fields + b"\r\n"
    stage.assert_refused(head + body + SMUGGLED, 400, 501)
    stage.assert_serves()


@pytest.mark.parametrize("name", [b"Transfer_Encoding", b"Transfer-Encodin", b"X-Transfer-Encoding"])
def test_fields_of_similar_names_frame_nothing(stage: Stage, name: bytes) -> None:
    with stage.client() as client:
        answer = client.exchange(request("POST", "/", [(name, b"chunked")], b"0\r\n\r\n" + SMUGGLED))
        assert answer.status == 200
        assert client.exchange(request("GET", "/after")).status == 200
    assert [asked.target for asked in stage.backend.requests] == [b"/", b"/after"]
    assert stage.backend.requests[0].body == b"0\r\n\r\n" + SMUGGLED
    assert stage.backend.violations == []


@pytest.mark.parametrize("value", [b"CHUNKED", b"Chunked", b"chunked ", b"\tchunked\t"])
def test_chunked_may_be_spelled_in_any_case(stage: Stage, value: bytes) -> None:
    """RFC 9112 7: names of codings are case-insensitive; blanks around a value are not part of it."""
    with stage.client() as client:
        data = request("POST", "/x", [("Transfer-Encoding", value)]) + b"2\r\nab\r\n0\r\n\r\n"
        assert client.exchange(data).status == 200
    assert stage.backend.requests[0].body == b"ab"
    assert stage.backend.violations == []


@pytest.mark.parametrize("version", [b"HTTP/1.0"])
def test_chunked_in_http_1_0_is_refused(stage: Stage, version: bytes) -> None:
    head = request("POST", "/", [("Transfer-Encoding", "chunked")], version=version)
    stage.assert_refused(head + b"0\r\n\r\n" + SMUGGLED)
    head = request(
        "POST", "/", [("Transfer-Encoding", "chunked"), ("Connection", "keep-alive")], version=version
    )
    stage.assert_refused(head + b"0\r\n\r\n" + SMUGGLED)
    stage.assert_serves()


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "FOO"])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_body_of_any_method_stays_with_its_request(stage: Stage, method: str, is_chunked: bool) -> None:
    """CL.0: the body is framed and goes on with the request, or is dropped with its field."""
    if is_chunked:
        data = request(method, "/x", [("Transfer-Encoding", "chunked")])
        data += b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
    else:
        data = request(method, "/x", body=SMUGGLED)
    with stage.client() as client:
        assert client.exchange(data, method).status in (200, 405)
        if client.is_open():
            assert client.exchange(request("GET", "/after")).status == 200
    assert stage.backend.violations == []
    assert {asked.target for asked in stage.backend.requests} <= {b"/x", b"/after"}
    for asked in stage.backend.requests:
        assert asked.body == (SMUGGLED if asked.framing != "none" else b"")
    stage.assert_serves()


@pytest.mark.parametrize("expect", [[("Expect", "100-continue")], []], ids=["expect", "plain"])
def test_early_answer_leaves_no_body_on_a_kept_connection(
    stage: Stage, expect: list[tuple[str, str]]
) -> None:
    """0.CL: the backend answers the head alone and keeps the connection; the body looks like a request."""
    body = SMUGGLED

    def answer_head_only(connection: BackendConnection) -> None:
        while (asked := connection.read_head()) is not None:
            if asked.target == b"/x":
                connection.send(response(403, body=b"no"))
            else:
                connection.backend.record(asked)
                connection.send(response(200, body=b"next"))

    stage.backend.on_connect = answer_head_only
    with stage.client() as client:
        client.send(request("POST", "/x", [*expect, ("Content-Length", str(len(body)))]))
        assert client.read_response().status == 403
        client.send(body + request("GET", "/next"))
        try:
            answer = client.read_response()
        except Truncated as ended:
            assert ended.data == b""
        else:
            assert (answer.status, answer.body) == (200, b"next")
    assert b"/smuggled" not in [asked.target for asked in stage.backend.requests]
    stage.clear()
    stage.assert_serves()
    assert [asked.target for asked in stage.backend.requests] == [b"/alive"]


def test_refusals_hide_behind_no_good_request(stage: Stage) -> None:
    """After a refused head nothing on the connection is read as a request."""
    for _ in range(3):
        with stage.client() as client:
            client.send(b"GET / HTTP/1.1\r\nHost: site.test\r\nBad : 1\r\n\r\n")
            assert client.read_response().status == 400
            client.send(SMUGGLED)
            assert client.end() in ("fin", "rst")
            assert client.buffer == b""
    assert stage.backend.received() == b""


def test_client_faults_never_count_against_the_backend(stage: Stage) -> None:
    """Rule 5: broken, unfinished, abandoned; the site would answer 503 after one counted failure."""
    hang: list[RawClient] = []
    for data in (
        b"GET / HTTP/1.1\r\nBad\r\n\r\n",
        request("POST", "/", [("Content-Length", "100")]) + b"part",
        request("POST", "/", [("Transfer-Encoding", "chunked")]) + b"5\r\nhel",
        request("POST", "/", [("Transfer-Encoding", "chunked")]) + b"5\r\nhelloXX",
    ):
        client = stage.client()
        client.send(data)
        hang.append(client)
    stage.backend.wait_heads(2)
    for number, client in enumerate(hang):
        client.reset() if number % 2 else client.close()
    for connection in stage.backend.wait_connections(2):
        assert connection.wait_gone()
    stage.assert_serves()


def test_departed_client_cancels_its_request(stage: Stage) -> None:
    """A client that leaves before the answer: the upstream connection ends at once, nothing is counted."""

    def never(asked: Request, connection: BackendConnection) -> None:
        connection.wait_end()

    stage.backend.on_request = never
    for leave in (RawClient.close, RawClient.reset):
        client = stage.client()
        count = len(stage.backend.requests)
        client.send(request("GET", "/slow"))
        stage.backend.wait_requests(count + 1)
        leave(client)
        assert stage.backend.connections[-1].wait_gone(3)
    stage.assert_serves()
