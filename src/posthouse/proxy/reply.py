"""What we answer ourselves, and the one table from a Failure to a status."""

from __future__ import annotations

import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from posthouse.errors import FailureKind, Side
from posthouse.protocol.fields import Field

SERVER: Final = Field(b"Server", b"Posthouse")
"""On our own replies only; a backend's Server passes as it is."""

NOSNIFF: Final = Field(b"X-Content-Type-Options", b"nosniff")
"""What we say may hold a path of the client's: no browser is to take text for HTML."""

TEXT_FIELDS: Final = (Field(b"Content-Type", b"text/plain; charset=utf-8"), NOSNIFF)
"""Of a reply whose body is plain text."""

CLIENT_CLOSED: Final = 499
"""Log only: the client left before an answer."""


def failure_status(kind: FailureKind, side: Side = Side.UPSTREAM) -> int:
    """What the client is told. 503: no backend could be tried; 502: one broke; 504: one was too slow.

    side: POSTHOUSE = what failed before a backend was reached was our own doing (no descriptor was left): 503.
    """
    match kind:
        case FailureKind.DNS | FailureKind.CONNECT if side is Side.POSTHOUSE:
            return 503
        case FailureKind.NO_BACKEND | FailureKind.FULL | FailureKind.QUEUE_TIMEOUT:
            return 503
        case (
            FailureKind.DNS
            | FailureKind.CONNECT
            | FailureKind.TLS
            | FailureKind.RESET
            | FailureKind.MALFORMED
            | FailureKind.TRUNCATED
        ):
            return 502
        case (
            FailureKind.CONNECT_TIMEOUT
            | FailureKind.RESPONSE_TIMEOUT
            | FailureKind.IDLE_TIMEOUT
            | FailureKind.EXCHANGE_TIMEOUT
        ):
            return 504
        case FailureKind.CLIENT_GONE:
            return CLIENT_CLOSED
        case FailureKind.CLIENT_TIMEOUT:
            return 408
        case FailureKind.CLIENT_MALFORMED:
            return 400


class _Now:
    """The Date of this second."""

    second = 0
    field = Field(b"Date", b"")


def date_field() -> Field:
    """A Date field of now (RFC 9110 6.6.1), made once a second."""
    second = int(time.time())
    if second != _Now.second:
        _Now.second = second
        _Now.field = Field(b"Date", formatdate(second, usegmt=True).encode("ascii"))
    return _Now.field


def status_line(status: int) -> bytes:
    """ "404 Not Found"."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"{status} {phrase}".encode("ascii")


def refusal(status: int, *, is_head: bool = False) -> bytes:
    """A whole answer to a request that could not be read; the connection ends after it. To HEAD it has no body."""
    text = status_line(status)
    body = text + b"\n"
    lines = b"".join([field.wire for field in (SERVER, date_field(), *TEXT_FIELDS)])
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (
        text,
        lines,
        len(body),
        b"" if is_head else body,
    )
