"""Templates: text with placeholders, compiled once into a function of a `Subject`.

A placeholder reaches from a "{" to the next "}"; "\\{" and "\\}" are literal braces; a "{" without its "}" is
literal; what a placeholder yields is never read again. An unknown placeholder, a missing field and a missing
cookie yield the template's empty value; the parts of the URL, query arguments and {request_id} yield "".

Templates and what they yield are wire text: every character is one byte, so `.encode("latin-1")` gives
what is to be sent. Values may hold any byte, CR and LF after percent-decoding included: whoever writes the
result to a socket or a log judges or escapes it there.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from urllib.parse import quote_plus, unquote_to_bytes

from posthouse.observe.record import Subject
from posthouse.observe.timestamps import Seconds, common_time, duration, iso_local, iso_utc, whole_ms

Getter = Callable[[Subject], str | None]
"""None = use the template's empty value."""
Expand = Callable[[Subject], str]

REQUEST_BODY = "request_body"
_PLACEHOLDER = re.compile(r"(?<!\\)\{(.*?)(?<!\\)\}", re.DOTALL)
_LABEL = re.compile(r"label([1-9][0-9]{0,2})")

_common_seconds = Seconds(common_time)
_local_seconds = Seconds(iso_local)
_utc_seconds = Seconds(iso_utc)


class Template:
    """A compiled template.

    text         as written
    names        what stands between the braces, in the order of the text, unknown ones included
    is_constant  the result is the same for every exchange
    expand       Subject -> str; costs nothing to speak of when constant
    """

    __slots__ = ("expand", "is_constant", "names", "text")

    def __init__(self, text: str, names: tuple[str, ...], is_constant: bool, expand: Expand) -> None:
        self.text = text
        self.names = names
        self.is_constant = is_constant
        self.expand = expand

    def __repr__(self) -> str:
        return f"<Template {self.text!r}>"


def compile_template(text: str, empty: str, *, clock: Callable[[], float] = time.monotonic) -> Template:
    """Compile `text`; `empty` is what missing values become ("" in header rules, "-" in logs).

    `clock` tells {latency} of an exchange that is still running. Never raises: any text is a template.
    Text of the configuration is made wire text by the caller (its UTF-8 bytes, decoded as latin-1).
    """
    pieces: list[str | Expand] = []
    names: list[str] = []
    for literal, name in split_template(text):
        pieces.append(literal)
        if name is not None:
            names.append(name)
            pieces.append(resolve(name, empty, clock))
    merged = _merge(pieces)
    is_constant = all(isinstance(piece, str) for piece in merged)
    return Template(text, tuple(names), is_constant, _join(merged))


def split_template(text: str) -> Iterator[tuple[str, str | None]]:
    """(literal text, the name that follows it) in the order of the text; the last name is None."""
    end = 0
    for found in _PLACEHOLDER.finditer(text):
        yield _unescape(text[end : found.start()]), _unescape(found[1])
        end = found.end()
    yield _unescape(text[end:]), None


def asks_for_body(text: str) -> bool:
    """Whether a template has `{request_body}`, so that requests must be captured for it."""
    return any(name == REQUEST_BODY for _, name in split_template(text))


def _unescape(text: str) -> str:
    return text.replace("\\{", "{").replace("\\}", "}")


def resolve(name: str, empty: str, clock: Callable[[], float] = time.monotonic) -> str | Expand:
    """The text of a placeholder that is the same for all exchanges, or a function of the exchange."""
    if name in _CONSTANTS:
        return _CONSTANTS[name]()
    if name in _OF_TLS:
        return empty
    if name in _URL_PARTS:
        return _URL_PARTS[name]
    if name in _ELAPSED:
        return _elapsed(_ELAPSED[name], clock)
    getter = _VALUES.get(name)
    if getter is None and name[:1] in _PREFIXES:
        getter = _PREFIXES[name[0]](name[1:])
    elif getter is None and (label := _LABEL.fullmatch(name)):
        getter = _host_label(int(label[1]))
    return empty if getter is None else _or_empty(getter, empty)


