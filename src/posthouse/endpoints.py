"""A TO of the `proxy` directive as text -> the endpoints it stands for.

Forms: `host`, `host:port`, `:port`, `http[s]://[user:password@]host[:port][/base][?query]`, `[v6]:port`,
`unix:/PATH`, and a port range `…:8080-8085…`, one endpoint per port. Nothing here quotes credentials.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import quote as percent_encode
from urllib.parse import unquote_to_bytes

from posthouse.caddyfile.messages import quote
from posthouse.config.hosts import mend_scheme, normal_name, normal_v6, split_port
from posthouse.config.specs import EndpointSpec, Scheme
from posthouse.errors import Place

PORTS: Final[dict[Scheme, int]] = {"http": 80, "https": 443}
_UNIX = "unix:"
_LONGEST_SOCKET_PATH = 107
"""`sun_path` holds 108 bytes on Linux, the last of them a NUL."""

_NEVER = {
    "ws": ("`ws://` is not a backend's scheme", "write `http://`: WebSocket upgrades pass by themselves"),
    "wss": ("`wss://` is not a backend's scheme", "write `https://`: WebSocket upgrades pass by themselves"),
    "quic": (
        "`quic:` is not part of Posthouse: it spoke a draft of QUIC that no server knows now",
        "write `https://`",
    ),
    "fastcgi": ("`fastcgi://` is not part of Posthouse", "put a web server that speaks FastCGI behind it"),
}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PATH_SAFE = "/%!$&'()*+,;=:@-._~[]"
_QUERY_SAFE = _PATH_SAFE + '?{}|\\^`"<>'


class BadEndpoint(ValueError):
    """Why a TO cannot be used: the message for a Mistake, and its hint or ""."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class _Url(NamedTuple):
    """A TO cut into pieces, none of them checked. `host` is as written; `port` is None without a colon."""

    credentials: str | None
    host: str
    port: str | None
    path: str
    query: str


def parse_endpoints(text: str, place: Place) -> list[EndpointSpec]:
    """The endpoints of one TO, in the order of their ports. Raises BadEndpoint."""
    if not text:
        raise BadEndpoint("a backend's address is empty", "is an environment variable unset?")
    if _CONTROL.search(text) or " " in text:
        raise BadEndpoint("a backend's address has no blanks or control characters in it")
    if text.startswith(_UNIX):
        return [_unix(text, place)]
    if text.lower().startswith("quic:"):
        raise BadEndpoint(*_NEVER["quic"])
    if meant := mend_scheme(text):
        message = "is not a backend's address: its scheme is garbled"
        raise BadEndpoint(f"{quote(text.rpartition('@')[2])} {message}", f"write `{meant}`")
    scheme, rest = _without_scheme(text)
    try:
        url = _cut(rest)
        host = _host(url)
        ports = _ports(url.port)
        credentials = _credentials(url.credentials)
        base_path, base_query = _encoded(url.path), _encoded(url.query, _QUERY_SAFE)
    except ValueError as wrong:
        if "@" in rest.partition("/")[2]:
            # What was taken for a host and a port is the beginning of a password: it is not repeated.
            message = (
                f"{quote(rest.rpartition('@')[2])} is not a backend's address: a `/` stands before its `@`"
            )
            raise BadEndpoint(message, "in a password, `/` is written `%2F`") from None
        # Only what follows the last "@" is quoted: in a mistyped TO, credentials can be anywhere before.
        raise BadEndpoint(f"{quote(rest.rpartition('@')[2])} is not a backend's address: {wrong}") from None
    return [
        EndpointSpec(
            text=_text(scheme, url, port),
            scheme=scheme,
            host=host,
            port=PORTS[scheme] if port is None else port,
            authority=_authority(url.host, host, port),
            base_path=base_path,
            base_query=base_query,
            credentials=credentials,
            place=place,
        )
        for port in ports
    ]


def _without_scheme(text: str) -> tuple[Scheme, str]:
    match = _SCHEME.match(text)
    if match is None:
        return "http", text
    scheme = match[1].lower()
    if scheme == "http":
        return "http", text[match.end() :]
    if scheme == "https":
        return "https", text[match.end() :]
    if scheme in _NEVER:
        raise BadEndpoint(*_NEVER[scheme])
    raise BadEndpoint(
        f"`{scheme}://` is not a scheme that backends are reached by",
        "write `http://HOST:PORT`, `https://HOST` or `unix:/PATH`",
    )


