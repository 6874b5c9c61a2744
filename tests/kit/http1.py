"""A small, strict HTTP/1.1 reader and writer for tests, written apart from the one under test.

It takes only the normal form: CRLF everywhere, token names directly before the colon, one way of framing, one
Host. What it refuses, another parser might read in another way, which is what the tests look for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

Fields = Sequence[tuple[bytes | str, bytes | str]]

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*\Z")
TARGET = re.compile(rb"(?:/[\x21-\x7e\x80-\xff]*|\*)\Z")
STATUS_LINE = re.compile(rb"(HTTP/1\.[01]) ([1-5][0-9][0-9]) ([\t\x20-\x7e\x80-\xff]*)\Z")
REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([^ ]+) (HTTP/1\.[01])\Z")
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})\Z")
HEAD_MOST = 1 << 20


class BadMessage(Exception):
    """The bytes are not a message in normal form."""


class Truncated(Exception):
    """The connection ended before the message did.

    how      "fin" (orderly end) or "rst"
    partial  the response as far as it came, or None if its head was not complete
    data     bytes of the unfinished part; in_head: that part is a head
    """

    def __init__(
        self, how: str, partial: Response | None, data: bytes = b"", *, in_head: bool = False
    ) -> None:
        super().__init__(f"{how} in {partial or data!r}")
        self.how = how
        self.partial = partial
        self.data = data
        self.in_head = in_head


@dataclass(slots=True)
class Message:
    """What requests and responses share: fields in order with their case, the body, the trailers."""

    version: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    raw_head: bytes = b""
    framing: str = "none"
    """How the body was framed: "none", "length", "chunked" or "close"."""

    def all(self, name: bytes | str) -> list[bytes]:
        """Every value of the field, in order."""
        wanted = as_bytes(name).lower()
        return [value for key, value in self.fields if key.lower() == wanted]

    def field(self, name: bytes | str) -> bytes | None:
        """The only value of the field, None if absent; AssertionError if it came twice."""
        values = self.all(name)
        assert len(values) < 2, f"{name!r} came {len(values)} times: {values}"
        return values[0] if values else None

    def names(self) -> set[bytes]:
        """The field names, lower case."""
        return {name.lower() for name, _ in self.fields}


@dataclass(slots=True)
class Request(Message):
    """One request as a backend received it."""

    method: bytes = b""
    target: bytes = b""
    connection: int = 0
    """Number of the connection that it came on, from 0."""


@dataclass(slots=True)
class Response(Message):
    """One response as a client received it; `informational` are the 1xx before it."""

    status: int = 0
    reason: bytes = b""
    informational: list[Response] = field(default_factory=list)


class Stream(Protocol):
    """Where a reader gets its bytes from: what has come so far, and more of it."""

    buffer: bytearray

    def fill(self) -> str:
        """Append what comes next; "" if something came, else how the connection ended: "fin" or "rst"."""


def as_bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


def parse_fields(lines: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    """Field lines without their CRLF; BadMessage for anything but `token: value` with clean bytes."""
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.match(name) or not VALUE.match(value):
            raise BadMessage(f"field line {line!r}")
        fields.append((name, value.strip(b" \t")))
    return fields


def split_head(head: bytes) -> list[bytes]:
    """The lines of a head that ends with an empty line; a CR or LF that is not CRLF is refused."""
    lines = head.split(b"\r\n")
    for line in lines:
        if b"\r" in line or b"\n" in line or b"\0" in line:
            raise BadMessage(f"bare CR, LF or NUL in {line!r}")
    return lines[:-2]


def parse_request_head(head: bytes) -> Request:
    """A request head up to and with its empty line."""
    lines = split_head(head)
    match = REQUEST_LINE.match(lines[0])
    if not match or not TARGET.match(match[2]):
        raise BadMessage(f"request line {lines[0]!r}")
    fields = parse_fields(lines[1:])
    parsed = Request(match[3], fields, method=match[1], target=match[2], raw_head=head)
    if len(parsed.all("host")) != 1:
        raise BadMessage(f"{len(parsed.all('host'))} Host fields")
    parsed.framing = framing(parsed)
    return parsed


def parse_response_head(head: bytes) -> Response:
    """A response head up to and with its empty line."""
    lines = split_head(head)
    match = STATUS_LINE.match(lines[0])
    if not match:
        raise BadMessage(f"status line {lines[0]!r}")
    parsed = Response(match[1], parse_fields(lines[1:]), status=int(match[2]), reason=match[3], raw_head=head)
    parsed.framing = framing(parsed)
    return parsed


def framing(message: Message) -> str:
    """ "none", "length" or "chunked"; BadMessage when two readings are possible."""
    lengths, codings = message.all("content-length"), message.all("transfer-encoding")
    if len(lengths) + len(codings) > 1:
        raise BadMessage(f"framing {lengths} {codings}")
    if codings:
        if codings[0].lower() != b"chunked" or message.version != b"HTTP/1.1":
            raise BadMessage(f"transfer-encoding {codings} in {message.version!r}")
        return "chunked"
    if lengths:
        if not re.fullmatch(rb"[0-9]{1,18}", lengths[0]):
            raise BadMessage(f"content-length {lengths}")
        return "length"
    return "none"


def _need(stream: Stream, partial: Response | None, *, in_head: bool = False) -> None:
    how = stream.fill()
    if how:
        raise Truncated(how, partial, bytes(stream.buffer), in_head=in_head)


def read_head(stream: Stream) -> bytes:
    """Take a head with its empty line; Truncated if the connection ends first."""
    while (end := stream.buffer.find(b"\r\n\r\n")) < 0:
        if len(stream.buffer) > HEAD_MOST:
            raise BadMessage("head without an end")
        _need(stream, None, in_head=True)
    head = bytes(stream.buffer[: end + 4])
    del stream.buffer[: end + 4]
    return head


def read_line(stream: Stream, partial: Response | None) -> bytes:
    """Take a line up to CRLF, without it."""
    while (end := stream.buffer.find(b"\r\n")) < 0:
        if len(stream.buffer) > HEAD_MOST:
            raise BadMessage("line without an end")
        _need(stream, partial)
    line = bytes(stream.buffer[:end])
    del stream.buffer[: end + 2]
    if b"\n" in line or b"\r" in line:
        raise BadMessage(f"bare CR or LF in {line!r}")
    return line


def read_exactly(stream: Stream, message: Message, length: int) -> None:
    """Move `length` bytes from the stream to the message's body."""
    partial = message if isinstance(message, Response) else None
    left = length
    parts = [message.body]
    while left:
        if not stream.buffer:
            message.body = b"".join(parts)
            parts = [message.body]
            _need(stream, partial)
        taken = bytes(stream.buffer[:left])
        del stream.buffer[: len(taken)]
        left -= len(taken)
        parts.append(taken)
    message.body = b"".join(parts)


