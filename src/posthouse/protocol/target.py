"""Request targets: judged once, matched on one normal form, sent as they came.

Every matcher (site paths, FROM, `except`, `header` scopes, `limits body`) sees the same view of a path: decoded
once, slashes merged, dot segments resolved, lower case unless CASE_SENSITIVE_PATH. On the wire a path goes as it
came, with one exception: a path with dot segments, plain or encoded, is sent resolved (reliability.md rule 13).
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from posthouse.errors import ProtocolError
from posthouse.protocol.fields import Sightings

_ALLOWED = re.compile(rb"[\x21\x22\x24-\x7e\x80-\xff]+")
_PLAIN = re.compile(
    rb"(/(?:[A-Za-z0-9_\-~!$&'()*+,;=:@]++(?:\.[A-Za-z0-9_\-~!$&'()*+,;=:@]++)*+/?+)*+)"
    rb"((?:\?[\x21\x22\x24-\x7e\x80-\xff]*+)?+)"
)
"""Targets whose path is its own normal form: no escapes, no empty segment, no segment that begins with a dot.

Possessive throughout: with backtracking one hostile target could hold the event loop for days."""
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})|%00")
_MUST_ENCODE = re.compile(rb"[\"<>\\^`{|}\x80-\xff]")
_ENCODE_TOO = re.compile(rb"[\"<>\\^`{|}\[\]\x80-\xff]")
_SLASHES = re.compile(rb"/{2,}")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)", re.IGNORECASE)
_AUTHORITY = re.compile(
    rb"(\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+;=\-]|%[0-9A-Fa-f]{2})+)(?::([0-9]{0,5}))?"
)
"""RFC 3986 3.2.2, without user information, which no Host has."""

SAFE_IN_PATH: Final = "/-._~!$&'()*+,;=:@"


class Target:
    """One request target, judged.

    raw        origin form as received (absolute form: without scheme and authority)
    path       decoded normal form, text; undecodable bytes as surrogates
    key        `path` as matchers compare it (lower case unless paths are case-sensitive)
    wire_path  what goes to a backend, encoded
    query      with its "?", or b""
    """

    __slots__ = ("authority", "is_asterisk", "is_special", "key", "path", "query", "raw", "wire_path")

    def __init__(self, raw: bytes, path: str, key: str, wire_path: bytes, query: bytes) -> None:
        self.raw = raw
        self.path = path
        self.key = key
        self.wire_path = wire_path
        self.query = query
        self.authority: bytes | None = None
        self.is_asterisk = False
        self.is_special = False


def normalise(decoded: bytes) -> bytes:
    """Slashes merged, dot segments resolved, one trailing slash kept. `decoded` begins with "/"."""
    if b"/." not in decoded:
        return _SLASHES.sub(b"/", decoded)
    kept: list[bytes] = []
    segments = decoded.split(b"/")
    for segment in segments:
        if segment == b"..":
            if kept:
                kept.pop()
        elif segment and segment != b".":
            kept.append(segment)
    is_folder = segments[-1] in (b"", b".", b"..") and bool(kept)
    return b"/" + b"/".join(kept) + (b"/" if is_folder else b"")


def has_dot_segments(decoded: bytes) -> bool:
    """Whether a decoded path has a "." or ".." segment."""
    return b"/." in decoded and any(segment in (b".", b"..") for segment in decoded.split(b"/"))


class Targets:
    """Judges request targets and remembers the latest (bounded: emptied when full)."""

    __slots__ = ("_sightings", "is_case_sensitive", "memo")

    _MEMO: Final = 2048
    _MEMO_BYTES: Final = 512

    def __init__(self, is_case_sensitive: bool = False) -> None:
        self.is_case_sensitive = is_case_sensitive
        self.memo: dict[bytes, Target] = {}
        self._sightings = Sightings()

    def key(self, path: str) -> str:
        """A normal-form path as matchers compare it."""
        return path if self.is_case_sensitive else path.lower()

    def parse(self, raw: bytes) -> Target:
        """A target that is not in the memo. Raises ProtocolError(400)."""
        match = _PLAIN.fullmatch(raw)
        if match is not None:
            path, query = match.groups()
            text = path.decode()  # ASCII by the pattern; naming it takes the slow way to the codec
            target = Target(raw, text, text if self.is_case_sensitive else text.lower(), path, query)
        else:
            target = self._judge(raw)
        if len(raw) <= self._MEMO_BYTES and self._sightings.met_before(raw):
            if len(self.memo) >= self._MEMO:
                self.memo.clear()
            self.memo[raw] = target
        return target

    def judge(self, raw: bytes) -> Target:
        """A target of our own making, in origin form; not remembered. Raises ProtocolError(400)."""
        if not raw.startswith(b"/"):
            raise ProtocolError(400, "request target is no path")
        return self._judge(raw)

    def _judge(self, raw: bytes) -> Target:
        if _ALLOWED.fullmatch(raw) is None:
            raise ProtocolError(400, "control byte, blank or # in the request target")
        if raw.startswith(b"/"):
            return self._origin(raw)
        if raw == b"*":
            target = Target(raw, "*", "*", raw, b"")
            target.is_asterisk = target.is_special = True
            return target
        match = _ABSOLUTE.match(raw)
        if match is None:
            raise ProtocolError(400, "request target is neither a path nor a URL")
        rest = raw[match.end() :]
        target = self._origin(rest if rest.startswith(b"/") else b"/" + rest)
        target.authority = match.group(1)
        target.is_special = True
        return target

    def _origin(self, raw: bytes) -> Target:
        path, mark, query = raw.partition(b"?")
        if _BAD_ESCAPE.search(path) is not None:
            raise ProtocolError(400, "invalid percent-encoding in the path")
        decoded = unquote_to_bytes(path)
        normal = normalise(decoded)
        text = normal.decode("utf-8", "surrogateescape")
        wire = encode_path(normal) if has_dot_segments(decoded) else _encode_raw(path)
        return Target(raw, text, self.key(text), wire, mark + query)


def ending(path: str) -> str:
    """The ending of a path's last name, lower case, with its dot (".html"); "" if it has none."""
    name = path[path.rfind("/") + 1 :]
    dot = name.rfind(".")
    return name[dot:].lower() if dot >= 0 else ""


