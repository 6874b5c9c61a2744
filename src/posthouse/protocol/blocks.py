"""Field blocks of requests and responses with what framing and routing need of them, read once.

Framing is decided here and nowhere else (RFC 9112 6.3; reliability.md rules 1 and 2). What can be read in two ways
raises ProtocolError.
"""

from __future__ import annotations

import re
from typing import Final

from posthouse.errors import ProtocolError
from posthouse.protocol.fields import (
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    FORWARDING,
    HOST,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    VIA,
    Field,
    parse_length,
    parse_list,
)

_NEVER_UPGRADED_TO: Final = re.compile(rb"h2c|http(?:/.*)?|tls(?:/.*)?")
"""Upgrades that would hide another HTTP or TLS from us (reliability.md 2.17)."""


_NO_FIELDS: Final[list[Field]] = []
"""Shared by all blocks that lack a kind of field; never changed."""
_NO_OPTIONS: Final[frozenset[bytes]] = frozenset()
_UNDERSTOOD: Final = frozenset((b"close", b"keep-alive", b"upgrade", b"te"))


def _index(fields: list[Field]) -> dict[bytes, bytes]:
    """Values by lower-case name."""
    values: dict[bytes, bytes] = {}
    for field in fields:
        lower = field.lower
        if lower in values:
            values[lower] += (b"; " if lower == b"cookie" else b",") + field.value
        else:
            values[lower] = field.value
    return values


class RequestFields:
    """The field block of a request with what framing and routing need, read once.

    kept        ordinary fields that Connection does not name, as sent, in order
    kept_wire   their lines, joined
    forwarding  X-Forwarded-*, X-Real-IP, Forwarded as the peer sent them
    length      Content-Length, or -1; `is_chunked`: the body is chunked
    """

    __slots__ = (
        *(
            "_values",
            "all",
            "expects_continue",
            "forwarding",
            "has_te_trailers",
            "host",
            "host_name",
            "host_value",
        ),
        *(
            "is_chunked",
            "is_close",
            "is_keep_alive",
            "kept",
            "kept_wire",
            "length",
            "protocols",
            "trailer",
            "via",
        ),
    )

    def __init__(self, fields: list[Field]) -> None:
        self.all = fields
        self.host: Field | None = None
        self.host_value = b""
        self.host_name = ""
        self._values: dict[bytes, bytes] | None = None
        self.length = -1
        self.is_chunked = self.is_close = self.is_keep_alive = False
        self.expects_continue = self.has_te_trailers = False
        self.protocols: bytes | None = None
        self.trailer = self.forwarding = self.via = _NO_FIELDS
        kept: list[Field] = []
        special: list[Field] = []
        for field in fields:
            (special if field.kind else kept).append(field)
        if special:
            nominated = self._read(special)
            if nominated:
                kept = [field for field in kept if field.lower not in nominated]
        self.kept = kept
        self.kept_wire = b"".join([field.wire for field in kept])

    def _read(self, special: list[Field]) -> frozenset[bytes]:
        options: set[bytes] = set()
        for field in special:
            kind = field.kind
            if kind == HOST:
                if self.host is not None:
                    raise ProtocolError(400, "more than one Host")
                self.host = field
            elif kind == CONNECTION:
                options.update(parse_list(field.value))
            elif kind == CONTENT_LENGTH:
                self._read_length(field)
            elif kind == TRANSFER_ENCODING:
                self._read_coding(field)
            else:
                self._read_other(kind, field)
        if self.is_chunked and self.length >= 0:
            raise ProtocolError(400, "Content-Length together with Transfer-Encoding")
        if b"upgrade" not in options or self.length > 0 or self.is_chunked:
            self.protocols = None
        if not options:
            self.has_te_trailers = False
            return _NO_OPTIONS
        self.is_close = b"close" in options
        self.is_keep_alive = b"keep-alive" in options
        if b"te" not in options:
            self.has_te_trailers = False
        return frozenset(options - _UNDERSTOOD)

    def value(self, name: bytes) -> bytes | None:
        """A field by lower-case name, None if absent; several lines joined (RFC 9110 5.3; cookies: RFC 9113 8.2.3)."""
        values = self._values
        if values is None:
            values = self._values = _index(self.all)
        return values.get(name)

    def _read_length(self, field: Field) -> None:
        if self.length >= 0:
            raise ProtocolError(400, "more than one Content-Length")
        self.length = parse_length(field.value)

    def _read_coding(self, field: Field) -> None:
        if self.is_chunked:
            raise ProtocolError(400, "more than one Transfer-Encoding")
        if field.value.lower() != b"chunked":
            raise ProtocolError(400, "Transfer-Encoding other than chunked")
        self.is_chunked = True

    def _read_other(self, kind: int, field: Field) -> None:
        if kind == FORWARDING:
            self.forwarding = [*self.forwarding, field]
        elif kind == VIA:
            self.via = [*self.via, field]
        elif kind == TRAILER:
            self.trailer = [*self.trailer, field]
        elif kind == UPGRADE:
            self._read_upgrade(field)
        elif kind == EXPECT:
            self._read_expect(field)
        elif kind == TE:
            self.has_te_trailers = b"trailers" in parse_list(field.value)

    def _read_upgrade(self, field: Field) -> None:
        wanted = [name for name in parse_list(field.value) if not _NEVER_UPGRADED_TO.fullmatch(name)]
        if wanted:
            joined = field.value if len(wanted) == 1 and b"," not in field.value else b", ".join(wanted)
            self.protocols = joined if self.protocols is None else self.protocols + b", " + joined

    def _read_expect(self, field: Field) -> None:
        if field.value.lower() != b"100-continue":
            raise ProtocolError(417, "Expect other than 100-continue")
        self.expects_continue = True


class ResponseFields:
    """The field block of a response with what framing needs, read once."""

    __slots__ = (
        *("all", "has_date", "is_chunked", "is_close", "is_keep_alive", "kept", "kept_wire"),
        *("length", "length_wire", "protocol", "trailer"),
    )

    def __init__(self, fields: list[Field]) -> None:
        self.all = fields
        self.length = -1
        self.length_wire = b""
        self.is_chunked = False
        self.has_date = any(field.lower == b"date" for field in fields)
        self.protocol: bytes | None = None
        self.trailer: list[Field] = []
        options: set[bytes] = set()
        for field in fields:
            if field.kind:
                self._read(field, options)
        if self.is_chunked and self.length >= 0:
            raise ProtocolError(502, "Content-Length together with Transfer-Encoding")
        self.is_close = b"close" in options
        self.is_keep_alive = b"keep-alive" in options
        if b"upgrade" not in options:
            self.protocol = None
        nominated = options - {b"close", b"keep-alive", b"upgrade"}
        passing = (0, VIA, HOST, EXPECT, FORWARDING)
        self.kept = [field for field in fields if field.kind in passing and field.lower not in nominated]
        self.kept_wire = b"".join([field.wire for field in self.kept])

    def _read(self, field: Field, options: set[bytes]) -> None:
        kind = field.kind
        if kind == CONTENT_LENGTH:
            if self.length >= 0:
                raise ProtocolError(502, "more than one Content-Length")
            self.length = parse_length(field.value)
            self.length_wire = field.wire
        elif kind == TRANSFER_ENCODING:
            if self.is_chunked or field.value.lower() != b"chunked":
                raise ProtocolError(502, "Transfer-Encoding other than one chunked")
            self.is_chunked = True
        elif kind == CONNECTION:
            options.update(parse_list(field.value))
        elif kind == UPGRADE:
            self.protocol = field.value
        elif kind == TRAILER:
            self.trailer.append(field)
