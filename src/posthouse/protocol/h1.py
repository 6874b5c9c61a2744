"""HTTP/1.x heads: bytes to RequestHead and ResponseHead, judged (RFC 9112; reliability.md rules 1 to 3).

Framing is decided here and nowhere else. What can be read in two ways raises ProtocolError; its status is for a
downstream peer (an upstream that sends such a thing gets 502 told about it).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from posthouse.errors import ProtocolError
from posthouse.protocol.blocks import RequestFields, ResponseFields
from posthouse.protocol.chunked import has_bare_line_break
from posthouse.protocol.fields import Field, FieldMemo, Sightings, is_token
from posthouse.protocol.target import Target, Targets, split_authority

TARGET_BYTES: Final = 16 * 1024
_REQUEST_LINE: Final = TARGET_BYTES + 64
"""Without a line's end after so many bytes the target is over its limit, whatever the method."""
RESPONSE_HEAD_BYTES: Final = 64 * 1024
RESPONSE_FIELDS: Final = 256
"""Fields of a response: twice the default for requests, since applications set many cookies at once."""
_MEMO_BLOCKS: Final = 512
_MEMO_BLOCK_BYTES: Final = 2048
_MEMO_BLOCK_FIELDS: Final = 32
"""A field that no other head shares takes 250 bytes, however short it is: 512 heads of 128 came to 15 MiB."""
_MEMO_HOST_BYTES: Final = 256

_METHODS: Final = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE"))
IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))
"""RFC 9110 9.2.2."""


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """Limits of a request head: bytes of the whole head, and number of field lines."""

    size: int = 64 * 1024
    fields: int = 128


class RequestHead:
    """One request head, judged. Never changed, so that equal heads can share one.

    method, version  as sent (version b"HTTP/1.1" or b"HTTP/1.0")
    host, host_name  the authority of the request as sent, and its lower-case host without port
    is_persistent    the peer wants the connection kept
    has_body         body bytes follow the head
    is_idempotent    RFC 9110 9.2.2, by the method
    """

    __slots__ = (
        *("fields", "has_body", "host", "host_name", "is_idempotent", "is_persistent", "method", "target"),
        "version",
    )

    def __init__(self, method: bytes, target: Target, version: bytes, fields: RequestFields) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.fields = fields
        self.host = fields.host_value
        self.host_name = fields.host_name
        self.has_body = fields.length > 0 or fields.is_chunked
        self.is_idempotent = method in IDEMPOTENT
        self.is_persistent = not fields.is_close if version == b"HTTP/1.1" else fields.is_keep_alive

    def __repr__(self) -> str:
        return f"<RequestHead {self.method!r} {self.target.raw!r} host={self.host!r}>"


class ResponseHead:
    """One response head, judged. Never changed, so that equal heads can share one.

    reason          b"" or the phrase as sent
    status_text     b"200 OK", for the status line that goes downstream
    sized_lines     the fields that pass with Content-Length, when both it and Date are there; else b""
    """

    __slots__ = ("fields", "is_persistent", "reason", "sized_lines", "status", "status_text", "version")

    def __init__(self, version: bytes, status: int, reason: bytes, fields: ResponseFields) -> None:
        self.version = version
        self.status = status
        self.reason = reason
        self.fields = fields
        self.status_text = b"%d %b" % (status, reason)
        self.sized_lines = fields.kept_wire + fields.length_wire if self._is_sized() else b""
        self.is_persistent = not fields.is_close if version == b"HTTP/1.1" else fields.is_keep_alive

    def _is_sized(self) -> bool:
        return self.fields.has_date and bool(self.fields.length_wire) and self.status not in (204, 304)

    def __repr__(self) -> str:
        return f"<ResponseHead {self.status}>"


_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?")