def encode_path(path: bytes) -> bytes:
    """A decoded path, percent-encoded."""
    return quote(path, safe=SAFE_IN_PATH).encode("ascii")


def _encode_raw(path: bytes) -> bytes:
    """An encoded path whose bytes that may not stand raw are encoded too (caddy1.md 2.4)."""
    if _MUST_ENCODE.search(path) is None:
        return path
    return _ENCODE_TOO.sub(lambda match: b"%%%02X" % match.group()[0], path)


def cut_prefix(target: Target, prefix_key: str, targets: Targets) -> tuple[str, bytes]:
    """Path and wire path without a prefix that `target.key` begins with, by the rule that matching uses.

    The encoded form of what remains survives. The result begins with exactly one slash.
    """
    rest = _one_slash(target.path[len(prefix_key) :])
    wire = _cut_wire(target.wire_path, prefix_key, targets)
    raw = rest.encode("utf-8", "surrogateescape")
    if has_dot_segments(raw):
        # "/a../x" without "/a": a cut must not make what the client could not have sent.
        normal = normalise(raw)
        return normal.decode("utf-8", "surrogateescape"), encode_path(normal)
    if wire is None:
        wire = encode_path(rest.encode("utf-8", "surrogateescape"))
    return rest, _one_slash_wire(wire)


def _one_slash(path: str) -> str:
    return "/" + path.lstrip("/")


def _one_slash_wire(path: bytes) -> bytes:
    return b"/" + path.lstrip(b"/")


def _cut_wire(wire: bytes, prefix_key: str, targets: Targets) -> bytes | None:
    """The wire path after the shortest beginning that means `prefix_key`, or None if there is no such place."""
    if (
        targets.key(wire[: len(prefix_key)].decode("latin-1")) == prefix_key
        and b"%" not in wire[: len(prefix_key)]
    ):
        return wire[len(prefix_key) :]
    seen = bytearray()
    place = 0
    while place < len(wire):
        step = 3 if wire[place] == 0x25 else 1
        byte = int(wire[place + 1 : place + 3], 16) if step == 3 else wire[place]
        place += step
        if byte == 0x2F and seen.endswith(b"/"):
            continue
        seen.append(byte)
        if len(seen) >= len(prefix_key):
            head = seen.decode("utf-8", "surrogateescape")
            if targets.key(head) == prefix_key:
                return wire[place:]
            if len(head) > len(prefix_key) + 3:  # up to three bytes of a character may count as one each
                return None
    return None


def split_authority(value: bytes) -> tuple[str, str] | None:
    """A Host value as (host in lower case without brackets, port text or ""), or None if it is invalid."""
    match = _AUTHORITY.fullmatch(value)
    if match is None:
        return None
    host, port = match.groups()
    if port and int(port) > 65535:
        return None
    return host.decode("ascii").strip("[]").lower(), (port or b"").decode("ascii")
