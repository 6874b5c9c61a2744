"""UrlTemplate: a template whose result is part of a URL, where no value from a request becomes structure.

What a placeholder yields is encoded for the place it lands in. A decoded value (a path, a group of an expression, a
field, a cookie) cannot begin a query, add an argument to one, or climb out of a folder; an encoded one ({uri}, {query})
goes in as it is, but for bytes that may stand in no URL. So the result is always printable ASCII without blanks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from posthouse.observe.placeholders import Expand, compile_template
from posthouse.observe.record import Subject
from posthouse.protocol.target import encode_path, has_dot_segments, normalise
from posthouse.steps.conditions import wire_text

_PLACEHOLDERS = re.compile(r"((?<!\\)\{(?:.*?)(?<!\\)\})", re.DOTALL)
_ILLEGAL = re.compile(rb"[^\x21\x23-\x3b\x3d\x3f-\x5b\x5d\x5f\x61-\x7a\x7e]")
"""Bytes that stand in no URL unencoded: controls, blanks, `"<>\\^`{|}`, DEL, and everything past ASCII."""
_STRAY_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_AUTHORITY_END = re.compile(rb"(?:[^/?#]*:)?//[^/?#]*([/?#])")

_SAFE_IN_QUERY: Final = "/:@-._~!$'()*,;"
"""Not `&`, `=` and `+`, which mean something there."""

_DECODED_PATHS: Final = frozenset(("path", "rewrite_path", "dir", "file"))
_TARGETS: Final = frozenset(("uri", "rewrite_uri"))
_ENCODED: Final = frozenset(
    ("query", "query_escaped", "path_escaped", "uri_escaped", "rewrite_path_escaped", "rewrite_uri_escaped")
)

_BEFORE_PATH, _PATH, _QUERY = range(3)
"""The part of the URL that the next piece lands in."""


class UrlTemplate:
    """A compiled template. `text` is as written; is_path: the result is a path with a query, not a whole URL."""

    __slots__ = ("_first", "_pieces", "text")

    def __init__(self, text: str, *, is_path: bool) -> None:
        self.text = text
        self._first = _PATH if is_path else _BEFORE_PATH
        self._pieces: list[bytes | int | tuple[str, Expand]] = []
        for place, piece in enumerate(_PLACEHOLDERS.split(wire_text(text))):
            if place % 2:
                name = piece[1:-1]
                # A group of an expression: {1}. No placeholder is called so.
                is_group = name.isdecimal() and len(name) < 4
                self._pieces.append(int(name) if is_group else (name, compile_template(piece, "").expand))
            elif piece:
                literal = piece.replace("\\{", "{").replace("\\}", "}")
                self._pieces.append(legal(literal.encode("latin-1")))

    def __repr__(self) -> str:
        return f"<UrlTemplate {self.text!r}>"

    def expand(self, subject: Subject, groups: Sequence[bytes] = ()) -> bytes:
        """The URL for a request; `groups` are those of the expression that matched, from the whole match on."""
        made, part = b"", self._first
        for piece in self._pieces:
            if isinstance(piece, bytes):
                made += piece
            elif isinstance(piece, int):
                made += _encoded(groups[piece] if piece < len(groups) else b"", part)
            else:
                name, expand = piece
                made += _value(name, expand(subject).encode("latin-1", "replace"), part)
            part = _part_after(made, part)
        return made


def legal(raw: bytes) -> bytes:
    """`raw` with every byte percent-encoded that no URL may hold."""
    return _ILLEGAL.sub(lambda match: b"%%%02X" % match.group()[0], raw)


def _part_after(made: bytes, part: int) -> int:
    if part == _BEFORE_PATH:
        found = _AUTHORITY_END.match(made)
        if found is None:
            return part
        part = _PATH if found[1] == b"/" else _QUERY
    return _QUERY if b"?" in made else part


def _value(name: str, raw: bytes, part: int) -> bytes:
    if name in _DECODED_PATHS:
        raw = normalise(raw) if raw.startswith(b"/") else raw
        return _encoded(raw, _PATH if part == _BEFORE_PATH else part)
    if name in _TARGETS:
        path, mark, query = raw.partition(b"?")
        decoded = unquote_to_bytes(path)
        if has_dot_segments(decoded):
            path = encode_path(normalise(decoded))
        return legal(path + mark + query)
    if name in _ENCODED:
        if part == _PATH:
            raw = _STRAY_PERCENT.sub(b"%25", raw).replace(b"?", b"%3F")
        return legal(raw)
    return _encoded(raw, part)


def _encoded(raw: bytes, part: int) -> bytes:
    """A decoded value for its place."""
    if part == _PATH:
        return encode_path(raw)
    if part == _QUERY:
        return quote(raw, safe=_SAFE_IN_QUERY).encode("ascii")
    return legal(raw)
