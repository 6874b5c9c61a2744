"""Field blocks: framing is read in one way or refused, what is hop-by-hop ends here, all else goes on as it came."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from posthouse.errors import ProtocolError
from posthouse.protocol.blocks import RequestFields, ResponseFields
from posthouse.protocol.fields import FieldMemo
from unit.protocol.rows import rows


def request(*lines: bytes) -> RequestFields:
    return RequestFields(FieldMemo().parse_block(b"\r\n".join(lines), 128))


def response(*lines: bytes) -> ResponseFields:
    return ResponseFields(FieldMemo().parse_block(b"\r\n".join(lines), 128))


def kept(fields: RequestFields | ResponseFields) -> list[bytes]:
    assert fields.kept_wire == b"".join(field.wire for field in fields.kept)
    return [field.name for field in fields.kept]


CL, TE = b"Content-Length: ", b"Transfer-Encoding: "

AMBIGUOUS: dict[str, tuple[bytes, ...]] = {
    "length and coding": (CL + b"5", TE + b"chunked"),
    "coding and length": (TE + b"chunked", CL + b"5"),
    "length 0 and coding": (CL + b"0", TE + b"chunked"),
    "two lengths": (CL + b"5", CL + b"6"),
    "two equal lengths": (CL + b"5", CL + b"5"),
    "two lengths 0": (CL + b"0", CL + b"0"),
    "two lengths, other case": (CL + b"5", b"content-LENGTH: 5"),
    "length list": (CL + b"5, 5",),
    "length empty": (CL,),
    "length signed": (CL + b"+5",),
    "length negative": (CL + b"-5",),
    "length with a line": (CL + b"1_0",),
    "length in hex": (CL + b"0x5",),
    "length in other digits": (CL + "٥".encode(),),
    "length with a Latin-1 blank": (CL + b"5\xa0",),
    "length too large": (CL + b"9223372036854775808",),
    "coding twice": (TE + b"chunked", TE + b"chunked"),
    "coding list": (TE + b"chunked, chunked",),
    "coding not last": (TE + b"chunked, gzip",),
    "coding after another": (TE + b"gzip, chunked",),
    "coding in two lines": (TE + b"gzip", TE + b"chunked"),
    "unknown coding": (TE + b"xchunked",),
    "gzip": (TE + b"gzip",),
    "identity": (TE + b"identity",),
    "empty coding": (TE,),
    "coding with a comma": (TE + b"chunked,",),
    "coding after a comma": (TE + b",chunked",),
    "coding with a parameter": (TE + b"chunked;q=1",),
    "coding in quotes": (TE + b'"chunked"',),
    "coding with a vertical blank": (TE + b"chunked\x85",),
    "coding with a Latin-1 blank": (TE + b"\xa0chunked",),
}


@pytest.mark.parametrize("lines", [pytest.param(lines, id=name) for name, lines in AMBIGUOUS.items()])
def test_what_could_be_read_in_two_ways(lines: tuple[bytes, ...]) -> None:
    """Whatever `Connection` says of it: a field can't be made unread."""
    for extra in ((), (b"Connection: content-length, transfer-encoding",)):
        with pytest.raises(ProtocolError) as caught:
            request(b"Host: a", *extra, *lines)
        assert caught.value.status == 400
        with pytest.raises(ProtocolError):
            response(*extra, *lines)


FRAMING: dict[str, tuple[bytes, int, bool]] = {
    "none": (b"A: 1", -1, False),
    "length": (b"Content-Length: 5", 5, False),
    "length 0": (b"Content-Length: 0", 0, False),
    "length with blanks": (b"content-length: \t5 \t", 5, False),
    "chunked": (b"Transfer-Encoding: chunked", -1, True),
    "chunked in other case": (b"TRANSFER-ENCODING: Chunked \t", -1, True),
}


@pytest.mark.parametrize(("line", "length", "is_chunked"), rows(FRAMING))
def test_framing(line: bytes, length: int, is_chunked: bool) -> None:
    for fields in (request(b"Host: a", line), response(line)):
        assert (fields.length, fields.is_chunked) == (length, is_chunked)
        assert b"content-length" not in fields.kept_wire.lower()
        assert b"transfer-encoding" not in fields.kept_wire.lower()


def test_host() -> None:
    assert request(b"A: 1").host is None
    host = request(b"A: 1", b"hOST: x").host
    assert host is not None and host.value == b"x"
    for second in (b"Host: a", b"Host: b", b"HOST:"):
        with pytest.raises(ProtocolError) as caught:
            request(b"Host: a", second)
        assert caught.value.status == 400