def wire_text(text: str) -> str:
    """Text of our own or of the configuration as wire text."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("latin-1")


def _wire_bytes(name: str) -> bytes:
    """The bytes of a name in a template; one that is not wire text matches nothing that could be sent."""
    return name.encode("latin-1", "backslashreplace")


def _or_empty(getter: Getter, empty: str) -> Expand:
    def expand(subject: Subject) -> str:
        value = getter(subject)
        return empty if value is None else value

    return expand


def _merge(pieces: list[str | Expand]) -> list[str | Expand]:
    """Neighbouring constants become one, empty ones vanish."""
    merged: list[str | Expand] = []
    for piece in pieces:
        last = merged[-1] if merged else None
        if isinstance(piece, str) and isinstance(last, str):
            merged[-1] = last + piece
        elif piece:
            merged.append(piece)
    return merged


def _join(pieces: list[str | Expand]) -> Expand:
    if not pieces:
        return lambda subject: ""
    if len(pieces) == 1:
        only = pieces[0]
        return (lambda subject: only) if isinstance(only, str) else only
    skeleton = [piece if isinstance(piece, str) else "" for piece in pieces]
    gaps = [(at, piece) for at, piece in enumerate(pieces) if not isinstance(piece, str)]

    def expand(subject: Subject) -> str:
        parts = skeleton.copy()
        for at, piece in gaps:
            parts[at] = piece(subject)
        return "".join(parts)

    return expand


# -- the host


def _split_host(host: str) -> tuple[str, str]:
    """Name and port of a Host field as Go's SplitHostPort reads it; what it would refuse is all name."""
    name, colon, port = host.rpartition(":")
    if not colon:
        return host, ""
    if host.startswith("["):
        return (name[1:-1], port) if name.endswith("]") else (host, "")
    return (host, "") if ":" in name else (name, port)


def _host_name(subject: Subject) -> str | None:
    return _split_host(subject.host)[0] or None


def _server_port(subject: Subject) -> str:
    return _split_host(subject.host)[1] or ("443" if subject.scheme == "https" else "80")


def _host_label(number: int) -> Getter:
    def label(subject: Subject) -> str | None:
        labels = subject.host.split(".", number)
        return labels[number - 1] or None if number <= len(labels) else None

    return label


# -- the URL


def _path(target: bytes) -> str:
    return unquote_to_bytes(target.partition(b"?")[0]).decode("latin-1")


def _query(target: bytes) -> str:
    return target.partition(b"?")[2].decode("latin-1")


def _file(target: bytes) -> str:
    return _path(target).rpartition("/")[2]


def _folder(target: bytes) -> str:
    return "".join(_path(target).rpartition("/")[:2])


def _escape(text: str) -> str:
    """Query-escaped: "/" is %2F, a space is "+"."""
    return quote_plus(text, safe="", encoding="latin-1")


def _argument(name: str) -> Getter:
    """First query argument of that name, in the rewritten URL; "" if there is none."""
    wanted = _wire_bytes(name)

    def argument(subject: Subject) -> str:
        for pair in subject.rewrite_target.partition(b"?")[2].split(b"&"):
            key, _, value = pair.partition(b"=")
            if unquote_to_bytes(key.replace(b"+", b" ")) == wanted:
                return unquote_to_bytes(value.replace(b"+", b" ")).decode("latin-1")
        return ""

    return argument


# -- fields and cookies


def _request_field(name: str) -> Getter:
    wanted = _field_name(name)

    def field(subject: Subject) -> str | None:
        value = subject.field(wanted)
        return None if value is None else value.decode("latin-1")

    return field


def _response_field(name: str) -> Getter:
    wanted = _field_name(name)

    def field(subject: Subject) -> str | None:
        value = subject.response_field(wanted)
        return None if value is None else value.decode("latin-1")

    return field


def _field_name(name: str) -> bytes:
    return _wire_bytes(name).lower()


def _cookie(name: str) -> Getter:
    """The first cookie of that name, without the double quotes around its value (RFC 6265 section 4.1.1)."""
    wanted = _wire_bytes(name)

    def cookie(subject: Subject) -> str | None:
        for pair in (subject.field(b"cookie") or b"").split(b";"):
            key, equals, value = pair.strip(b" \t").partition(b"=")
            if equals and key == wanted:
                if len(value) > 1 and value.startswith(b'"') and value.endswith(b'"'):
                    value = value[1:-1]
                return value.decode("latin-1")
        return None

    return cookie


# -- time, and the request as a whole


def _elapsed(form: Callable[[float], str], clock: Callable[[], float]) -> Expand:
    def elapsed(subject: Subject) -> str:
        return form((subject.finished or clock()) - subject.started)

    return elapsed