class Codec:
    """Reads heads, with the memos that make it fast. One per process; shared by all connections."""

    __slots__ = ("_blocks", "_hosts", "_responses", "_sightings", "memo", "targets")

    def __init__(self, is_case_sensitive: bool = False) -> None:
        self.memo = FieldMemo()
        self.targets = Targets(is_case_sensitive)
        self._blocks: dict[bytes, RequestFields] = {}
        self._responses: dict[bytes, ResponseHead] = {}
        self._hosts: dict[bytes, str] = {}
        self._sightings = Sightings()

    def read_request(self, data: bytes, end: int, limits: HeadLimits) -> RequestHead:
        """The head that is data[:end] (without its final CRLFCRLF). Raises ProtocolError (400 405 414 417 431)."""
        if end > limits.size:
            raise self._too_long(data, limits)
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
        fields = self._blocks.get(block)
        if fields is None or len(fields.all) > limits.fields:
            fields = self._read_fields(block, limits)
        head = RequestHead(method, target, version, fields)
        if version == b"HTTP/1.0":
            if fields.is_chunked:
                raise ProtocolError(400, "Transfer-Encoding in HTTP/1.0")
        elif fields.host is None:
            raise ProtocolError(400, "missing Host")
        if target.is_special:
            _judge_special(head)
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
        if fields.host is not None:
            fields.host_value = value = fields.host.value
            fields.host_name = self._hosts.get(value) or self._read_host(value)
        if _is_remembered(block, fields.all) and self._sightings.met_before(block):
            if len(self._blocks) >= _MEMO_BLOCKS:
                self._blocks.clear()
            self._blocks[block] = fields
        return fields

    def _read_host(self, value: bytes) -> str:
        name = read_host(value)
        if len(self._hosts) >= _MEMO_BLOCKS:
            self._hosts.clear()
        if len(value) <= _MEMO_HOST_BYTES:
            self._hosts[value] = name
        return name

    def judge_partial(self, data: bytes, place: int, limits: HeadLimits) -> None:
        """A head that has not ended yet: refuse at once what can't become good. `place`: already judged up to here.

        Raises ProtocolError (400, 414, 431).
        """
        if not is_token(data[:1]):
            raise ProtocolError(400, "not an HTTP request")
        if has_bare_line_break(data, place):
            raise ProtocolError(400, "bare CR or LF in the head")
        if len(data) > limits.size + 3 or len(data) > _REQUEST_LINE:  # three may belong to the empty line
            self._judge_size(data, limits)

    def _judge_size(self, data: bytes, limits: HeadLimits) -> None:
        if len(data) > _REQUEST_LINE and data.find(b"\r\n", 0, _REQUEST_LINE) < 0:
            raise ProtocolError(414, f"request target over {TARGET_BYTES} bytes")
        if len(data) > limits.size + 3:
            raise ProtocolError(431, f"head over {limits.size} bytes")

    def _too_long(self, data: bytes, limits: HeadLimits) -> ProtocolError:
        """Which limit a whole head is over: that of the target comes first."""
        parts = data.split(b"\r\n", 1)[0].split(b" ")
        if len(parts) > 1 and len(parts[1]) > TARGET_BYTES:
            return ProtocolError(414, f"request target over {TARGET_BYTES} bytes")
        return ProtocolError(431, f"head over {limits.size} bytes")

    def known_response(self, raw: bytes) -> ResponseHead | None:
        """The response head `raw` (without CRLFCRLF) if the very same one was read lately."""
        return self._responses.get(raw)

    def read_response(self, data: bytes, end: int) -> ResponseHead:
        """The response head that is data[:end] (without CRLFCRLF). Raises ProtocolError(502)."""
        raw = data[:end]
        return self._responses.get(raw) or self._read_response(raw)

    def _read_response(self, raw: bytes) -> ResponseHead:
        line, _, block = raw.partition(b"\r\n")
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            raise ProtocolError(502, "malformed status line")
        minor, status, reason = match.groups()
        try:
            fields = ResponseFields(self.memo.parse_block(block, RESPONSE_FIELDS))
        except ProtocolError as error:
            raise ProtocolError(502, error.reason) from None
        if fields.is_chunked and minor == b"0":
            raise ProtocolError(502, "Transfer-Encoding in HTTP/1.0")
        head = ResponseHead(b"HTTP/1." + minor, int(status), reason or b"", fields)
        if _is_remembered(raw, fields.all) and self._sightings.met_before(raw):
            if len(self._responses) >= _MEMO_BLOCKS:
                self._responses.clear()
            self._responses[raw] = head
        return head


def _is_remembered(raw: bytes, fields: list[Field]) -> bool:
    return len(raw) <= _MEMO_BLOCK_BYTES and len(fields) <= _MEMO_BLOCK_FIELDS


def _judge_special(head: RequestHead) -> None:
    """Targets other than a path: the authority of a URL is the Host (RFC 9112 3.2.2); * is for OPTIONS."""
    target = head.target
    if target.authority is not None:
        head.host = target.authority
        head.host_name = read_host(target.authority)
    elif head.method != b"OPTIONS":
        raise ProtocolError(400, "* is a target of OPTIONS only")


def read_host(value: bytes) -> str:
    """The lower-case host of a Host value. Raises ProtocolError(400)."""
    parts = split_authority(value)
    if parts is None:
        raise ProtocolError(400, "invalid Host")
    return parts[0]