ENDS_HERE = [
    *(b"Connection: x", b"Keep-Alive: timeout=5", b"Proxy-Connection: keep-alive", b"Proxy-Authorization: Basic eA=="),
    *(b"Proxy-Authenticate: Basic", b"TE: trailers", b"Trailer: X", b"Upgrade: websocket", b"Alt-Svc: h3"),
    *(b"HTTP2-Settings: x", b"Host: a", b"Expect: 100-continue", b"Content-Length: 0"),
]  # fmt: skip


@pytest.mark.parametrize("line", ENDS_HERE, ids=lambda line: line.split(b":")[0].decode())
def test_what_ends_here_in_requests(line: bytes) -> None:
    name, _, rest = line.partition(b":")
    assert kept(request(b"Before: 1", line, b"After: 1")) == [b"Before", b"After"]
    assert kept(request(b"Before: 1", name.swapcase() + b":" + rest, b"After: 1")) == [b"Before", b"After"]


@pytest.mark.parametrize("line", ENDS_HERE[:9], ids=lambda line: line.split(b":")[0].decode())
def test_what_ends_here_in_responses(line: bytes) -> None:
    assert kept(response(b"Before: 1", line, b"After: 1")) == [b"Before", b"After"]


def test_ordinary_fields_go_on_as_they_came() -> None:
    """Order, letter case, repetition, odd names, odd bytes; a Date and a Cookie of a request too."""
    lines = [
        *(b"x-LOWER: 1", b"Accept: */*", b"X_Y: 2", b"accept: text/html", b"A: \xff\x85\xa0", b"Empty: "),
        *(
            b"Date: today",
            b"Cookie: a=1",
            b"Cookie: b=2",
            b"Authorization: Basic eA==",
            b"Age: 1",
            b"Set-Cookie: a",
        ),
    ]
    for fields in (request(*lines), response(*lines)):
        assert fields.kept_wire == b"\r\n".join(lines) + b"\r\n"


def test_fields_of_a_response_that_are_special_in_requests_go_on() -> None:
    lines = [
        b"Host: a",
        b"Via: 1.1 b",
        b"Expect: x",
        b"X-Forwarded-For: 1",
        b"Forwarded: for=1",
        b"X-Real-IP: 1",
        b"Date: d",
    ]
    assert kept(response(*lines)) == [line.partition(b":")[0] for line in lines]
    assert response(b"Date: d").has_date
    assert not response(b"Dated: d").has_date


NOMINATIONS: dict[str, tuple[list[bytes], list[bytes]]] = {
    "one": ([b"Connection: X-A"], [b"X-B"]),
    "odd case": ([b"CONNECTION: x-a"], [b"X-B"]),
    "odd blanks": ([b"Connection: \t X-A \t, close"], [b"X-B"]),
    "two": ([b"Connection: X-A, X-B"], []),
    "two lines": ([b"Connection: X-A", b"Connection: x-b"], []),
    "empty line first": ([b"Connection:", b"Connection: X-A"], [b"X-B"]),
    "commas": ([b"Connection: ,, X-A,,"], [b"X-B"]),
    "with close": ([b"Connection: close, X-A"], [b"X-B"]),
    "known words only": ([b"Connection: close, keep-alive, upgrade"], [b"X-A", b"X-B"]),
    "nothing that is there": ([b"Connection: X-C"], [b"X-A", b"X-B"]),
    "a part of a name": ([b"Connection: X, A, X-"], [b"X-A", b"X-B"]),
    "none": ([], [b"X-A", b"X-B"]),
}


@pytest.mark.parametrize(("connection", "left"), rows(NOMINATIONS))
def test_what_connection_names_ends_here(connection: list[bytes], left: list[bytes]) -> None:
    """In every Connection line, wherever it stands."""
    named = [b"X-A: 1", b"X-B: 2"]
    for lines in (named + connection, connection + named):
        assert kept(request(b"Host: a", *lines)) == left
        assert kept(response(*lines)) == left


def test_connection_has_no_say_over_what_is_ours() -> None:
    """Framing, Host, forwarding fields and Via stay what they are."""
    fields = request(
        *(
            b"Connection: host, content-length, via, expect, x-forwarded-for",
            b"Host: a",
            b"Content-Length: 5",
        ),
        *(b"X-Forwarded-For: 1.2.3.4", b"Via: 1.1 x", b"Expect: 100-continue"),
    )
    assert fields.host is not None
    assert fields.length == 5
    assert fields.expects_continue
    assert [field.value for field in fields.forwarding] == [b"1.2.3.4"]
    assert [field.value for field in fields.via] == [b"1.1 x"]


