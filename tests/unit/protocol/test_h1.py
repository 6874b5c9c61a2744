"""Heads: what can be read in one way is read, everything else is refused, at the first sight as at the hundredth."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from posthouse.errors import ProtocolError
from posthouse.protocol import h1
from posthouse.protocol.fields import FieldMemo
from posthouse.protocol.h1 import (
    RESPONSE_FIELDS,
    TARGET_BYTES,
    Codec,
    HeadLimits,
    RequestHead,
    ResponseHead,
    read_host,
)
from unit.protocol.rows import rows

LIMITS = HeadLimits()
TIMES = pytest.mark.parametrize("times", [1, 3], ids=["cold", "warm"])


def read(head: bytes, codec: Codec | None = None, limits: HeadLimits = LIMITS) -> RequestHead:
    return (codec or Codec()).read_request(head + b"\r\n\r\n", len(head), limits)


def refused(head: bytes, limits: HeadLimits = LIMITS) -> int:
    """The status of the refusal: the same whether the head is met for the first time or was met before."""
    codec = Codec()
    statuses = set()
    for _ in range(3):
        with pytest.raises(ProtocolError) as caught:
            read(head, codec, limits)
        statuses.add(caught.value.status)
    (status,) = statuses
    return status


GET = b"GET / HTTP/1.1\r\nHost: a"

REFUSED: dict[str, tuple[bytes, int]] = {
    "nothing": (b"", 400),
    "one word": (b"GET", 400),
    "HTTP/0.9": (b"GET /", 400),
    "two blanks after the method": (b"GET  / HTTP/1.1\r\nHost: a", 400),
    "two blanks after the target": (b"GET /  HTTP/1.1\r\nHost: a", 400),
    "blank at the end": (b"GET / HTTP/1.1 \r\nHost: a", 400),
    "blank before": (b" GET / HTTP/1.1\r\nHost: a", 400),
    "tabs": (b"GET\t/\tHTTP/1.1\r\nHost: a", 400),
    "tab inside": (b"GET /\tx HTTP/1.1\r\nHost: a", 400),
    "blank in the target": (b"GET /a b HTTP/1.1\r\nHost: a", 400),
    "line break first": (b"\r\nGET / HTTP/1.1\r\nHost: a", 400),
    "LF ends the request line": (b"GET / HTTP/1.1\nHost: a", 400),
    "LF ends the request line, CRLF the next": (b"GET / HTTP/1.1\nHost: a\r\nA: b", 400),
    "CR in the request line": (b"GET /\r HTTP/1.1\r\nHost: a", 400),
    "CR at its end": (b"GET / HTTP/1.1\r\r\nHost: a", 400),
    "NUL in the method": (b"GE\x00T / HTTP/1.1\r\nHost: a", 400),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nHost: a", 400),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\nHost: a", 400),
    "HTTP/0.9 said": (b"GET / HTTP/0.9\r\nHost: a", 400),
    "http/1.1": (b"GET / http/1.1\r\nHost: a", 400),
    "HTTP/1.10": (b"GET / HTTP/1.10\r\nHost: a", 400),
    "HTTP/01.1": (b"GET / HTTP/01.1\r\nHost: a", 400),
    "HTTP/1,1": (b"GET / HTTP/1,1\r\nHost: a", 400),
    "HTTP/1.": (b"GET / HTTP/1.\r\nHost: a", 400),
    "no version": (b"GET / \r\nHost: a", 400),
    "HTTPS/1.1": (b"GET / HTTPS/1.1\r\nHost: a", 400),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0", 400),
    "a method that is no token": (b"G(T / HTTP/1.1\r\nHost: a", 400),
    "no method": (b" / HTTP/1.1\r\nHost: a", 400),
    "a high byte in the method": (b"G\xc9T / HTTP/1.1\r\nHost: a", 400),
    "CONNECT": (b"CONNECT a:80 HTTP/1.1\r\nHost: a:80", 405),
    "no Host": (b"GET / HTTP/1.1\r\nA: b", 400),
    "no field at all": (b"GET / HTTP/1.1", 400),
    "two Hosts": (GET + b"\r\nHost: a", 400),
    "two Hosts, one empty": (GET + b"\r\nHost:", 400),
    "empty Host": (b"GET / HTTP/1.1\r\nHost:", 400),
    "blank in the Host": (b"GET / HTTP/1.1\r\nHost: a b", 400),
    "a URL as Host": (b"GET / HTTP/1.1\r\nHost: http://a/", 400),
    "user in the Host": (b"GET / HTTP/1.1\r\nHost: u@a", 400),
    "comma in the Host": (b"GET / HTTP/1.1\r\nHost: a,b", 400),
    "bad Host in HTTP/1.0": (b"GET / HTTP/1.0\r\nHost: a b", 400),
    "two Hosts in HTTP/1.0": (b"GET / HTTP/1.0\r\nHost: a\r\nHost: a", 400),
    "chunked in HTTP/1.0": (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked", 400),
    "length and coding": (GET + b"\r\nContent-Length: 5\r\nTransfer-Encoding: chunked", 400),
    "two lengths": (GET + b"\r\nContent-Length: 5\r\nContent-Length: 5", 400),
    "a strange coding": (GET + b"\r\nTransfer-Encoding: gzip, chunked", 400),
    "folded": (GET + b"\r\n b", 400),
    "blank before a colon": (GET + b"\r\nA : b", 400),
    "a line without a colon": (GET + b"\r\nA", 400),
    "an empty name": (GET + b"\r\n: b", 400),
    "NUL in a value": (GET + b"\r\nA: \x00", 400),
    "LF in a value": (GET + b"\r\nA: b\nB: c", 400),
    "CR in a value": (GET + b"\r\nA: b\rB: c", 400),
    "an Expect we don't know": (GET + b"\r\nExpect: 200-ok", 417),
    "* and GET": (b"GET * HTTP/1.1\r\nHost: a", 400),
    "a URL without a Host field": (b"GET http://a/ HTTP/1.1\r\nA: b", 400),
    "a URL with a bad authority": (b"GET http://u@a/ HTTP/1.1\r\nHost: a", 400),
    "a URL without an authority": (b"GET http:///x HTTP/1.1\r\nHost: a", 400),
    "an authority as target": (b"GET a:80 HTTP/1.1\r\nHost: a", 400),
    "a fragment": (b"GET /#x HTTP/1.1\r\nHost: a", 400),
    "a bad escape": (b"GET /%zz HTTP/1.1\r\nHost: a", 400),
    "an encoded NUL": (b"GET /%00 HTTP/1.1\r\nHost: a", 400),
}


@pytest.mark.parametrize(("head", "status"), rows(REFUSED))
def test_refused(head: bytes, status: int) -> None:
    assert refused(head) == status


ODD = (*range(0x21), 0x7F, 0x80, 0x85, 0xA0, 0xFF)


@pytest.mark.parametrize("byte", ODD)
def test_odd_bytes_in_the_request_line(byte: int) -> None:
    """Anywhere around and inside method and version; in the target only high bytes may stand."""
    odd = bytes([byte])
    for line in (
        *(odd + b"GET / HTTP/1.1", b"G" + odd + b"T / HTTP/1.1", b"GET" + odd + b" / HTTP/1.1"),
        *(b"GET / " + odd + b"HTTP/1.1", b"GET / HTTP/1.1" + odd, b"GET / HTTP/1" + odd + b"1"),
        b"GET / HTTP" + odd + b"1.1",
    ):  # fmt: skip
        assert refused(line + b"\r\nHost: a") == 400
    for line in (
        b"GET /" + odd + b" HTTP/1.1",
        b"GET " + odd + b"/ HTTP/1.1",
        b"GET /a?" + odd + b" HTTP/1.1",
    ):
        if byte >= 0x80 and b" /" in line:
            assert read(line + b"\r\nHost: a").host == b"a"
        else:
            assert refused(line + b"\r\nHost: a") == 400


@TIMES
def test_a_plain_request(times: int) -> None:
    codec = Codec()
    for _ in range(times):
        head = read(b"POST /a%20b?c HTTP/1.1\r\nHost: Example.COM:80\r\nContent-Length: 5\r\nX-A: 1", codec)
        assert (head.method, head.version) == (b"POST", b"HTTP/1.1")
        assert (head.target.path, head.target.wire_path, head.target.query) == ("/a b", b"/a%20b", b"?c")
        assert (head.host, head.host_name) == (b"Example.COM:80", "example.com")
        assert head.has_body and not head.is_idempotent and head.is_persistent
        assert [(field.name, field.value) for field in head.fields.kept] == [(b"X-A", b"1")]
    assert repr(head) == "<RequestHead b'POST' b'/a%20b?c' host=b'Example.COM:80'>"


def test_what_follows_the_head_is_not_read() -> None:
    data = GET + b"\r\n\r\nPOST / HTTP/1.1\r\nHost : b\r\n\r\n"
    assert Codec().read_request(data, len(GET), LIMITS).method == b"GET"


METHODS: dict[str, tuple[bytes, bool]] = {
    "GET": (b"GET", True),
    "HEAD": (b"HEAD", True),
    "OPTIONS": (b"OPTIONS", True),
    "TRACE": (b"TRACE", True),
    "PUT": (b"PUT", True),
    "DELETE": (b"DELETE", True),
    "POST": (b"POST", False),
    "PATCH": (b"PATCH", False),
    "lower case is another method": (b"get", False),
    "any token": (b"M-SEARCH", False),
    "odd token": (b"!#$%&'*+-.^_`|~", False),
    "lower-case connect is a method like others": (b"connect", False),
}


@pytest.mark.parametrize(("method", "is_idempotent"), rows(METHODS))
def test_methods(method: bytes, is_idempotent: bool) -> None:
    head = read(method + b" / HTTP/1.1\r\nHost: a")
    assert (head.method, head.is_idempotent) == (method, is_idempotent)


PERSISTENCE: dict[str, tuple[bytes, bytes, bool]] = {
    "1.1": (b"HTTP/1.1", b"", True),
    "1.1 close": (b"HTTP/1.1", b"\r\nConnection: close", False),
    "1.1 keep-alive": (b"HTTP/1.1", b"\r\nConnection: keep-alive", True),
    "1.1 both": (b"HTTP/1.1", b"\r\nConnection: keep-alive, close", False),
    "1.0": (b"HTTP/1.0", b"", False),
    "1.0 keep-alive": (b"HTTP/1.0", b"\r\nConnection: Keep-Alive", True),
    "1.0 close": (b"HTTP/1.0", b"\r\nConnection: close", False),
}


@pytest.mark.parametrize(("version", "extra", "is_persistent"), rows(PERSISTENCE))
def test_persistence(version: bytes, extra: bytes, is_persistent: bool) -> None:
    assert read(b"GET / " + version + b"\r\nHost: a" + extra).is_persistent is is_persistent
    response = Codec().read_response(
        version + b" 200 OK\r\nA: b" + extra, len(version + b" 200 OK\r\nA: b" + extra)
    )
    assert response.is_persistent is is_persistent


BODIES: dict[str, tuple[bytes, bool]] = {
    "none": (b"", False),
    "length 0": (b"\r\nContent-Length: 0", False),
    "length 1": (b"\r\nContent-Length: 1", True),
    "chunked": (b"\r\nTransfer-Encoding: chunked", True),
}


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"POST"])
@pytest.mark.parametrize(("extra", "has_body"), rows(BODIES))
def test_bodies_do_not_depend_on_the_method(method: bytes, extra: bytes, has_body: bool) -> None:
    assert read(method + b" / HTTP/1.1\r\nHost: a" + extra).has_body is has_body


@TIMES
def test_the_authority_of_a_url_is_the_host(times: int) -> None:
    """And a block that is shared with other requests keeps its own Host."""
    codec = Codec()
    for _ in range(times):
        head = read(b"GET HTTP://B:8080/x?y HTTP/1.1\r\nHost: a", codec)
        assert (head.host, head.host_name, head.target.raw) == (b"B:8080", "b", b"/x?y")
        head = read(b"GET / HTTP/1.1\r\nHost: a", codec)
        assert (head.host, head.host_name) == (b"a", "a")


def test_asterisk_is_for_options() -> None:
    assert read(b"OPTIONS * HTTP/1.1\r\nHost: a").target.is_asterisk


def test_http_1_0_needs_no_host() -> None:
    head = read(b"GET / HTTP/1.0")
    assert (head.host, head.host_name, head.is_persistent) == (b"", "", False)
    assert read(b"GET http://b/ HTTP/1.0").host_name == "b"


def test_a_known_block_is_judged_for_each_version() -> None:
    """What is right in one version and wrong in the other shares no memory of being right."""
    codec = Codec()
    chunked = b"\r\nHost: a\r\nTransfer-Encoding: chunked"
    for _ in range(3):
        assert read(b"POST / HTTP/1.1" + chunked, codec).has_body
        with pytest.raises(ProtocolError):
            read(b"POST / HTTP/1.0" + chunked, codec)
        assert read(b"GET / HTTP/1.0\r\nA: b", codec).host == b""
        with pytest.raises(ProtocolError):
            read(b"GET / HTTP/1.1\r\nA: b", codec)


# -- limits


@TIMES
def test_limit_of_the_head(times: int) -> None:
    codec = Codec()
    head = GET + b"\r\nA: ".ljust(200, b"x")
    for _ in range(times):
        assert read(head, codec, HeadLimits(size=len(head))).method == b"GET"
    with pytest.raises(ProtocolError) as caught:
        read(head, codec, HeadLimits(size=len(head) - 1))
    assert caught.value.status == 431


@TIMES
def test_limit_of_fields(times: int) -> None:
    """A block met before, under a higher limit, is refused under a lower one."""
    codec = Codec()
    head = GET + b"".join(b"\r\nA%d: b" % i for i in range(9))
    for _ in range(times):
        assert read(head, codec, HeadLimits(fields=10)).method == b"GET"
    for _ in range(3):
        with pytest.raises(ProtocolError) as caught:
            read(head, codec, HeadLimits(fields=9))
        assert caught.value.status == 431
    assert read(head, codec, HeadLimits(fields=10)).method == b"GET"


@pytest.mark.parametrize("form", [b"/%b", b"/?%b", b"http://h/%b"])
def test_limit_of_the_target(form: bytes) -> None:
    fill = b"x" * (TARGET_BYTES - len(form % b""))
    assert read(b"GET " + form % fill + b" HTTP/1.1\r\nHost: a").host_name
    assert refused(b"GET " + form % (fill + b"x") + b" HTTP/1.1\r\nHost: a") == 414


def test_the_limit_of_the_target_comes_first() -> None:
    """414 also when the head is over its own limit by that."""
    assert refused(b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: a") == 414
    assert refused(b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"x" * 100_000) == 431


def test_the_defaults_are_those_of_the_surface() -> None:
    assert HeadLimits() == HeadLimits(size=64 * 1024, fields=128)
    assert (TARGET_BYTES, h1.RESPONSE_HEAD_BYTES) == (16 * 1024, 64 * 1024)


def partial(data: bytes, limits: HeadLimits = LIMITS, place: int = 0) -> int:
    """The status with which a head that has not ended is refused, 0 = it may go on."""
    try:
        Codec().judge_partial(data, place, limits)
    except ProtocolError as error:
        return error.status
    return 0


PARTIAL: dict[str, tuple[bytes, int]] = {
    "a letter": (b"G", 0),
    "a line": (b"GET / HTTP/1.1\r\nHost", 0),
    "CR at the end": (b"GET / HTTP/1.1\r", 0),
    "blank first": (b" GET", 400),
    "TLS": (b"\x16\x03\x01", 400),
    "NUL": (b"\x00", 400),
    "high byte": (b"\xff", 400),
    "line break": (b"\r\n", 400),
    "LF first": (b"\nGET", 400),
    "bare LF": (b"GET / HTTP/1.1\nHo", 400),
    "bare CR": (b"GET / HTTP/1.1\rHo", 400),
    "longest target": (b"GET /" + b"x" * (TARGET_BYTES - 1) + b" HTTP/1.1", 0),
    "endless target": (b"GET /" + b"x" * (TARGET_BYTES + 600), 414),
    "endless method": (b"G" * (TARGET_BYTES + 600), 414),
    "endless field": (b"GET / HTTP/1.1\r\nA: " + b"x" * 65_536, 431),
}


@pytest.mark.parametrize(("data", "status"), rows(PARTIAL))
def test_a_head_that_has_not_ended(data: bytes, status: int) -> None:
    assert partial(data) == status


@settings(deadline=None)
@given(st.integers(0, 45))
def test_every_beginning_of_a_good_head_may_go_on(place: int) -> None:
    head = b"GET /a%20b?c HTTP/1.1\r\nHost: a\r\nA: b\tc\xff\r\n\r"
    assert partial(head[: place + 1]) == 0
    assert partial(head[: place + 1], place=max(place - 2, 0)) == 0


@pytest.mark.parametrize("end", [b"", b"\r", b"\r\n", b"\r\n\r"])
def test_a_head_at_its_limit_may_go_on_to_its_end(end: bytes) -> None:
    """The empty line does not count, in one read or in several."""
    head = GET + b"\r\nA: b"
    assert partial(head + end, HeadLimits(size=len(head))) == 0


def test_a_head_over_its_limit_is_refused_before_it_ends() -> None:
    assert partial(GET + b"x" * 4, HeadLimits(size=len(GET))) == 431


# -- memos


def test_equal_blocks_are_read_once() -> None:
    codec = Codec()
    heads = [read(b"GET /%d HTTP/1.1\r\nHost: a\r\nA: b" % i, codec) for i in range(4)]
    assert heads[1].fields is heads[2].fields is heads[3].fields
    assert heads[0].fields is not heads[1].fields


def test_memos_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(h1, "_MEMO_BLOCKS", 4)
    codec = Codec()
    for i in range(40):
        for _ in range(2):
            read(b"GET / HTTP/1.1\r\nHost: a%d" % i, codec)
            data = b"HTTP/1.1 200 OK\r\nA: %d" % i
            codec.read_response(data, len(data))
        assert max(len(memo) for memo in (codec._blocks, codec._hosts, codec._responses)) <= 4


def test_long_blocks_and_hosts_are_not_kept() -> None:
    codec = Codec()
    for _ in range(3):
        read(GET + b"\r\nA: ".ljust(3000, b"x"), codec)
        read(b"GET / HTTP/1.1\r\nHost: " + b"a" * 300, codec)
        data = b"HTTP/1.1 200 OK\r\nA: ".ljust(3000, b"x")
        codec.read_response(data, len(data))
    assert (len(codec._responses), [*codec._hosts]) == (0, [b"a"])
    assert all(len(block) < 2049 for block in codec._blocks)


def test_heads_of_many_fields_are_not_kept() -> None:
    codec = Codec()
    most = b"".join(b"\r\n%d: x" % i for i in range(31))
    for extra in (b"", b"\r\nOver: x"):
        for _ in range(3):
            read(b"GET / HTTP/1.1\r\nHost: a" + most + extra, codec)
            respond(b"HTTP/1.1 200 OK\r\nA: b" + most + extra, codec)
        assert (len(codec._blocks), len(codec._responses)) == (1, 1)


# -- responses


def respond(head: bytes, codec: Codec | None = None) -> ResponseHead:
    return (codec or Codec()).read_response(head + b"\r\n\r\nbody", len(head))


@TIMES
def test_a_plain_response(times: int) -> None:
    codec = Codec()
    for _ in range(times):
        head = respond(
            b"HTTP/1.1 404 Not here\r\nContent-length: 5\r\nDate: d\r\nConnection: x\r\nX: 1\r\nY: 2", codec
        )
        assert (head.version, head.status, head.reason) == (b"HTTP/1.1", 404, b"Not here")
        assert head.status_text == b"404 Not here"
        assert head.sized_lines == b"Date: d\r\nY: 2\r\nContent-length: 5\r\n"
        assert head.is_persistent
    assert repr(head) == "<ResponseHead 404>"
    assert codec.known_response(b"HTTP/1.1 200 OK") is None


SIZED_LINES: dict[str, tuple[bytes, bytes]] = {
    "both": (b"200 OK\r\nDate: d\r\nContent-Length: 5", b"Date: d\r\nContent-Length: 5\r\n"),
    "no Date": (b"200 OK\r\nContent-Length: 5", b""),
    "no length": (b"200 OK\r\nDate: d", b""),
    "204": (b"204 No\r\nDate: d\r\nContent-Length: 5", b""),
    "304": (b"304 No\r\nDate: d\r\nContent-Length: 5", b""),
}


@pytest.mark.parametrize(("rest", "lines"), rows(SIZED_LINES))
def test_lines_that_go_on_as_they_are(rest: bytes, lines: bytes) -> None:
    """Only where nothing is left to decide: a length that belongs there, and a Date."""
    assert respond(b"HTTP/1.1 " + rest).sized_lines == lines


STATUS_LINES: dict[str, tuple[bytes, int, bytes]] = {
    "usual": (b"HTTP/1.1 200 OK", 200, b"OK"),
    "no reason": (b"HTTP/1.1 200 ", 200, b""),
    "no reason, no blank": (b"HTTP/1.1 200", 200, b""),
    "odd reason": (b"HTTP/1.1 599 a\tb \xff", 599, b"a\tb \xff"),
    "lowest": (b"HTTP/1.1 100 C", 100, b"C"),
    "HTTP/1.0": (b"HTTP/1.0 200 OK", 200, b"OK"),
}


@pytest.mark.parametrize(("line", "status", "reason"), rows(STATUS_LINES))
def test_status_lines(line: bytes, status: int, reason: bytes) -> None:
    head = respond(line)
    assert (head.status, head.reason) == (status, reason)


BAD_RESPONSES = {
    "nothing": b"",
    "HTTP/0.9": b"<html>",
    "HTTP/2": b"HTTP/2 200 OK",
    "HTTP/2.0": b"HTTP/2.0 200 OK",
    "HTTP/1.2": b"HTTP/1.2 200 OK",
    "lower case": b"http/1.1 200 OK",
    "ICY": b"ICY 200 OK",
    "two digits": b"HTTP/1.1 20 OK",
    "four digits": b"HTTP/1.1 2000 OK",
    "099": b"HTTP/1.1 099 OK",
    "600": b"HTTP/1.1 600 OK",
    "signed": b"HTTP/1.1 +20 OK",
    "other digits": "HTTP/1.1 ٢00 OK".encode(),
    "letters": b"HTTP/1.1 2xx OK",
    "two blanks": b"HTTP/1.1  200 OK",
    "tab": b"HTTP/1.1\t200 OK",
    "no blank": b"HTTP/1.1200 OK",
    "word after the status": b"HTTP/1.1 200OK",
    "NUL in the reason": b"HTTP/1.1 200 O\x00K",
    "CR in the reason": b"HTTP/1.1 200 O\rK",
    "LF in the reason": b"HTTP/1.1 200 O\nK",
    "LF after the line": b"HTTP/1.1 200 OK\nA: b",
    "blank before": b" HTTP/1.1 200 OK",
    "line break before": b"\r\nHTTP/1.1 200 OK",
    "folded": b"HTTP/1.1 200 OK\r\nA: b\r\n c",
    "blank before a colon": b"HTTP/1.1 200 OK\r\nA : b",
    "no colon": b"HTTP/1.1 200 OK\r\nA",
    "bare LF": b"HTTP/1.1 200 OK\r\nA: b\nB: c",
    "NUL": b"HTTP/1.1 200 OK\r\nA: \x00",
    "length and coding": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5",
    "length list": b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5",
    "signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +5",
    "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked",
    "chunked in two lines": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "gzip": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip",
    "gzip, chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked",
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked",
    "too many fields": b"HTTP/1.1 200 OK" + b"\r\nA: b" * (RESPONSE_FIELDS + 1),
}


@pytest.mark.parametrize("head", [pytest.param(head, id=name) for name, head in BAD_RESPONSES.items()])
def test_bad_responses(head: bytes) -> None:
    codec = Codec()
    for _ in range(3):
        with pytest.raises(ProtocolError) as caught:
            respond(head, codec)
        assert caught.value.status == 502
        assert codec.known_response(head) is None


def test_most_fields_of_a_response() -> None:
    assert len(respond(b"HTTP/1.1 200 OK" + b"\r\nA: b" * RESPONSE_FIELDS).fields.kept) == RESPONSE_FIELDS


def test_known_responses_are_the_very_same() -> None:
    codec = Codec()
    raw = b"HTTP/1.1 200 OK\r\nA: b"
    respond(raw, codec)
    assert codec.known_response(raw) is None
    second = respond(raw, codec)
    assert codec.known_response(raw) is second is respond(raw, codec)
    for other in (raw[:-1], raw + b" ", raw.replace(b"A", b"a"), raw + b"\r\nContent-Length: 5"):
        assert codec.known_response(other) is None


# -- hosts


def test_read_host() -> None:
    assert read_host(b"EXAMPLE.com:80") == "example.com"
    assert read_host(b"[::1]:80") == "::1"
    with pytest.raises(ProtocolError):
        read_host(b"a b")


# -- any head at all

LINES = st.sampled_from(
    [
        *(b"Host: a", b"Host: a", b"Host: A:80", b"host:b", b"Host: a b", b"Host:", b"A: b", b"a: \xff"),
        *(b"A : b", b" A: b"),
        *(b"Content-Length: 5", b"Content-Length: 0", b"content-length: 05", b"Content-Length: +5"),
        b"Content-Length: 5, 5",
        *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip", b"Connection: close", b"Connection: A, x-b"),
        *(b"X-B: 1", b"X-B: 2", b"Expect: 100-continue", b"Upgrade: x", b"Connection: upgrade"),
        *(b"Via: 1.1 a", b"", b"A", b":"),
        *(b"X: a\nb", b"X: a\rb", b"X: \x00", b"X-Forwarded-For: 1", b"Date: d", b"Cookie: a", b"TE: trailers"),
    ]
)  # fmt: skip
START = st.sampled_from(
    [
        *(b"GET / HTTP/1.1", b"GET / HTTP/1.1", b"GET / HTTP/1.1", b"POST /a%2fb?c HTTP/1.1"),
        b"GET http://h/x HTTP/1.1",
        *(b"GET / HTTP/1.0", b"OPTIONS * HTTP/1.1", b"GET * HTTP/1.1", b"GET  / HTTP/1.1", b"G T / HTTP/1.1"),
        b"FOO /../a HTTP/1.1",
        *(b"CONNECT a:1 HTTP/1.1", b"GET /", b"", b"GET / HTTP/3.0"),
    ]
)  # fmt: skip
HEADS = st.tuples(START, st.lists(LINES, max_size=6)).map(lambda parts: b"\r\n".join([parts[0], *parts[1]]))
SHARED = Codec()


def verdict(head: bytes, codec: Codec, limits: HeadLimits) -> object:
    """All that a reader says of a head."""
    try:
        found = read(head, codec, limits)
    except ProtocolError as error:
        return error.status, error.reason
    fields = found.fields
    return (
        *(found.method, found.target.raw, found.target.wire_path, found.version, found.host, found.host_name),
        *(found.has_body, found.is_persistent, fields.length, fields.is_chunked, fields.protocols, fields.kept_wire),
        *(fields.expects_continue, fields.has_te_trailers, [(field.name, field.value) for field in fields.all]),
        [field.wire for field in (*fields.forwarding, *fields.via, *fields.trailer)],
    )  # fmt: skip


@settings(deadline=None)
@given(HEADS, st.integers(0, 6))
@example(b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nX-B: 1", 2)
def test_memos_are_exactly_as_strict_as_reading(head: bytes, most: int) -> None:
    """A codec that has seen everything says of a head what one says that has seen nothing, under any limits."""
    low = HeadLimits(fields=most)
    for limits in (LIMITS, low, LIMITS, low):
        assert verdict(head, SHARED, limits) == verdict(head, Codec(), limits)


@settings(deadline=None)
@given(HEADS, st.binary(max_size=3), st.integers(0, 80))
def test_any_head(head: bytes, splice: bytes, place: int) -> None:
    """A refusal, or a head whose kept lines read back as the same fields, with a new head around them."""
    head = head[:place] + splice + head[place:]
    try:
        found = read(head)
    except ProtocolError as error:
        assert error.status in (400, 405, 414, 417, 431)
        return
    assert b"\r\n\r\n" not in head
    assert found.version == b"HTTP/1.0" or found.host
    fields = found.fields
    assert [(field.name, field.value) for field in FieldMemo().parse_block(fields.kept_wire[:-2], 128)] == [
        (field.name, field.value) for field in fields.kept
    ]
    target = found.target.wire_path + found.target.query
    again = read(
        b"%b %b HTTP/1.1\r\nHost: %b\r\n%b"
        % (found.method, target, found.host or b"x", fields.kept_wire[:-2])
        if fields.kept_wire
        else b"%b %b HTTP/1.1\r\nHost: %b" % (found.method, target, found.host or b"x")
    )
    assert again.fields.kept_wire == fields.kept_wire
    assert (again.method, again.target.path, again.has_body) == (found.method, found.target.path, False)
    assert (again.fields.length, again.fields.is_chunked, again.fields.is_close) == (-1, False, False)


RESPONSE_LINES = st.sampled_from(
    [
        *(b"A: b", b"a:c", b"Content-Length: 5", b"Content-Length: 5", b"Content-Length: x"),
        b"Transfer-Encoding: chunked",
        *(b"Transfer-Encoding: gzip", b"Connection: close, A", b"Connection: upgrade", b"Upgrade: x"),
        *(b"Date: d", b"A : b"),
        *(b"", b"A", b" b", b"X: \x00", b"Set-Cookie: a", b"Set-Cookie: b", b"Trailer: X"),
    ]
)  # fmt: skip
RESPONSES = st.tuples(
    st.sampled_from(
        [b"HTTP/1.1 200 OK", b"HTTP/1.1 204", b"HTTP/1.0 500 ", b"HTTP/1.1 101 S", b"HTTP/1.1 20", b""]
    ),
    st.lists(RESPONSE_LINES, max_size=5),
).map(lambda parts: b"\r\n".join([parts[0], *parts[1]]))


def response_verdict(head: bytes, codec: Codec) -> object:
    try:
        found = respond(head, codec)
    except ProtocolError as error:
        return error.status, error.reason
    fields = found.fields
    return (
        *(
            found.version,
            found.status_text,
            found.is_persistent,
            found.sized_lines,
            fields.length,
            fields.is_chunked,
        ),
        *(fields.kept_wire, fields.length_wire, fields.protocol, fields.has_date),
    )


@settings(deadline=None)
@given(RESPONSES)
def test_memos_are_exactly_as_strict_as_reading_responses(head: bytes) -> None:
    for _ in range(3):
        assert response_verdict(head, SHARED) == response_verdict(head, Codec())
