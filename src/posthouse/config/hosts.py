"""Host names and IP addresses as text: what may stand in an address, in one normal form."""

from __future__ import annotations

import ipaddress
import re

_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?")
_NUMERIC = re.compile(r"[0-9.]+")
_SLIPPED_SCHEME = re.compile(r"(https?)(?://+|:/(?!/)|;//)(?=.)", re.IGNORECASE)
_PRIVATE_ENDINGS = (
    "localhost",
    "local",
    "test",
    "invalid",
    "example",
    "internal",
    "home.arpa",
    "lan",
    "onion",
)


def normal_name(text: str) -> str:
    """A host name or IPv4 address in lower case, without a final dot, other scripts in their `xn--` form.

    ValueError says what is wrong, in a phrase. Underscores pass: containers and SRV names have them.
    """
    name = text.lower()
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError:
            raise ValueError("it is not a host name that can be looked up") from None
    if _NAME.fullmatch(name) is None:
        raise ValueError("it is not a host name")
    if len(name) > 254 or any(len(label) > 63 for label in name.split(".")):
        raise ValueError("it is too long for a host name (253 characters, 63 between dots)")
    if _NUMERIC.fullmatch(name):
        return _normal_v4(name)
    return name[:-1] if name.endswith(".") else name


def _normal_v4(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise ValueError("it is not an IPv4 address") from None


def normal_v6(text: str) -> str:
    """An IPv6 address (without brackets, zone kept) in its short form. ValueError says what is wrong."""
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        raise ValueError("it is not an IPv6 address") from None


def is_ip(host: str) -> bool:
    """Whether a normal host is an IP address."""
    return ":" in host or _NUMERIC.fullmatch(host) is not None


def is_public_name(host: str) -> bool:
    """Whether a normal host is a name that the public DNS could have, so that people expect HTTPS for it."""
    if is_ip(host) or "." not in host.removeprefix("*."):
        return False
    return not any(host.endswith("." + ending) for ending in _PRIVATE_ENDINGS)


def mend_scheme(text: str) -> str:
    """`http://host` for `http//host`, `http:/host` or `http;//host`, which name a host `http` by a slip; else "".

    What follows is without credentials: the text is for a hint.
    """
    found = _SLIPPED_SCHEME.match(text)
    return f"{found[1].lower()}://{text[found.end() :].rpartition('@')[2]}" if found else ""


def split_port(text: str) -> tuple[str, str | None]:
    """`host:port` or `[v6]:port` cut in two; the port is None when there is no colon for it.

    Nothing is checked but colons and brackets; ValueError says what is wrong, in a phrase.
    """
    if text.startswith("["):
        host, bracket, rest = text.partition("]")
        if not bracket:
            raise ValueError("a closing `]` is missing")
        if rest and not rest.startswith(":"):
            raise ValueError(f"after `]` only `:PORT` can follow, not `{rest}`")
        return host + "]", rest[1:] if rest else None
    if text.count(":") > 1:
        raise ValueError("it has more than one colon; an IPv6 address stands in brackets, as `[::1]:8080`")
    host, colon, port = text.partition(":")
    return host, port if colon else None