PERSISTENCE: dict[str, tuple[list[bytes], bool, bool]] = {
    "nothing said": ([], False, False),
    "close": ([b"Connection: close"], True, False),
    "close among others": ([b"Connection: x, CLOSE, y"], True, False),
    "close in the second line": ([b"Connection: x", b"Connection: close"], True, False),
    "keep-alive": ([b"Connection: Keep-Alive"], False, True),
    "both": ([b"Connection: keep-alive", b"Connection: close"], True, True),
    "close as a part of a word": ([b"Connection: closed, un-close"], False, False),
    "only the field keep-alive": ([b"Keep-Alive: timeout=5"], False, False),
}


@pytest.mark.parametrize(("lines", "is_close", "is_keep_alive"), rows(PERSISTENCE))
def test_persistence(lines: list[bytes], is_close: bool, is_keep_alive: bool) -> None:
    for fields in (request(*lines), response(*lines)):
        assert (fields.is_close, fields.is_keep_alive) == (is_close, is_keep_alive)


CU = b"Connection: Upgrade"
UPGRADES: dict[str, tuple[list[bytes], bytes | None]] = {
    "websocket": ([CU, b"Upgrade: websocket"], b"websocket"),
    "case kept": ([CU, b"Upgrade: WebSocket"], b"WebSocket"),
    "not announced": ([b"Upgrade: websocket"], None),
    "announced, not there": ([CU], None),
    "announced in a list": ([b"Connection: keep-alive, upgrade", b"Upgrade: foo/2"], b"foo/2"),
    "h2c": ([b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: x"], None),
    "h2c in other case": ([CU, b"Upgrade: H2C"], None),
    "another HTTP": ([CU, b"Upgrade: HTTP/2.0"], None),
    "TLS": ([CU, b"Upgrade: TLS/1.2"], None),
    "bare TLS": ([CU, b"Upgrade: tls"], None),
    "h2c among others": ([CU, b"Upgrade: h2c, websocket"], b"websocket"),
    "h2c in a second line": ([CU, b"Upgrade: websocket", b"Upgrade: h2c"], b"websocket"),
    "two lines": ([CU, b"Upgrade: a", b"Upgrade: b"], b"a, b"),
    "a word that only begins so": ([CU, b"Upgrade: h2cx"], b"h2cx"),
    "with a length": ([CU, b"Upgrade: websocket", b"Content-Length: 1"], None),
    "with length 0": ([CU, b"Upgrade: websocket", b"Content-Length: 0"], b"websocket"),
    "with chunks": ([CU, b"Upgrade: websocket", b"Transfer-Encoding: chunked"], None),
    "empty": ([CU, b"Upgrade: ,"], None),
}


@pytest.mark.parametrize(("lines", "protocols"), rows(UPGRADES))
def test_upgrade_of_a_request(lines: list[bytes], protocols: bytes | None) -> None:
    for order in (
        (lines, lines[::-1]) if len([line for line in lines if line.startswith(b"Up")]) < 2 else (lines,)
    ):
        assert request(b"Host: a", *order).protocols == protocols


def test_upgrade_of_a_response() -> None:
    assert response(CU, b"Upgrade: WebSocket").protocol == b"WebSocket"
    assert response(b"Upgrade: WebSocket").protocol is None
    assert response(CU).protocol is None


TRAILERS: dict[str, tuple[list[bytes], bool]] = {
    "wanted": ([b"Connection: TE", b"TE: trailers"], True),
    "with other codings": ([b"Connection: te", b"TE: gzip;q=0.5, Trailers"], True),
    "not announced": ([b"TE: trailers"], False),
    "announced by another word": ([b"Connection: close", b"TE: trailers"], False),
    "another coding": ([b"Connection: TE", b"TE: gzip"], False),
    "announced, not there": ([b"Connection: TE"], False),
}


@pytest.mark.parametrize(("lines", "wanted"), rows(TRAILERS))
def test_te(lines: list[bytes], wanted: bool) -> None:
    fields = request(*lines)
    assert fields.has_te_trailers is wanted
    assert fields.kept == []


def test_trailer_announcements_are_set_apart() -> None:
    for fields in (request(b"Trailer: A", b"Trailer: B"), response(b"Trailer: A", b"Trailer: B")):
        assert [field.value for field in fields.trailer] == [b"A", b"B"]
    assert request(b"A: 1").trailer == []


def test_expect() -> None:
    assert request(b"Expect: 100-Continue").expects_continue
    assert not request(b"A: 1").expects_continue
    for value in (b"100", b"200-ok", b"", b"100-continue, x", b"100-continue; q"):
        with pytest.raises(ProtocolError) as caught:
            request(b"Expect: " + value)
        assert caught.value.status == 417


def test_forwarding_fields_are_set_apart_in_order() -> None:
    lines = [
        b"X-Forwarded-For: 1",
        b"X-Real-IP: 2",
        b"x-forwarded-for: 3",
        b"Forwarded: for=4",
        b"X-Forwarded-New: 5",
    ]
    fields = request(b"A: 1", *lines, b"B: 2")
    assert [field.value for field in fields.forwarding] == [b"1", b"2", b"3", b"for=4", b"5"]
    assert kept(fields) == [b"A", b"B"]


def test_what_blocks_lack_is_not_shared_by_accident() -> None:
    first = request(b"X-Forwarded-For: 1", b"Via: 1", b"Trailer: 1")
    second = request(b"A: 1")
    assert (second.forwarding, second.via, second.trailer) == ([], [], [])
    assert (len(first.forwarding), len(first.via), len(first.trailer)) == (1, 1, 1)


def test_value_joins_lines() -> None:
    fields = request(
        b"Host: h", b"Accept: a", b"accept: b", b"Cookie: c=1", b"COOKIE: d=2", b"Content-Length: 5"
    )
    assert fields.value(b"accept") == b"a,b"
    assert fields.value(b"cookie") == b"c=1; d=2"
    assert fields.value(b"host") == b"h"
    assert fields.value(b"content-length") == b"5"
    assert fields.value(b"none") is None


def test_content_length_line_of_a_response() -> None:
    """As it goes downstream: one line, by our own pen."""
    assert response(b"cOnTeNt-LeNgTh:\t5 ").length_wire == b"cOnTeNt-LeNgTh: 5\r\n"
    assert response(b"A: 1").length_wire == b""


# -- any block at all

NAMES = st.sampled_from(
    [
        *(b"A", b"a", b"X-B", b"Host", b"Content-Length", b"Transfer-Encoding", b"Connection", b"Upgrade", b"TE"),
        *(b"Trailer", b"Expect", b"Keep-Alive", b"Proxy-Connection", b"X-Forwarded-For", b"Via", b"Date", b"Cookie"),
        b"connection",
    ]
)  # fmt: skip
VALUES = st.sampled_from(
    [
        *(b"", b"a", b"x-b", b"0", b"5", b"chunked", b"close", b"keep-alive", b"upgrade", b"te", b"trailers"),
        *(b"websocket", b"100-continue", b"a, x-b", b"host, content-length, transfer-encoding", b"\xff", b"a:b"),
    ]
)  # fmt: skip
NOT_ORDINARY = {
    *(
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"connection",
        b"upgrade",
        b"te",
        b"trailer",
        b"expect",
    ),
    *(b"keep-alive", b"proxy-connection", b"x-forwarded-for", b"via"),
}


@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
@example([(b"Connection", b"a, x-b"), (b"A", b"1"), (b"a", b"2"), (b"X-B", b"")])
def test_any_request_block(lines: list[tuple[bytes, bytes]]) -> None:
    """A refusal, or: what is kept is ordinary, unnamed by Connection, in order, and its wire reads back as the same."""
    try:
        fields = request(*(name + b": " + value for name, value in lines))
    except ProtocolError as error:
        assert error.status in (400, 417)
        return
    named = {
        word.strip() for name, value in lines if name.lower() == b"connection" for word in value.split(b",")
    }
    assert [(field.name, field.value) for field in fields.kept] == [
        (name, value)
        for name, value in lines
        if name.lower() not in NOT_ORDINARY
        and (name.lower() not in named or name.lower() in {b"close", b"keep-alive", b"upgrade", b"te"})
    ]
    again = RequestFields(FieldMemo().parse_block(fields.kept_wire[:-2], 128))
    assert [(field.name, field.value) for field in again.kept] == [
        (field.name, field.value) for field in fields.kept
    ]
    assert again.kept_wire == fields.kept_wire
    assert (again.length, again.is_chunked, again.host) == (-1, False, None)


@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_any_response_block(lines: list[tuple[bytes, bytes]]) -> None:
    try:
        fields = response(*(name + b": " + value for name, value in lines))
    except ProtocolError:
        return
    again = response(*fields.kept_wire.split(b"\r\n")[:-1])
    assert again.kept_wire == fields.kept_wire
    assert (again.length, again.is_chunked, again.is_close, again.protocol) == (-1, False, False, None)
