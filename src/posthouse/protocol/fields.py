"""Field lines and field blocks: validated once, kept in bounded memos, never forwarded unparsed.

A field line that was judged good is remembered by its bytes; so is a whole field block (everything between the
start line and the empty line). Clients and backends repeat most of their lines and often the whole block, and a
dictionary look-up of bytes costs 60 ns where parsing a block of ten lines costs 3 µs. The memos hold only what
passed every rule, so a hit is as strict as a parse. They are emptied when full: the worst an attacker can do is
to make us parse, which is what we would do without them.
"""

from __future__ import annotations

import re
from array import array
from typing import Final

from posthouse.errors import ProtocolError

# What a field means to an intermediary. Plain integers: comparing members of an enum costs five times as much,
# per field and request. ORDINARY is 0, so that `if not field.kind` keeps a field.
ORDINARY: Final = 0
HOST: Final = 1
CONTENT_LENGTH: Final = 2
TRANSFER_ENCODING: Final = 3
CONNECTION: Final = 4
UPGRADE: Final = 5
EXPECT: Final = 6
TE: Final = 7
TRAILER: Final = 8
HOP: Final = 9
"""Ends here: Keep-Alive, Proxy-Connection and the like (RFC 9110 7.6.1, caddy1.md 5.4)."""
FORWARDING: Final = 10
"""Says who the client was: X-Forwarded-*, X-Real-IP, Forwarded. Ours are written instead."""
VIA: Final = 11


_KINDS: Final[dict[bytes, int]] = {
    b"host": HOST,
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"connection": CONNECTION,
    b"upgrade": UPGRADE,
    b"expect": EXPECT,
    b"te": TE,
    b"trailer": TRAILER,
    b"keep-alive": HOP,
    b"proxy-connection": HOP,
    b"proxy-authenticate": HOP,
    b"proxy-authorization": HOP,
    b"alt-svc": HOP,
    b"alternate-protocol": HOP,
    b"http2-settings": HOP,
    b"x-real-ip": FORWARDING,
    b"forwarded": FORWARDING,
    b"via": VIA,
}

PROTECTED_NAMES: Final = frozenset(
    (
        b"content-length",
        b"transfer-encoding",
        b"connection",
        b"keep-alive",
        b"upgrade",
        b"te",
        b"trailer",
        b"expect",
    )
)
"""Framing and hop-by-hop fields: header rules have no say over them."""

_FORBIDDEN_TRAILERS: Final = frozenset(
    (
        *(name for name, kind in _KINDS.items() if kind != VIA),
        *(b"authorization", b"cookie", b"set-cookie", b"content-encoding", b"content-type", b"content-range"),
        *(b"cache-control", b"expires", b"location", b"max-forwards", b"pragma", b"range", b"retry-after"),
        *(b"age", b"vary", b"www-authenticate", b"if-match", b"if-none-match", b"if-modified-since"),
        *(b"if-unmodified-since", b"if-range"),
    )
)
"""Framing, routing, authentication and control data may not come in trailers (RFC 9110 6.5.1)."""


def kind_of(lower_name: bytes) -> int:
    """The kind of a field by its lower-case name."""
    if lower_name.startswith(b"x-forwarded-"):
        return FORWARDING
    return _KINDS.get(lower_name, ORDINARY)


class Field:
    """One field line: name as sent, lower-case name, value without surrounding blanks, and the line we would send."""

    __slots__ = ("kind", "lower", "name", "value", "wire")

    def __init__(self, name: bytes, value: bytes) -> None:
        self.name = name
        self.lower = name.lower()
        self.value = value
        self.kind = kind_of(self.lower)
        self.wire = b"%b: %b\r\n" % (name, value)

    def __repr__(self) -> str:
        return f"Field({self.name!r}, {self.value!r})"


_FORBIDDEN_IN_VALUES: Final = bytes(byte for byte in range(0x20) if byte != 0x09) + b"\x7f"
_JUDGED_IN_VALUES: Final = bytes(byte not in _FORBIDDEN_IN_VALUES for byte in range(256))
"""Translates forbidden bytes to 0 and all others to 1. `translate` with a table takes a third of the time of a regular
expression, and of a `translate` that deletes, which makes a table of its own for each call."""
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_DIGITS = re.compile(rb"[0-9]{1,19}")

_MEMO_LINES: Final = 4096
_MEMO_LINE_BYTES: Final = 512
"""Longer lines (tokens, big cookies) are rarely repeated by many and would let the memo grow past a few MiB."""

