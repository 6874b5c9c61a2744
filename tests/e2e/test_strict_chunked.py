"""Chunked request bodies: exact grammar, bounded extensions and trailers, re-framed for the backend.

Rules 4 and 12 and topic 2.3 of the specification of reliability. Here a head may have gone upstream before
the body turns out bad: then no complete request may arrive, and that connection is closed, never reused.
"""

from __future__ import annotations

import pytest

from kit import RawClient, Stage, chunk, request
from kit.tables import SMUGGLED, named

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    proxy / BACKEND {
        fail_timeout 1m
    }
}
"""

HEAD = request("POST", "/x", [("Transfer-Encoding", "chunked")])


def assert_body_refused(stage: Stage, body: bytes, *statuses: int, pieces: int = 0) -> None:
    """400 and close for the client; the backend gets no complete request and its connection is closed."""
    with stage.client() as client:
        client.send(HEAD)
        if pieces:
            client.send_pieces(body, pieces)
        else:
            client.send(body)
        assert client.read_response().status in (statuses or (400,))
        assert client.end() in ("fin", "rst")
        assert client.buffer == b""
    for connection in stage.backend.connections:
        assert connection.wait_gone()
        assert b"0\r\n\r\n" not in connection.received
    assert stage.backend.requests == []
    stage.assert_serves()


SIZES = {
    "empty": b"",
    "plus": b"+5",
    "minus": b"-5",
    "hexadecimal": b"0x5",
    "capital-hexadecimal": b"0X5",
    "underscore": b"0_5",
    "blank-before": b" 5",
    "blank-after": b"5 ",
    "tab-before": b"\t5",
    "tab-after": b"5\t",
    "vertical-tab-after": b"5\x0b",
    "next-line-after": b"5\x85",
    "no-break-space-before": b"\xa05",
    "nul-after": b"5\0",
    "letter": b"g",
    "letter-after": b"5g",
    "h-suffix": b"5h",
    "point": b"5.",
    "comma": b"5,",
    "quoted": b'"5"',
    "fullwidth": "５".encode(),
    "arabic": "٥".encode(),
    "17-digits": b"00000000000000005",
    "minus-zero": b"-0",
    "blank-extension": b"5 x",
}


@pytest.mark.parametrize("size", named(SIZES))
def test_size_must_be_hexadecimal_digits(stage: Stage, size: bytes) -> None:
    assert_body_refused(stage, size + b"\r\nhello\r\n0\r\n\r\n" + SMUGGLED)


@pytest.mark.parametrize(
    "size", [b"20000000000001", b"7fffffffffffffff", b"8000000000000000", b"f" * 16, b"f" * 17]
)
def test_absurd_size_is_not_waited_for(stage: Stage, size: bytes) -> None:
    assert_body_refused(stage, size + b"\r\nhello\r\n0\r\n\r\n" + SMUGGLED, 400, 413)


DELIMITERS = {
    "lf": b"\n",
    "cr": b"\r",
    "cr-cr": b"\r\r",
    "cr-cr-lf": b"\r\r\n",
    "lf-cr": b"\n\r",
    "lf-lf": b"\n\n",
    "xx": b"XX",
    "nul-lf": b"\0\n",
    "cr-nul": b"\r\0",
    "blank-cr-lf": b" \r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("delimiter", named(DELIMITERS))
@pytest.mark.parametrize("place", ["size", "data", "last-size", "end"])
@pytest.mark.parametrize("pieces", [0, 1], ids=["whole", "bytewise"])
def test_every_delimiter_is_cr_lf(stage: Stage, delimiter: bytes, place: str, pieces: int) -> None:
    parts = {"size": b"\r\n", "data": b"\r\n", "last-size": b"\r\n", "end": b"\r\n"} | {place: delimiter}
    body = b"5" + parts["size"] + b"hello" + parts["data"] + b"0" + parts["last-size"] + parts["end"]
    assert_body_refused(stage, body + SMUGGLED, pieces=pieces)


EXTENSIONS = {
    "token": b";a",
    "value": b";a=b",
    "quoted": b';a="b c"',
    "several": b";a=b;c;d=e",
    "quoted-semicolon": b';a="b;c"',
    "long": b";a=" + b"b" * 1000,
}


@pytest.mark.parametrize("extension", named(EXTENSIONS))
def test_extension_is_dropped(stage: Stage, extension: bytes) -> None:
    with stage.client() as client:
        body = b"5" + extension + b"\r\nhello\r\n0" + extension + b"\r\n\r\n"
        assert client.exchange(HEAD + body).status == 200
        assert client.exchange(request("GET", "/next")).status == 200
    first, second = stage.backend.requests
    assert (first.body, second.target) == (b"hello", b"/next")
    assert b";" not in stage.backend.received()
    assert stage.backend.violations == []


BAD_EXTENSIONS = {
    "bare-lf": b";a\nb",
    "bare-cr": b";a\rb",
    "lf-at-once": b";\n",
    "quoted-lf": b';a="\n"',
    "quoted-cr": b';a="\r"',
    "quoted-cr-lf": b';a="\r\n"',
    "nul": b";a\0b",
    "1100-bytes": b";" + b"a" * 1100,
    "64-kib": b";" + b"a" * 65_536,
    "2-mib": b";" + b"a" * 2_097_152,
}


@pytest.mark.parametrize("extension", named(BAD_EXTENSIONS))
@pytest.mark.parametrize("size", [b"5", b"0"])
def test_extension_is_refused(stage: Stage, extension: bytes, size: bytes) -> None:
    body = size + extension + b"\r\nhello\r\n0\r\n\r\n" if size == b"5" else size + extension + b"\r\n\r\n"
    assert_body_refused(stage, body + SMUGGLED)


BAD_TRAILERS = {
    "no-colon": b"X-Trailer\r\n",
    "empty-name": b": 1\r\n",
    "space-before-colon": b"X-Trailer : 1\r\n",
    "fold": b"X-Trailer: 1\r\n 2\r\n",
    "fold-first": b" X-Trailer: 1\r\n",
    "bare-lf": b"X-Trailer: 1\nX-B: 2\r\n",
    "bare-cr": b"X-Trailer: 1\rX-B: 2\r\n",
    "nul": b"X-Trailer: \0\r\n",
    "request-line": b"GET /smuggled HTTP/1.1\r\n",
    "9-kib": b"X-Trailer: " + b"a" * 9_216 + b"\r\n",
    "9-kib-of-fields": b"X-Trailer: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 210,
    "1-mib": b"X-Trailer: " + b"a" * 1_048_576 + b"\r\n",
    "1-mib-of-fields": b"X-Trailer: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 24_000,
}


@pytest.mark.parametrize("trailers", named(BAD_TRAILERS))
def test_trailers_are_refused(stage: Stage, trailers: bytes) -> None:
    assert_body_refused(stage, b"5\r\nhello\r\n0\r\n" + trailers + b"\r\n" + SMUGGLED)


def test_trailers_pass(stage: Stage) -> None:
    trailers = [("X-One", "1"), ("x-two", "2"), ("X-One", "3"), ("X-Long", "a" * 7000)]
    with stage.client() as client:
        assert client.exchange(HEAD + chunk(b"hello", trailers=trailers)).status == 200
        assert client.exchange(request("GET", "/next")).status == 200
    first = stage.backend.requests[0]
    assert first.body == b"hello"
    assert first.trailers == [(name.encode(), value.encode()) for name, value in trailers]
    assert stage.backend.violations == []


FORBIDDEN_TRAILERS = [
    "Transfer-Encoding",
    "Content-Length",
    "Host",
    "Connection",
    "Upgrade",
    "TE",
    "Trailer",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "x-forwarded-proto",
    "Forwarded",
    "X-Real-IP",
]


@pytest.mark.parametrize("name", FORBIDDEN_TRAILERS)
def test_framing_and_routing_names_never_trail(stage: Stage, name: str) -> None:
    """They are dropped, or the request is refused; the backend never sees them."""
    trailers = [("X-Kept", "1"), (name, "5"), ("X-Kept-Too", "2")]
    with stage.client() as client:
        answer = client.exchange(HEAD + chunk(b"hello", trailers=trailers))
        assert answer.status in (200, 400)
    for asked in stage.backend.requests:
        assert asked.trailers == [(b"X-Kept", b"1"), (b"X-Kept-Too", b"2")]
    assert stage.backend.violations == []


BODIES = {
    "empty": b"0\r\n\r\n",
    "capitals": b"A\r\n0123456789\r\n0\r\n\r\n",
    "small-letters": b"a\r\n0123456789\r\n0\r\n\r\n",
    "leading-zeros": b"000000000000000a\r\n0123456789\r\n0\r\n\r\n",
    "many-zeros-last": b"a\r\n0123456789\r\n0000\r\n\r\n",
    "single-bytes": b"".join(b"1\r\n%c\r\n" % byte for byte in b"0123456789") + b"0\r\n\r\n",
    "looks-like-chunks": b"11\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n\r\nx\r\n0\r\n\r\n",
}
DECODED = {"empty": b"", "looks-like-chunks": b"\r\n0\r\n\r\n\r\n0\r\n\r\n\r\nx"}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("pieces", [0, 1, 3], ids=["whole", "1-byte", "3-bytes"])
def test_body_arrives(stage: Stage, name: str, pieces: int) -> None:
    with stage.client() as client:
        send_in(client, HEAD + BODIES[name] + request("GET", "/next"), pieces)
        assert client.read_response().status == 200
        assert client.read_response().status == 200
    first, second = stage.backend.requests
    assert first.body == DECODED.get(name, b"0123456789")
    assert second.target == b"/next"
    assert stage.backend.violations == []


def send_in(client: RawClient, data: bytes, pieces: int) -> None:
    if pieces:
        client.send_pieces(data, pieces)
    else:
        client.send(data)


def test_body_of_a_megabyte_in_odd_chunks(stage: Stage) -> None:
    body = bytes(range(256)) * 4096
    parts, start, size = [], 0, 1
    while start < len(body):
        parts.append(body[start : start + size])
        start, size = start + size, size * 3 % 65_537 + 1
    with stage.client() as client:
        assert client.exchange(HEAD + chunk(*parts)).status == 200
    assert stage.backend.requests[0].body == body
    assert stage.backend.violations == []


def test_good_chunks_before_a_bad_one_leave_nothing_behind(stage: Stage) -> None:
    """The backend is in the middle of the body when the bad chunk comes: its connection ends unfinished."""
    with stage.client() as client:
        client.send(HEAD + chunk(b"a" * 1000, last=False))
        stage.backend.wait_heads(1)
        [connection] = stage.backend.connections
        client.send(b"zz\r\n" + SMUGGLED)
        assert client.read_response().status == 400
        assert client.end() in ("fin", "rst")
    assert connection.wait_gone()
    assert len(stage.backend.unfinished) == 1
    assert stage.backend.requests == []
    stage.assert_serves()
    assert len(stage.backend.connections) == 2