def _request(subject: Subject) -> str:
    return _on_one_line(subject.request_head())


def _request_body(subject: Subject) -> str | None:
    return _on_one_line(subject.request_body()) or None


def _on_one_line(data: bytes) -> str:
    return data.decode("latin-1").replace("\r", "\\r").replace("\n", "\\n")


_CHANGING = frozenset(
    (
        *(
            "latency",
            "latency_ms",
            "when",
            "when_iso",
            "when_iso_local",
            "when_unix",
            "when_unix_ms",
            "request_id",
        ),
        *("request_body", "status", "size", "attempts", "retries", "failure", "queue_ms"),
    )
)


def is_stable(template: Template) -> bool:
    """Whether requests with one head, from one peer, to one backend all get the same text."""
    return not any(name in _CHANGING or name.startswith("<") for name in template.names)


_CONSTANTS: dict[str, Callable[[], str]] = {
    "hostname": lambda: wire_text(os.uname().nodename),
    # Nothing here can tell an intercepted connection from another one; v1's word for that.
    "mitm": lambda: "unknown",
    # A target with "#" is refused, so there is never a fragment.
    "fragment": lambda: "",
}

_OF_TLS = frozenset(
    (
        *("tls_protocol", "tls_cipher", "tls_client_escaped_cert", "tls_client_fingerprint"),
        *("tls_client_i_dn", "tls_client_raw_cert", "tls_client_s_dn", "tls_client_serial"),
        *("tls_client_v_end", "tls_client_v_remain", "tls_client_v_start"),
    )
)
"""Empty for a client without TLS, and no site is served over TLS in this release."""

_ELAPSED: dict[str, Callable[[float], str]] = {
    "latency": lambda seconds: wire_text(duration(seconds)),
    "latency_ms": lambda seconds: str(whole_ms(seconds)),
}

_URL_PARTS: dict[str, Expand] = {
    "path": lambda s: _path(s.target),
    "path_escaped": lambda s: _escape(_path(s.target)),
    "query": lambda s: _query(s.target),
    "query_escaped": lambda s: _escape(_query(s.target)),
    "uri": lambda s: s.target.decode("latin-1"),
    "uri_escaped": lambda s: _escape(s.target.decode("latin-1")),
    "rewrite_path": lambda s: _path(s.rewrite_target),
    "rewrite_path_escaped": lambda s: _escape(_path(s.rewrite_target)),
    "rewrite_uri": lambda s: s.rewrite_target.decode("latin-1"),
    "rewrite_uri_escaped": lambda s: _escape(s.rewrite_target.decode("latin-1")),
    "file": lambda s: _file(s.rewrite_target),
    "dir": lambda s: _folder(s.rewrite_target),
    "request_id": lambda s: s.request_id,
}
"""Those that are "" when they are empty, in logs as well (v1)."""

_VALUES: dict[str, Getter] = {
    "method": lambda s: s.method.decode("latin-1") or None,
    "proto": lambda s: s.version.decode("latin-1") or None,
    "scheme": lambda s: s.scheme or None,
    "host": lambda s: s.host or None,
    "hostonly": _host_name,
    "server_port": _server_port,
    "remote": lambda s: s.peer or None,
    "port": lambda s: str(s.peer_port) if s.peer_port else None,
    "client_ip": lambda s: s.client_ip or None,
    "user": lambda s: s.user or None,
    "request": _request,
    REQUEST_BODY: _request_body,
    "when": lambda s: _common_seconds[int(s.wall)],
    "when_iso": lambda s: _utc_seconds[int(s.wall)] + "Z",
    "when_iso_local": lambda s: _local_seconds[int(s.wall)],
    "when_unix": lambda s: str(int(s.wall)),
    "when_unix_ms": lambda s: str(int(s.wall * 1000)),
    "status": lambda s: str(s.status) if s.status else None,
    "size": lambda s: str(s.size),
    "upstream": lambda s: None if s.upstream is None else wire_text(s.upstream),
    "attempts": lambda s: str(s.attempts),
    "retries": lambda s: str(max(0, s.attempts - 1)),
    "failure": lambda s: s.failure,
    "queue_ms": lambda s: str(s.queue_ms),
}

_PREFIXES: dict[str, Callable[[str], Getter]] = {
    ">": _request_field,
    "<": _response_field,
    "~": _cookie,
    "?": _argument,
}
