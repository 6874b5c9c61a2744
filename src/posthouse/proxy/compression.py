"""Compression: `gzip` of a site at work: which responses are coded, what that makes of their fields, and the coding.

Laws:
1. Nothing is coded twice, and nothing whose bytes are somebody else's promise (ranges, `no-transform`).
2. A stream is not touched. What is coded holds nothing back: each piece can be read as far as it goes.
3. Every response that another client would have got coded says `Vary: Accept-Encoding` (RFC 9110 12.5.5).
4. The coded form is another representation: its ETag is weak, digests of the plain form are gone (RFC 9110 8.8.1).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Final
from weakref import WeakSet

from posthouse.config.specs import GzipSpec
from posthouse.protocol.codings import weight_of, weights
from posthouse.protocol.fields import Field, parse_list
from posthouse.protocol.h1 import RequestHead
from posthouse.protocol.target import Targets
from posthouse.proxy.answer import Encoder
from posthouse.proxy.site import path_key

MOST_ENCODERS: Final = 512
"""Bodies that a worker codes at once. zlib holds 260 KiB for each until it is sent; what comes past that goes as it is,
so that clients which read slowly cost 130 MiB at most, and nobody an error."""
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS
_MEMO_BYTES: Final = 128
_CONTENT_ENCODING: Final = Field(b"Content-Encoding", b"gzip")
_ACCEPT_ENCODING: Final = b"Accept-Encoding"
_NO_BODY: Final = frozenset((204, 205, 304))

DIGESTS: Final = frozenset((b"content-md5", b"digest", b"content-digest", b"repr-digest"))
"""RFC 9530 2 and 3: both digests are of coded bytes, and so was the older `Digest`."""
NOT_IN_TRAILERS: Final = DIGESTS | {b"etag"}
"""What a trailer would say of the plain form."""
_DROPPED: Final = DIGESTS | {b"accept-ranges", b"content-encoding"}

_PACKED: Final = frozenset(
    (
        *(
            "font/woff",
            "font/woff2",
            "application/font-woff",
            "application/font-woff2",
            "application/x-font-woff",
        ),
        *("application/zip", "application/x-zip-compressed", "application/gzip", "application/x-gzip"),
        *("application/x-bzip2", "application/x-bzip", "application/x-xz", "application/zstd"),
        *("application/x-7z-compressed", "application/vnd.rar", "application/x-rar-compressed"),
        *("application/x-compress", "application/x-lzma", "application/x-lz4", "application/x-brotli"),
        *("application/java-archive", "application/vnd.android.package-archive", "application/pdf"),
    )
)
_PACKED_FAMILIES: Final = (
    *("image/", "audio/", "video/"),
    *("application/vnd.openxmlformats-", "application/vnd.oasis.opendocument."),
)
_PLAIN_IMAGES: Final = frozenset(
    ("image/svg+xml", "image/bmp", "image/x-ms-bmp", "image/x-icon", "image/vnd.microsoft.icon")
)
_STREAMS: Final = frozenset(
    (
        *(
            "text/event-stream",
            "multipart/x-mixed-replace",
            "application/stream+json",
            "application/json-seq",
        ),
        *("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"),
    )
)


@lru_cache(maxsize=1024)
def _is_fit(content_type: bytes) -> bool:
    """Whether bodies of a type are worth coding: neither packed already nor a stream. b"" is."""
    kind = content_type.partition(b";")[0].strip(b" \t").lower().decode("latin-1")
    if kind in _PLAIN_IMAGES:
        return True
    is_packed = kind in _PACKED or kind.startswith(_PACKED_FAMILIES) or kind.endswith(("+zip", "+gzip"))
    return not is_packed and kind not in _STREAMS and not kind.startswith("application/grpc")


def is_accepted(value: bytes | None) -> bool:
    """Whether an Accept-Encoding asks for gzip, and no less than for the plain form (RFC 9110 12.5.3).

    Without the field a client would have to take anything; as all servers do, we code only for those that ask.
    """
    if value is None:
        return False
    return _is_accepted_memo(value) if len(value) <= _MEMO_BYTES else _is_accepted(value)


def _is_accepted(value: bytes) -> bool:
    return weight_of(b"gzip", weights(value)) > 0.0


_is_accepted_memo = lru_cache(maxsize=1024)(_is_accepted)


class GzipEncoder:
    """Codes one body as one gzip member (RFC 1952)."""

    __slots__ = ("__weakref__", "_deflate")

    def __init__(self, level: int) -> None:
        self._deflate = zlib.compressobj(level, zlib.DEFLATED, _GZIP_WINDOW)

    def feed(self, data: bytes) -> bytes:
        """The coded form of what came, flushed: 2 µs and 5 bytes a piece."""
        return self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def finish(self, data: bytes = b"") -> bytes:
        """The coded form of the last piece, with the checksum that tells a complete body from one broken off."""
        return self._deflate.compress(data) + self._deflate.flush()


class Encoders:
    """Counts the encoders of a worker that are alive."""

    __slots__ = ("_alive", "_most")

    def __init__(self, most: int = MOST_ENCODERS) -> None:
        self._most = most
        self._alive: WeakSet[GzipEncoder] = WeakSet()

    def __repr__(self) -> str:
        return f"<Encoders {len(self._alive)} of {self._most}>"

    @property
    def is_full(self) -> bool:
        """Whether there may be no further one now."""
        return len(self._alive) >= self._most

    def make(self, level: int) -> GzipEncoder:
        """One more; it counts until nobody holds it."""
        encoder = GzipEncoder(level)
        self._alive.add(encoder)
        return encoder


class _ResponseFacts:
    """What the fields of a response say about coding it."""

    __slots__ = ("etag", "has_vary", "is_fit", "vary")

    def __init__(self, fields: Sequence[Field]) -> None:
        self.is_fit = True
        self.etag = b""
        self.vary: Field | None = None
        self.has_vary = False
        for field in fields:
            match field.lower:
                case b"content-type":
                    self.is_fit &= _is_fit(field.value)
                case b"content-encoding":
                    self.is_fit &= all(coding == b"identity" for coding in parse_list(field.value))
                case b"content-range":
                    self.is_fit = False
                case b"cache-control":
                    self.is_fit &= b"no-transform" not in parse_list(field.value)
                case b"x-accel-buffering":
                    self.is_fit &= field.value.lower() != b"no"
                case b"etag":
                    self.etag = field.value
                case b"vary":
                    self.vary = self.vary or field
                    self.has_vary |= not {b"*", b"accept-encoding"}.isdisjoint(parse_list(field.value))


class GzipCompression:
    """One `gzip` line at work (proxy/answer.py: Compression)."""

    __slots__ = ("_encoders", "_level", "_min_length", "excepts", "extensions")

    def __init__(self, spec: GzipSpec, targets: Targets, encoders: Encoders) -> None:
        self._level = spec.level
        self._min_length = spec.min_length
        self._encoders = encoders
        self.excepts = tuple(path_key(path, targets) for path in spec.excepts)
        self.extensions = frozenset(targets.key(one) for one in spec.extensions)

    def takes(self, key: str) -> bool:
        """Whether a path is this line's (no excluded prefix, and one of the extensions)."""
        if self.excepts and key.startswith(self.excepts):
            return False
        return "*" in self.extensions or extension(key) in self.extensions

    def begin(
        self, head: RequestHead, status: int, fields: list[Field], length: int
    ) -> tuple[list[Field], Encoder | None]:
        """See Compression. A response that is not coded for this client only may still get `Vary`."""
        if status < 200:
            return fields, None
        facts = _ResponseFacts(fields)
        if status == 206:
            return (_with_vary(fields, facts) if _would_fit(fields) else fields), None
        if not facts.is_fit:
            return fields, None
        if status in _NO_BODY:
            return _not_modified(head, fields, facts) if status == 304 else fields, None
        fields = _with_vary(fields, facts)
        if (
            length == 0
            or 0 < length < self._min_length
            or not is_accepted(head.fields.value(b"accept-encoding"))
            or self._encoders.is_full
        ):
            return fields, None
        kept = [
            _weakened(field) if field.lower == b"etag" else field
            for field in fields
            if field.lower not in _DROPPED
        ]
        kept.append(_CONTENT_ENCODING)
        return kept, self._encoders.make(self._level)


