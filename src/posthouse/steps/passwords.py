"""Passwords: what a Caddyfile or an htpasswd file keeps of one, and whether a given one matches.

Every comparison takes the same time wherever the first difference is (`hmac.compare_digest`), and compares digests, so
that the length of a password does not show either. A ValueError never repeats what stood there.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from typing import Final, Protocol

_BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
_BCRYPT_COST: Final = 17
"""The most that `htpasswd` makes: eight seconds a check. Each further step doubles that."""
_APR1 = re.compile(r"\$apr1\$([^$:\s]{0,8})\$([./0-9A-Za-z]{22})")
_BCRYPT_BYTES: Final = 72
"""bcrypt reads no further; what comes after is ignored, as `htpasswd` and Apache do."""
_ITOA64: Final = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Password(Protocol):
    """cost: of checking it, to be compared with that of others; 0 = microseconds, else it is not for the event loop."""

    @property
    def cost(self) -> int: ...
    def matches(self, given: bytes) -> bool: ...


class Plain:
    """A password in plain text, kept as a digest."""

    __slots__ = ("_digest",)
    cost = 0

    def __init__(self, text: str) -> None:
        self._digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()

    def matches(self, given: bytes) -> bool:
        """Whether it is this one."""
        return hmac.compare_digest(hashlib.sha256(given).digest(), self._digest)


class Sha1:
    """`{SHA}`: a SHA-1 digest without salt."""

    __slots__ = ("_digest",)
    cost = 0

    def __init__(self, digest: bytes) -> None:
        self._digest = digest

    def matches(self, given: bytes) -> bool:
        """Whether its digest is the same."""
        return hmac.compare_digest(hashlib.sha1(given).digest(), self._digest)


class Bcrypt:
    """`$2a$`, `$2b$`, `$2y$`."""

    __slots__ = ("_hash", "cost")

    def __init__(self, text: str) -> None:
        import bcrypt  # only for configurations that have such a hash  # noqa: F401

        self._hash = text.encode("ascii")
        self.cost = 1 << int(text[4:6])

    def matches(self, given: bytes) -> bool:
        """Whether it hashes to the same. Takes tens of milliseconds, most of them outside of Python's lock."""
        import bcrypt

        return bcrypt.checkpw(given[:_BCRYPT_BYTES], self._hash)


class Apr1:
    """`$apr1$`: Apache's variant of the MD5-based crypt(3)."""

    __slots__ = ("_hash", "_salt")
    cost = 1

    def __init__(self, salt: str, hash_: str) -> None:
        self._salt = salt.encode("latin-1", "replace")
        self._hash = hash_.encode("ascii")

    def matches(self, given: bytes) -> bool:
        """Whether it hashes to the same: a thousand rounds of MD5, about two milliseconds."""
        return hmac.compare_digest(apr1(given, self._salt), self._hash)


def written(text: str) -> Password:
    """A password as a Caddyfile has it: a bcrypt hash, or plain. Raises ValueError: a hash that cannot be used."""
    return _bcrypt(text) if text.startswith(("$2a$", "$2b$", "$2x$", "$2y$")) else Plain(text)


def stored(text: str) -> Password:
    """A password as an htpasswd file has it. Raises ValueError: a scheme that is not known, a broken hash."""
    if text.startswith("{SHA}"):
        try:
            digest = base64.b64decode(text[5:], validate=True)
        except binascii.Error:
            digest = b""
        if len(digest) != hashlib.sha1().digest_size:
            raise ValueError("the {SHA} hash is malformed")
        return Sha1(digest)
    if text.startswith("$apr1$"):
        found = _APR1.fullmatch(text)
        if found is None:
            raise ValueError("the $apr1$ hash is malformed")
        return Apr1(found[1], found[2])
    if text.startswith("$2"):
        return _bcrypt(text)
    if text.startswith(("$", "{")) and not text.startswith("{PLAIN}"):
        raise ValueError(
            "the hash is of a kind that is not known: expected bcrypt, {SHA}, $apr1$ or plain text"
        )
    if not text:
        raise ValueError("the password is empty")
    return Plain(text.removeprefix("{PLAIN}"))


def _bcrypt(text: str) -> Bcrypt:
    if _BCRYPT.fullmatch(text) is None:
        raise ValueError("the bcrypt hash is malformed")
    if int(text[4:6]) > _BCRYPT_COST:
        raise ValueError(f"the bcrypt hash has a cost above {_BCRYPT_COST}: to check it takes far too long")
    return Bcrypt(text)


def htpasswd(text: str) -> dict[str, str]:
    """User to password, each as the file has it; the last line of a user counts.

    Lines are `USER:PASSWORD`; empty ones and those that begin with `#` are skipped. Raises ValueError with the line.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if line and not line.startswith("#"):
            user, colon, rest = line.partition(":")
            if not colon or not user:
                raise ValueError(f"line {number} is not USER:PASSWORD")
            found[user] = rest
    return found


def apr1(password: bytes, salt: bytes) -> bytes:
    """The hash part of Apache's $apr1$: FreeBSD's md5crypt with another magic (apr_md5.c describes it)."""
    inner = hashlib.md5(password + salt + password).digest()
    text = password + b"$apr1$" + salt
    text += (inner * (len(password) // 16 + 1))[: len(password)]
    bits = len(password)
    while bits:
        text += b"\0" if bits & 1 else password[:1]
        bits >>= 1
    digest = hashlib.md5(text).digest()
    for turn in range(1000):
        text = password if turn & 1 else digest
        text += salt if turn % 3 else b""
        text += password if turn % 7 else b""
        text += digest if turn & 1 else password
        digest = hashlib.md5(text).digest()
    return _encode64(digest)


def _encode64(digest: bytes) -> bytes:
    made = ""
    for first, second, third in ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5)):
        number = digest[first] << 16 | digest[second] << 8 | digest[third]
        made += "".join(_ITOA64[number >> shift & 63] for shift in (0, 6, 12, 18))
    return (made + _ITOA64[digest[11] & 63] + _ITOA64[digest[11] >> 6]).encode("ascii")