def read_chunked(stream: Stream, message: Message) -> None:
    """Chunks without extensions, exact CRLFs, then trailers."""
    partial = message if isinstance(message, Response) else None
    while True:
        line = read_line(stream, partial)
        if not CHUNK_LINE.match(line):
            raise BadMessage(f"chunk line {line!r}")
        size = int(line, 16)
        if size == 0:
            break
        read_exactly(stream, message, size)
        if read_line(stream, partial):
            raise BadMessage("no CRLF after chunk data")
    lines = []
    while line := read_line(stream, partial):
        lines.append(line)
    message.trailers = parse_fields(lines)


def read_body(stream: Stream, message: Message) -> None:
    """The body by Content-Length or chunks; nothing without either."""
    if message.framing == "chunked":
        read_chunked(stream, message)
    elif message.framing == "length":
        read_exactly(stream, message, int(message.all("content-length")[0]))


def read_to_end(stream: Stream, message: Response) -> None:
    """A body that the end of the connection delimits: an orderly end is its end, a reset truncates it."""
    message.framing = "close"
    while True:
        message.body += bytes(stream.buffer)
        stream.buffer.clear()
        how = stream.fill()
        if how == "fin":
            return
        if how:
            raise Truncated(how, message)


def _head(first: bytes, fields: Fields) -> bytes:
    lines = [first] + [as_bytes(name) + b": " + as_bytes(value) for name, value in fields]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def request(
    method: bytes | str = "GET",
    target: bytes | str = "/",
    fields: Fields = (),
    body: bytes | None = None,
    *,
    host: bytes | str | None = "site.test",
    version: bytes | str = "HTTP/1.1",
) -> bytes:
    """A request's bytes; a body gets its Content-Length; `host=None` writes no Host field."""
    lines: list[tuple[bytes | str, bytes | str]] = [] if host is None else [("Host", host)]
    lines += fields
    if body is not None:
        lines.append(("Content-Length", str(len(body))))
    first = b" ".join((as_bytes(method), as_bytes(target), as_bytes(version)))
    return _head(first, lines) + (body or b"")


def response(
    status: int = 200,
    fields: Fields = (),
    body: bytes | None = b"ok",
    *,
    version: bytes | str = "HTTP/1.1",
    reason: bytes | str = "Reason",
) -> bytes:
    """A response's bytes; a body gets its Content-Length, `body=None` writes neither."""
    lines = list(fields)
    if body is not None:
        lines.append(("Content-Length", str(len(body))))
    first = as_bytes(version) + b" %d " % status + as_bytes(reason)
    return _head(first, lines) + (body or b"")


def chunk(*parts: bytes, trailers: Fields = (), last: bool = True) -> bytes:
    """The chunked form of a body, with its last chunk and trailers unless `last` is False."""
    coded = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    if not last:
        return coded
    end = b"".join(as_bytes(name) + b": " + as_bytes(value) + b"\r\n" for name, value in trailers)
    return coded + b"0\r\n" + end + b"\r\n"