def _would_fit(fields: Sequence[Field]) -> bool:
    """Whether the whole of a partial response could have been coded."""
    return _ResponseFacts([field for field in fields if field.lower != b"content-range"]).is_fit


def _not_modified(head: RequestHead, fields: list[Field], facts: _ResponseFacts) -> list[Field]:
    """A 304 says what the 200 would have said (RFC 9110 15.4.5): Vary, and the ETag that this client has of it.

    A backend answers `If-None-Match: W/"a"`, which is ours, with its own `"a"`. A cache would not find what it has
    by that: strong validators select by strong comparison (RFC 9111 4.3.4).
    """
    fields = _with_vary(fields, facts)
    if facts.etag.startswith(b'"') and b"W/" + facts.etag in (head.fields.value(b"if-none-match") or b""):
        return [_weakened(field) if field.lower == b"etag" else field for field in fields]
    return fields


def _weakened(etag: Field) -> Field:
    return Field(etag.name, b"W/" + etag.value) if etag.value.startswith(b'"') else etag


def _with_vary(fields: list[Field], facts: _ResponseFacts) -> list[Field]:
    if facts.has_vary:
        return fields
    if facts.vary is None:
        return [*fields, Field(b"Vary", _ACCEPT_ENCODING)]
    old = facts.vary
    value = old.value + b", " + _ACCEPT_ENCODING if old.value else _ACCEPT_ENCODING
    return [Field(old.name, value) if field is old else field for field in fields]


def extension(key: str) -> str:
    """From the last dot of the last segment on, or "" (as Go's path.Ext)."""
    last = key[key.rfind("/") + 1 :]
    dot = last.rfind(".")
    return last[dot:] if dot >= 0 else ""


class SiteCompressions:
    """The `gzip` lines of a site: the first that takes a path acts on it, as in v1."""

    __slots__ = ("_lines",)

    def __init__(self, lines: Sequence[GzipCompression]) -> None:
        self._lines = tuple(lines)

    def find(self, key: str) -> GzipCompression | None:
        """The line for a path, or None."""
        for line in self._lines:
            if line.takes(key):
                return line
        return None