_MEMO_NAME_BYTES: Final = 64

MAX_LENGTH: Final = (1 << 63) - 1


def is_token(text: bytes) -> bool:
    """RFC 9110 5.6.2 `token`."""
    return _TOKEN.fullmatch(text) is not None


class Sightings:
    """Whether something was met before. Bounded: what is met later takes the place of what was met earlier.

    What is met once is likely unique (a request id, a query), and keeping it would cost more than reading it. Each
    hash has one place, in a table that never grows: a set of as many hashes takes ten times the 128 KiB, and goes up
    and down by that for as long as unique things come.
    """

    __slots__ = ("_hashes",)

    _MOST: Final = 16384
    """A power of two."""

    def __init__(self) -> None:
        self._hashes = array("q", (-1,)) * self._MOST  # -1 is the hash of nothing

    def met_before(self, data: bytes) -> bool:
        """Whether `data` (or something of the same hash) was asked about lately."""
        number = hash(data)
        hashes = self._hashes
        place = number & self._MOST - 1
        if hashes[place] == number:
            return True
        hashes[place] = number
        return False


class FieldMemo:
    """Field lines that were judged good, by their bytes. Bounded: emptied when full."""

    __slots__ = ("_names", "_sightings", "lines")

    def __init__(self) -> None:
        self.lines: dict[bytes, Field] = {}
        self._names: dict[bytes, tuple[bytes, int]] = {}
        self._sightings = Sightings()

    def parse(self, line: bytes) -> Field:
        """A field line not in the memo. Raises ProtocolError(400)."""
        # RFC 9112 5: field-line = field-name ":" OWS field-value OWS; controls, DEL included, are refused in values.
        name, colon, value = line.partition(b":")
        known = self._names.get(name)
        if known is None:
            known = self._read_name(name, line)
        if not colon or 0 in value.translate(_JUDGED_IN_VALUES):
            raise ProtocolError(400, _why_bad(line))
        field = Field.__new__(Field)
        field.name = name
        field.lower, field.kind = known
        field.value = value = value.strip(b" \t")
        field.wire = b"%b: %b\r\n" % (name, value)
        if len(line) <= _MEMO_LINE_BYTES and self._sightings.met_before(line):
            if len(self.lines) >= _MEMO_LINES:
                self.lines.clear()
            self.lines[line] = field
        return field

    def _read_name(self, name: bytes, line: bytes) -> tuple[bytes, int]:
        if not is_token(name):
            raise ProtocolError(400, _why_bad(line))
        lower = name.lower()
        known = (lower, kind_of(lower))
        if len(name) <= _MEMO_NAME_BYTES:
            if len(self._names) >= _MEMO_LINES:
                self._names.clear()
            self._names[name] = known
        return known

    def parse_block(self, block: bytes, most: int) -> list[Field]:
        """All lines of a field block (no final CRLF). Raises ProtocolError: 400, or 431 over `most` fields."""
        if not block:
            return []
        raw = block.split(b"\r\n")
        if len(raw) > most:
            raise ProtocolError(431, f"more than {most} fields")
        known = self.lines
        return [known.get(line) or self.parse(line) for line in raw]


def _why_bad(line: bytes) -> str:
    if not line:
        return "empty line inside the field block"
    if line[:1] in (b" ", b"\t"):
        return "folded field line"
    name, colon, value = line.partition(b":")
    if not colon:
        return "field line without a colon"
    if not is_token(name):
        return "invalid field name"
    if b"\r" in value or b"\n" in value:
        return "bare CR or LF in a field"
    return "control byte in a field value"


def parse_length(value: bytes) -> int:
    """A Content-Length: 1*DIGIT, at most 2^63-1 (RFC 9112 6.3). Raises ProtocolError(400)."""
    if _DIGITS.fullmatch(value) is None or (length := int(value)) > MAX_LENGTH:
        raise ProtocolError(400, "invalid Content-Length")
    return length


def parse_list(value: bytes) -> list[bytes]:
    """The lower-case members of a comma-separated list, blanks cut, empty members dropped (RFC 9110 5.6.1)."""
    return [member for part in value.lower().split(b",") if (member := part.strip(b" \t"))]


def parse_trailers(section: bytes, memo: FieldMemo, most: int) -> list[Field]:
    """A trailer section (no final CRLF): forbidden and hop-by-hop names are dropped. Raises ProtocolError."""
    return [
        field
        for field in memo.parse_block(section, most)
        if field.lower not in _FORBIDDEN_TRAILERS and field.kind != FORWARDING
    ]