def _cut(rest: str) -> _Url:
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    path, _, query = rest[end:].partition("?")
    if "#" in rest[end:]:
        raise ValueError("a fragment (`#…`) is never sent to a backend")
    userinfo, at, authority = rest[:end].rpartition("@")
    host, port = split_port(authority)
    return _Url(userinfo if at else None, host, port, path, query)


def _host(url: _Url) -> str:
    if url.host.startswith("["):
        return normal_v6(url.host[1:-1].replace("%25", "%"))
    if url.host:
        return normal_name(url.host)
    if url.port is None:
        raise ValueError("it has no host and no port")
    return ""


def _ports(text: str | None) -> list[int] | list[None]:
    if text is None:
        return [None]
    if "-" not in text:
        return [_port(text)]
    if text.count("-") > 1:
        raise ValueError(f"`{text}` is not a port range: it has more than one hyphen")
    first, last = (_port(end) for end in text.split("-"))
    if last <= first:
        raise ValueError(f"port range [{first}-{last}] is invalid: it must go up")
    return list(range(first, last + 1))


def _port(text: str) -> int:
    if not text:
        raise ValueError("a port is missing after the colon")
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"`{text}` is not a port: a number from 1 to 65535 is expected")
    if len(text) > 5 or not 1 <= int(text) <= 65535:
        raise ValueError(f"port {text} is not between 1 and 65535")
    return int(text)


def _credentials(userinfo: str | None) -> str:
    """`user:password`, decoded; RFC 7617 forbids control characters, and a colon in the user's name."""
    if not userinfo:
        return ""
    user, _, password = userinfo.partition(":")
    if _BAD_ESCAPE.search(userinfo):
        raise ValueError("a percent sign in its credentials is not followed by two hexadecimal digits")
    try:
        name, word = (unquote_to_bytes(part).decode("utf-8") for part in (user, password))
    except UnicodeDecodeError:
        raise ValueError("its credentials are not UTF-8") from None
    if _CONTROL.search(name + word):
        raise ValueError("its credentials hold a control character")
    if ":" in name:
        raise ValueError("the user name of its credentials holds a colon")
    return f"{name}:{word}"


def _encoded(part: str, safe: str = _PATH_SAFE) -> str:
    if _BAD_ESCAPE.search(part):
        raise ValueError("a percent sign is not followed by two hexadecimal digits")
    return percent_encode(part, safe=safe)


def _text(scheme: Scheme, url: _Url, port: int | None) -> str:
    query = f"?{url.query}" if url.query else ""
    return f"{scheme}://{url.host}" + ("" if port is None else f":{port}") + url.path + query


def _authority(written: str, host: str, port: int | None) -> str:
    """The Host field: as written, but for what a Host cannot hold (RFC 9110 7.2: no zone, no empty host)."""
    name = written if written.isascii() and "%" not in written else host
    if not name:
        name = "localhost"
    elif "%" in name:
        name = f"[{name.partition('%')[0]}]"
    return name if port is None else f"{name}:{port}"


def _unix(text: str, place: Place) -> EndpointSpec:
    path = text.removeprefix(_UNIX)
    if path.startswith("///"):
        path = path[2:]
    if path.startswith("//"):
        raise BadEndpoint(
            f"{quote(text)} names no Unix socket: after `unix://` a host would follow",
            f"write `unix:{path[1:]}`",
        )
    if path.startswith("@"):
        raise BadEndpoint("abstract Unix sockets (`unix:@…`) cannot be backends", "write `unix:/PATH`")
    if not path.startswith("/"):
        raise BadEndpoint(
            f"{quote(text)} names no Unix socket: its path must be absolute", "write `unix:/PATH`"
        )
    if path.endswith("/"):
        raise BadEndpoint(f"{quote(text)} names no Unix socket: its path ends with a slash")
    if len(path.encode()) > _LONGEST_SOCKET_PATH:
        raise BadEndpoint(
            f"the path of a Unix socket has at most {_LONGEST_SOCKET_PATH} bytes, this one has more"
        )
    return EndpointSpec(
        text=text, scheme="http", host="", port=0, unix=path, authority="localhost", place=place
    )
