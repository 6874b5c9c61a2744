"""HTTP/1.x heads: bytes to RequestHead and ResponseHead, judged (RFC 9112; reliability.md rules 1 to 3).

Framing is decided here and nowhere else. What can be read in two ways raises ProtocolError; its status is for a
downstream peer (an upstream that sends such a thing gets 502 told about it).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from posthouse.errors import ProtocolError
from posthouse.protocol.chunked import has_bare_line_break
from posthouse.protocol.fields import (
    CONNECTION,
    CONTENT_LENGTH,
    DATE,
    EXPECT,
    FORWARDING,
    HOST,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    VIA,
    Field,
    FieldMemo,
    is_token,
    parse_length,
    parse_list,
)
from posthouse.protocol.target import Target, Targets, split_authority

TARGET_BYTES: Final = 16 * 1024
RESPONSE_HEAD_BYTES: Final = 64 * 1024
RESPONSE_FIELDS: Final = 256
"""Fields of a response: twice the default for requests, since applications set many cookies at once."""
_MEMO_BLOCKS: Final = 512
_MEMO_BLOCK_BYTES: Final = 2048

_METHODS: Final = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE"))
IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))
"""RFC 9110 9.2.2."""
_NEVER_UPGRADED_TO: Final = re.compile(rb"h2c|http(?:/.*)?|tls(?:/.*)?")
"""Upgrades that would hide another HTTP or TLS from us (reliability.md 2.17)."""


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """Limits of a request head: bytes of the whole head, and number of field lines."""

    size: int = 64 * 1024
    fields: int = 128


class RequestFields:
    """The field block of a request with what framing and routing need, read once.

    kept        ordinary fields that Connection does not name, as sent, in order
    kept_wire   their lines, joined
    forwarding  X-Forwarded-*, X-Real-IP, Forwarded as the peer sent them
    length      Content-Length, or -1; `is_chunked`: the body is chunked
    """

    __slots__ = (
        *("all", "expects_continue", "forwarding", "has_te_trailers", "host", "is_chunked", "is_close"),
        *("is_keep_alive", "kept", "kept_wire", "length", "protocols", "trailer", "via"),
    )

    def __init__(self, fields: list[Field]) -> None:
        self.all = fields
        self.host: Field | None = None
        self.length = -1
        self.is_chunked = False
        self.is_close = False
        self.is_keep_alive = False
        self.expects_continue = False
        self.has_te_trailers = False
        self.protocols: bytes | None = None
        self.trailer: list[Field] = []
        self.forwarding: list[Field] = []
        self.via: list[Field] = []
        special = [field for field in fields if field.kind]
        nominated = self._read(special)
        if nominated:
            self.kept = [field for field in fields if not field.kind and field.lower not in nominated]
        else:
            self.kept = [field for field in fields if not field.kind]
        self.kept_wire = b"".join([field.wire for field in self.kept])

    def _read(self, special: list[Field]) -> frozenset[bytes]:
        options: set[bytes] = set()
        for field in special:
            kind = field.kind
            if kind == HOST:
                self._read_host(field)
            elif kind == CONTENT_LENGTH:
                self._read_length(field)
            elif kind == TRANSFER_ENCODING:
                self._read_coding(field)
            elif kind == CONNECTION:
                options.update(parse_list(field.value))
            else:
                self._read_other(kind, field)
        if self.is_chunked and self.length >= 0:
            raise ProtocolError(400, "Content-Length together with Transfer-Encoding")
        self._read_options(options)
        return frozenset(options - {b"close", b"keep-alive", b"upgrade", b"te"})

    def _read_options(self, options: set[bytes]) -> None:
        self.is_close = b"close" in options
        self.is_keep_alive = b"keep-alive" in options
        if b"upgrade" not in options or self.length > 0 or self.is_chunked:
            self.protocols = None
        if b"te" not in options:
            self.has_te_trailers = False

    def _read_host(self, field: Field) -> None:
        if self.host is not None:
            raise ProtocolError(400, "more than one Host")
        self.host = field

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
        if kind == DATE:
            field_list = None
        elif kind == FORWARDING:
            field_list = self.forwarding
        elif kind == VIA:
            field_list = self.via
        elif kind == TRAILER:
            field_list = self.trailer
        else:
            field_list = None
            if kind == UPGRADE:
                self._read_upgrade(field)
            elif kind == EXPECT:
                self._read_expect(field)
            elif kind == TE:
                self.has_te_trailers = b"trailers" in parse_list(field.value)
        if field_list is not None:
            field_list.append(field)

    def _read_upgrade(self, field: Field) -> None:
        wanted = [name for name in parse_list(field.value) if not _NEVER_UPGRADED_TO.fullmatch(name)]
        if wanted:
            joined = field.value if len(wanted) == 1 and b"," not in field.value else b", ".join(wanted)
            self.protocols = joined if self.protocols is None else self.protocols + b", " + joined

    def _read_expect(self, field: Field) -> None:
        if field.value.lower() != b"100-continue":
            raise ProtocolError(417, "Expect other than 100-continue")
        self.expects_continue = True


class RequestHead:
    """One request head, judged.

    method, version    as sent (version b"HTTP/1.1" or b"HTTP/1.0")
    host, host_name    the authority of the request as sent, and its lower-case host without port
    is_persistent      whether the peer wants the connection kept
    """

    __slots__ = ("fields", "host", "host_name", "is_persistent", "method", "target", "version")

    def __init__(self, method: bytes, target: Target, version: bytes, fields: RequestFields) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.fields = fields
        self.host = b""
        self.host_name = ""
        self.is_persistent = not fields.is_close if version == b"HTTP/1.1" else fields.is_keep_alive

    @property
    def has_body(self) -> bool:
        """Whether body bytes follow the head."""
        return self.fields.length > 0 or self.fields.is_chunked

    def __repr__(self) -> str:
        return f"<RequestHead {self.method!r} {self.target.raw!r} host={self.host!r}>"


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
        self.has_date = False
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
        nominated = options - {b"close", b"keep-alive", b"upgrade"}
        passing = (0, VIA, DATE, HOST, EXPECT, FORWARDING)
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
        elif kind == DATE:
            self.has_date = True
        elif kind == UPGRADE:
            self.protocol = field.value
        elif kind == TRAILER:
            self.trailer.append(field)


class ResponseHead:
    """One response head, judged. `reason` is b"" or the phrase as sent."""

    __slots__ = ("fields", "is_persistent", "reason", "status", "version")

    def __init__(self, version: bytes, status: int, reason: bytes, fields: ResponseFields) -> None:
        self.version = version
        self.status = status
        self.reason = reason
        self.fields = fields
        self.is_persistent = not fields.is_close if version == b"HTTP/1.1" else fields.is_keep_alive

    def __repr__(self) -> str:
        return f"<ResponseHead {self.status}>"


_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?")


class Codec:
    """Reads heads, with the memos that make it fast. One per process; shared by all connections."""

    __slots__ = ("_hosts", "_memo_requests", "_memo_responses", "_memo_statuses", "memo", "targets")

    def __init__(self, is_case_sensitive: bool = False) -> None:
        self.memo = FieldMemo()
        self.targets = Targets(is_case_sensitive)
        self._memo_requests: dict[bytes, RequestFields] = {}
        self._memo_responses: dict[bytes, ResponseFields] = {}
        self._memo_statuses: dict[bytes, tuple[bytes, int, bytes]] = {}
        self._hosts: dict[bytes, str] = {}

    def read_request(self, data: bytes, end: int, limits: HeadLimits) -> RequestHead:
        """The head that is data[:end] (without its final CRLFCRLF). Raises ProtocolError (400 405 414 417 431)."""
        if end > limits.size:
            raise ProtocolError(431, f"head over {limits.size} bytes")
        line_end = data.find(b"\r\n", 0, end)
        if line_end < 0:
            line_end = end
        parts = data[:line_end].split(b" ")
        if len(parts) != 3:
            raise ProtocolError(400, "malformed request line")
        method, raw_target, version = parts
        if version != b"HTTP/1.1" and version != b"HTTP/1.0":
            raise ProtocolError(400, "version is neither HTTP/1.1 nor HTTP/1.0")
        if method not in _METHODS:
            self._judge_method(method)
        target = self.targets.memo.get(raw_target) or self._read_target(raw_target)
        block = data[line_end + 2 : end]
        fields = self._memo_requests.get(block)
        if fields is None or len(fields.all) > limits.fields:
            fields = self._read_fields(block, limits)
        head = RequestHead(method, target, version, fields)
        if fields.is_chunked and version == b"HTTP/1.0":
            raise ProtocolError(400, "Transfer-Encoding in HTTP/1.0")
        self._read_host(head)
        if target.is_asterisk and method != b"OPTIONS":
            raise ProtocolError(400, "* is a target of OPTIONS only")
        return head

    def _judge_method(self, method: bytes) -> None:
        if method == b"CONNECT":
            raise ProtocolError(405, "CONNECT")
        if not is_token(method):
            raise ProtocolError(400, "invalid method")

    def _read_target(self, raw: bytes) -> Target:
        if len(raw) > TARGET_BYTES:
            raise ProtocolError(414, f"request target over {TARGET_BYTES} bytes")
        return self.targets.parse(raw)

    def _read_fields(self, block: bytes, limits: HeadLimits) -> RequestFields:
        fields = RequestFields(self.memo.parse_block(block, limits.fields))
        if len(block) <= _MEMO_BLOCK_BYTES:
            if len(self._memo_requests) >= _MEMO_BLOCKS:
                self._memo_requests.clear()
            self._memo_requests[block] = fields
        return fields

    def _read_host(self, head: RequestHead) -> None:
        field = head.fields.host
        if field is None:
            if head.version == b"HTTP/1.1":
                raise ProtocolError(400, "missing Host")
            value = b""
        else:
            value = field.value
        name = self._hosts.get(value)
        if name is None:
            name = self._judge_host(value, is_missing=field is None)
        authority = head.target.authority
        if authority is not None:
            value = authority
            name = self._hosts.get(value) or self._judge_host(value, is_missing=False)
        head.host = value
        head.host_name = name

    def _judge_host(self, value: bytes, *, is_missing: bool) -> str:
        if is_missing:
            return ""
        parts = split_authority(value)
        if parts is None:
            raise ProtocolError(400, "invalid Host")
        if len(value) <= 256:
            if len(self._hosts) >= _MEMO_BLOCKS:
                self._hosts.clear()
            self._hosts[value] = parts[0]
        return parts[0]

    def judge_partial(self, data: bytes, place: int, limits: HeadLimits) -> None:
        """A head that has not ended yet: refuse at once what can't become good. `place`: already judged up to here.

        Raises ProtocolError (400, 414, 431).
        """
        if not is_token(data[:1]):
            raise ProtocolError(400, "not an HTTP request")
        if has_bare_line_break(data, place):
            raise ProtocolError(400, "bare CR or LF in the head")
        if len(data) > TARGET_BYTES and data.find(b"\r\n", 0, TARGET_BYTES + 32) < 0:
            raise ProtocolError(414, f"request target over {TARGET_BYTES} bytes")
        if len(data) > limits.size:
            raise ProtocolError(431, f"head over {limits.size} bytes")

    def read_response(self, data: bytes, end: int) -> ResponseHead:
        """The response head that is data[:end] (without CRLFCRLF). Raises ProtocolError(502)."""
        line_end = data.find(b"\r\n", 0, end)
        if line_end < 0:
            line_end = end
        line = data[:line_end]
        version, status, reason = self._memo_statuses.get(line) or self._read_status(line)
        block = data[line_end + 2 : end]
        fields = self._memo_responses.get(block)
        if fields is None:
            fields = self._read_response_fields(block)
        if fields.is_chunked and version == b"HTTP/1.0":
            raise ProtocolError(502, "Transfer-Encoding in HTTP/1.0")
        return ResponseHead(version, status, reason, fields)

    def _read_status(self, line: bytes) -> tuple[bytes, int, bytes]:
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            raise ProtocolError(502, "malformed status line")
        minor, status, reason = match.groups()
        read = (b"HTTP/1." + minor, int(status), reason or b"")
        if len(self._memo_statuses) >= _MEMO_BLOCKS:
            self._memo_statuses.clear()
        if len(line) <= 64:
            self._memo_statuses[line] = read
        return read

    def _read_response_fields(self, block: bytes) -> ResponseFields:
        try:
            fields = ResponseFields(self.memo.parse_block(block, RESPONSE_FIELDS))
        except ProtocolError as error:
            raise ProtocolError(502, error.reason) from None
        if len(block) <= _MEMO_BLOCK_BYTES:
            if len(self._memo_responses) >= _MEMO_BLOCKS:
                self._memo_responses.clear()
            self._memo_responses[block] = fields
        return fields
