"""Site addresses: `[scheme://][host][:port][/path]`, the first line of a server block."""

from __future__ import annotations

from typing import NamedTuple

from posthouse.config.hosts import is_public_name, mend_scheme, normal_name, normal_v6, split_port
from posthouse.config.specs import AddressSpec
from posthouse.errors import ConfigError, Mistake, Place

DEFAULT_PORT = 2015
HTTP_PORT = 80
HTTPS_PORT = 443
_ANY_HOST = ("0.0.0.0", "::")
_LATER = "HTTPS is not in this release yet"


class Defaults(NamedTuple):
    """What the command line says where a Caddyfile says nothing: v1's -host, -port, -http-port (caddy1.md 8.4).

    port       of an address without scheme and port
    http_port  of an address with `http://`, or with the port `http`
    root       folder of the sites that have no `root`, "" = none
    """

    host: str = ""
    port: int = DEFAULT_PORT
    http_port: int = HTTP_PORT
    root: str = ""


NO_DEFAULTS = Defaults()


class _Parts(NamedTuple):
    scheme: str
    host: str
    port: str | None
    path: str


def parse_address(text: str, place: Place, width: int = 0, defaults: Defaults = NO_DEFAULTS) -> AddressSpec:
    """One address as written. Raises ConfigError with its place.

    An empty host, `0.0.0.0` and `[::]` mean any host. A port may be 0 (any free one), `http` or `https`.
    """
    if meant := mend_scheme(text):
        found = f"`{text.rpartition('@')[2]}` is not a site address: its scheme is garbled"
        raise ConfigError(Mistake(place, found, max(1, width or len(text)), f"write `{meant}`"))
    try:
        parts = _split(text)
        scheme, port = _scheme_and_port(parts, defaults)
        host = _host(parts.host or defaults.host)
        if any(mark in parts.path for mark in "?#"):
            raise ValueError("an address has no query and no fragment")
    except ValueError as wrong:
        found = f"`{text.rpartition('@')[2]}` is not a site address: {wrong}"
        raise ConfigError(Mistake(place, found, max(1, width or len(text)))) from None
    _check_https(text, scheme, port, place, width)
    return AddressSpec(text, "http", host, port, parts.path, place)


def is_implicitly_https(address: AddressSpec) -> bool:
    """Whether Caddy would have used HTTPS by itself: for a public name without scheme or port."""
    parts = _split(address.text)
    return not parts.scheme and parts.port is None and is_public_name(address.host)


def _split(text: str) -> _Parts:
    scheme, mark, rest = text.partition("://")
    if not mark:
        scheme, rest = "", text
    scheme = scheme.lower()
    if scheme not in ("", "http", "https"):
        raise ValueError(f"a site is served over http or https, not `{scheme}`")
    authority, slash, path = rest.partition("/")
    if "@" in authority:
        raise ValueError("an address has no user name or password")
    host, port = split_port(authority)
    return _Parts(scheme, host, port, slash + path)


def _scheme_and_port(parts: _Parts, defaults: Defaults) -> tuple[str, int]:
    scheme, port = parts.scheme, parts.port
    by_scheme = {"": defaults.port, "http": defaults.http_port, "https": HTTPS_PORT}
    if port in ("http", "https"):
        if scheme:
            raise ValueError("its scheme is given twice")
        return port, by_scheme[port]
    if port == "" and parts.host:
        raise ValueError("a port is missing after the colon (is an environment variable unset?)")
    if not port:  # `:` alone: v1 takes the default too
        return scheme, by_scheme[scheme]
    if not (port.isascii() and port.isdigit()) or len(port) > 5 or int(port) > 65535:
        raise ValueError(f"`{port}` is not a port (0 to 65535)")
    number = int(port)
    if (scheme, number) in (("http", HTTPS_PORT), ("https", HTTP_PORT)):
        raise ValueError(f"scheme {scheme} and port {number} contradict each other")
    return scheme, number


def _check_https(text: str, scheme: str, port: int, place: Place, width: int) -> None:
    if scheme == "https":
        message, hint = (
            f"`{text}` asks for HTTPS: {_LATER}",
            "write `http://` and a port other than 443 for now",
        )
    elif port == HTTPS_PORT:
        message, hint = f"`{text}`: port 443 means HTTPS, and {_LATER}", "choose another port for now"
    else:
        return
    raise ConfigError(Mistake(place, message, max(1, width or len(text)), hint))


def _host(host: str) -> str:
    if not host:
        return ""
    if host.startswith("["):
        normal = normal_v6(host[1:-1])
        return "" if normal in _ANY_HOST else normal
    rest = host
    labels = 0
    while rest == "*" or rest.startswith("*."):
        labels += 1
        rest = rest[2:]
    if "*" in rest:
        raise ValueError("`*` stands only for whole labels at the beginning, as in `*.example.com`")
    stars = ["*"] * labels
    if rest:
        stars.append(normal_name(rest))
    normal = ".".join(stars)
    return "" if normal in _ANY_HOST else normal
