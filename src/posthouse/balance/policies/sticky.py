"""`policy sticky [NAME] [ttl=D] [path=/] [samesite=lax] [secret=FILE]`: a client stays with its backend, by a cookie of
ours.

The cookie's value is `ID.UNTIL.MAC`: the backend by an opaque id, the end of the session in seconds since 1970 in
hexadecimal (0: the browser's), and a keyed hash of both (HMAC-SHA-256, cut to 128 bits). Whoever lacks the key can
neither choose a backend nor learn its address: the id is a keyed hash too. A value that is forged, expired, or names
nobody of this pool counts for nothing.

Laws:
1. A session stays with its backend while that can be used, and while it only drains; else it gets another, and a new
   cookie. A draining backend gets no new sessions.
2. A cookie is set only where it changes: another backend, or less than half of `ttl` left.
3. Without a key nothing is believed and nothing is set: the pool takes turns.

New sessions take turns by weight. A session costs 3 µs.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256
from hmac import compare_digest, digest
from typing import ClassVar, Final, NamedTuple

from posthouse.balance.backend import Backend
from posthouse.balance.policies.cookie import find_cookie
from posthouse.balance.policies.round_robin import RoundRobin
from posthouse.balance.policy import Choice, Setting
from posthouse.config.units import parse_duration

DEFAULT_NAME: Final = "posthouse"
ID_BYTES: Final = 9
"""72 bits: among 10,000 backends two are alike once in a hundred million million keys."""
MAC_BYTES: Final = 16
LONGEST_VALUE: Final = 64
"""Ours have 12 + 1 + at most 16 + 1 + 22 characters; what is longer is not looked at."""

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 6265, 4.1.1: cookie-name = token."""
_PATH = re.compile(r"/[\x20-\x3a\x3c-\x7e]*")
"""RFC 6265, 4.1.1: path-value = any character but controls and ";"."""
_SAME_SITE: Final = {"lax": b"Lax", "strict": b"Strict", "none": b"None"}
_UNTIL = re.compile(rb"[0-9a-f]{1,16}")


class _Session(NamedTuple):
    """backend: its own; until: its end, seconds since 1970, 0 = the browser's."""

    backend: Backend
    until: int


class Sticky:
    """See above. secret: the file of the key as written, "" = the data directory's; `use_key` comes before service."""

    __slots__ = (
        *("_attributes", "_backends", "_by_id", "_cookie_name", "_ids", "_key", "_same_site"),
        *("_ttl", "_turns", "secret"),
    )
    usage: ClassVar[str] = "sticky [NAME] [ttl=D] [path=/] [samesite=lax] [secret=FILE]"
    arguments: ClassVar[tuple[int, int]] = (0, 5)

    def __init__(self, args: tuple[str, ...], setting: Setting) -> None:
        self._backends = setting.backends
        self._turns = RoundRobin((), setting)
        self._cookie_name = DEFAULT_NAME.encode()
        self._ttl = 0
        self._key = b""
        self._ids: dict[Backend, bytes] = {}
        self._by_id: dict[bytes, Backend] = {}
        self.secret = ""
        path, self._same_site = "/", b"Lax"
        options: dict[str, str] = {}
        for place, arg in enumerate(args):
            name, equals, value = arg.partition("=")
            if not equals and not place:
                self._cookie_name = _cookie_name(arg)
            elif name not in ("ttl", "path", "samesite", "secret") or not value:
                raise ValueError(f"expected ttl=, path=, samesite= or secret= with a value, found {arg!r}")
            elif name in options:
                raise ValueError(f"`{name}=` is there twice")
            else:
                options[name] = value
        if "ttl" in options:
            self._ttl = _ttl(options["ttl"])
        if "path" in options:
            path = options["path"]
            if not _PATH.fullmatch(path):
                raise ValueError(f"{path!r} is not the path of a cookie")
        if "samesite" in options:
            found = _SAME_SITE.get(options["samesite"].lower())
            if found is None:
                raise ValueError(f"expected samesite=lax, strict or none, found {options['samesite']!r}")
            self._same_site = found
        self.secret = options.get("secret", "")
        max_age = b"; Max-Age=%d" % self._ttl if self._ttl else b""
        self._attributes = b"; Path=%b; HttpOnly; SameSite=%b%b" % (path.encode(), self._same_site, max_age)

    def use_key(self, key: bytes) -> None:
        """The key that cookies are signed with from now on, not empty."""
        self._key = key
        self._ids = {backend: self._id_of(backend) for backend in self._backends}
        self._by_id = {name: backend for backend, name in self._ids.items()}

    def take_key(self, before: Sticky) -> None:
        """The key of the policy that this one takes the place of, if that has one."""
        if before._key:
            self.use_key(before._key)

    def _id_of(self, backend: Backend) -> bytes:
        text, occurrence = backend.key
        keyed = digest(self._key, b"backend\0%b\0%d" % (text.encode(), occurrence), sha256)
        return urlsafe_b64encode(keyed[:ID_BYTES])

    def _sign(self, text: bytes) -> bytes:
        return urlsafe_b64encode(digest(self._key, b"session\0" + text, sha256)[:MAC_BYTES]).rstrip(b"=")

    # -- which backend -------------------------------------------------------------------------------------------

    def select(
        self, usable: Sequence[Backend], choice: Choice, tried: Sequence[Backend], now: float
    ) -> Backend:
        held_by = self.held_by(choice, tried, now)
        return held_by if held_by is not None else self._turns.select(usable, choice, tried, now)

    def held_by(self, choice: Choice, tried: Sequence[Backend], now: float) -> Backend | None:
        """The backend of the exchange's session if it may have it, else None."""
        session = self._session(choice)
        if session is None:
            return None
        backend = session.backend
        if backend in tried or not (backend.is_usable or backend.may_finish(now)):
            return None
        return backend

    def is_awaited(self, choice: Choice, tried: Sequence[Backend], now: float) -> bool:
        """Whether the exchange's session is at a draining backend that it could have if that were not full."""
        session = self._session(choice)
        if session is None or session.backend in tried:
            return False
        return session.backend.is_full and session.backend.is_finishing(now)

    def _session(self, choice: Choice) -> _Session | None:
        header = choice.field(b"cookie")
        if header is None or not self._key:
            return None
        value = find_cookie(header, self._cookie_name)
        if value is None or len(value) > LONGEST_VALUE:
            return None
        text, _, mac = value.rpartition(b".")
        name, _, until = text.partition(b".")
        backend = self._by_id.get(name)
        if backend is None or not _UNTIL.fullmatch(until) or not compare_digest(mac, self._sign(text)):
            return None
        end = int(until, 16)
        # Without an end it was made when there was no ttl: it is no longer what the Caddyfile allows.
        if (end or self._ttl) and end <= choice.wall:
            return None
        return _Session(backend, end)

    # -- the cookie ----------------------------------------------------------------------------------------------

    def cookie(self, choice: Choice, backend: Backend) -> bytes:
        """The line that the response of `backend` gets, b"" if the client's cookie may stay as it is.

        No session begins with a backend that has left the pool since the request came.
        """
        name = self._ids.get(backend)
        if name is None:
            return b""
        session = self._session(choice)
        if session is not None and session.backend is backend:
            if not self._ttl or session.until - choice.wall >= self._ttl / 2:
                return b""
        until = int(choice.wall) + self._ttl if self._ttl else 0
        text = b"%b.%x" % (name, until)
        secure = b"; Secure" if choice.is_secure else b""
        return b"Set-Cookie: %b=%b.%b%b%b\r\n" % (
            self._cookie_name,
            text,
            self._sign(text),
            self._attributes,
            secure,
        )


def _cookie_name(text: str) -> bytes:
    if not _TOKEN.fullmatch(text):
        raise ValueError(f"{text!r} is not the name of a cookie")
    return text.encode()


def _ttl(text: str) -> int:
    try:
        seconds = parse_duration(text)
    except ValueError as wrong:
        raise ValueError(f"expected a ttl such as `1h`, found {text!r}: {wrong}") from None
    if seconds < 1:
        raise ValueError(f"expected a ttl of at least 1s, found {text!r}")
    return int(seconds)
