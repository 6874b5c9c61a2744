"""Lines of the access log: one exchange, one line.

A line is built per exchange, so this is counted in nanoseconds. The whole line is put together first and
looked at once: deleting every harmless byte from it must leave exactly the odd ones of the format. If
anything else is left, a value holds something that needs escaping (or breaks the format), and the line is
built again with every value escaped.

common, combined, and formats of the user's own: `"`, `\\`, controls and everything outside ASCII become
\\xHH, as in nginx, so that a line never holds a quote that is not the format's own, whoever parses it. json:
JSON strings, pure ASCII; a byte over 0x7F is the code point of the same number.
"""

from __future__ import annotations

from collections.abc import Callable
from json.encoder import encode_basestring_ascii as _quoted

from posthouse.observe.placeholders import REQUEST_BODY, Expand, resolve, split_template, wire_text
from posthouse.observe.record import Subject
from posthouse.observe.timestamps import MILLISECONDS, Seconds, common_time_bytes, iso_utc, whole_ms

Line = Callable[[Subject], bytes]
"""A finished exchange to its line, with the newline."""

_HARMLESS = bytes(byte for byte in range(0x21, 0x7F) if byte not in b'"\\')
_HARMLESS_OR_BLANK = _HARMLESS + b" "
_COMMON_REST = b'     "  "  '
"""What is left of a well-formed `remote - user [date zone] "method uri proto" status size`."""
_COMBINED_REST = b'""""'
_ESCAPED = [bytes([byte]) if byte in _HARMLESS_OR_BLANK else b"\\x%02X" % byte for byte in range(256)]
"""What each byte becomes: one look-up per byte. A pattern with a replacement function takes over ten times as
long, which for a field of 64 KiB of controls is a lever for whoever sends it."""

_EASILY_ESCAPED = (b"\\", b'"', b"\t", b"\r", b"\n")
"""The backslash first. A JSON body of 100 KiB has no other odd bytes, and a few replacements are 30 times as quick."""
_EASY = _HARMLESS_OR_BLANK + b"".join(_EASILY_ESCAPED)

_seconds = Seconds(common_time_bytes)
_utc_seconds = Seconds(iso_utc)


def compile_line(format: str) -> Line:
    """The line function of "common", "combined", "json", or of a template that holds no line break.

    In a template `{common}` and `{combined}` stand for what those formats write.
    """
    return _LINES.get(format) or _compile_template(format)


def _common(subject: Subject) -> bytes:
    return _common_head(subject) + b"\n"


def _combined(subject: Subject) -> bytes:
    return _combined_head(subject) + b"\n"


def _combined_head(subject: Subject) -> bytes:
    """The combined line without its newline."""
    referer = subject.field(b"referer")
    agent = subject.field(b"user-agent")
    tail = b' "%b" "%b"' % (b"-" if referer is None else referer, b"-" if agent is None else agent)
    if tail.translate(None, _HARMLESS_OR_BLANK) != _COMBINED_REST:
        tail = b' "%b" "%b"' % (_text(referer), _text(agent))
    return _common_head(subject) + tail


def _common_head(subject: Subject) -> bytes:
    """The common line without its newline."""
    head = b'%b - %b [%b] "%b %b %b" %d %d' % (
        subject.peer.encode("latin-1", "backslashreplace") or b"-",
        subject.user.encode("latin-1", "backslashreplace") or b"-",
        _seconds[int(subject.wall)],
        subject.method or b"-",
        subject.target or b"-",
        subject.version or b"-",
        subject.status,
        subject.size,
    )
    if head.translate(None, _HARMLESS) == _COMMON_REST:
        return head
    return b'%b - %b [%b] "%b %b %b" %d %d' % (
        _word(subject.peer.encode("latin-1", "backslashreplace")),
        _word(subject.user.encode("latin-1", "backslashreplace")),
        _seconds[int(subject.wall)],
        _word(subject.method),
        _word(subject.target),
        _word(subject.version),
        subject.status,
        subject.size,
    )


def _word(value: bytes) -> bytes:
    """Escaped, without a blank; "-" if empty: a column must not vanish or become two."""
    return escaped(value).replace(b" ", b"\\x20") or b"-"


def _text(value: bytes | None) -> bytes:
    """Escaped, for use between quotes; "-" if absent."""
    return b"-" if value is None else escaped(value)


def _dump(value: bytes) -> bytes:
    """Escaped, but CR and LF shown as `\\r` and `\\n`, as v1 shows them; a backslash of the value is \\x5C."""
    return escaped(value).replace(b"\\x0D", b"\\r").replace(b"\\x0A", b"\\n")


def escaped(value: bytes) -> bytes:
    """`"`, `\\`, controls and everything outside ASCII as \\xHH: printable ASCII that stands between quotes."""
    if value.translate(None, _EASY):
        return b"".join(map(_ESCAPED.__getitem__, value))
    for byte in _EASILY_ESCAPED:
        value = value.replace(byte, _ESCAPED[byte[0]])
    return value


def _json(subject: Subject) -> bytes:
    """The keys of the json log in their order; absent is null."""
    second, ms = divmod(int(subject.wall * 1000), 1000)
    host, request_id = subject.host, subject.request_id
    peer, client_ip = subject.peer, subject.client_ip
    upstream, failure = subject.upstream, subject.failure
    method, target, version = subject.method, subject.target, subject.version
    referer = subject.field(b"referer")
    agent = subject.field(b"user-agent")
    finished = subject.finished
    return (
        f'{{"ts":"{_utc_seconds[second]}{MILLISECONDS[ms]}",'
        f'"site":{_quoted(subject.site) if subject.site else "null"},'
        f'"peer":{_quoted(peer) if peer else "null"},'
        f'"client_ip":{_quoted(client_ip) if client_ip else "null"},'
        f'"method":{_quoted(method.decode("latin-1")) if method else "null"},'
        f'"host":{_quoted(host) if host else "null"},'
        f'"uri":{_quoted(target.decode("latin-1")) if target else "null"},'
        f'"proto":{_quoted(version.decode("latin-1")) if version else "null"},'
        f'"status":{subject.status or "null"},'
        f'"size":{subject.size},'
        f'"latency_ms":{whole_ms(finished - subject.started) if finished else "null"},'
        f'"upstream":{_quoted(upstream) if upstream else "null"},'
        f'"attempts":{subject.attempts},'
        f'"failure":{_quoted(failure) if failure else "null"},'
        f'"request_id":{_quoted(request_id) if request_id else "null"},'
        f'"referer":{"null" if referer is None else _quoted(referer.decode("latin-1"))},'
        f'"user_agent":{"null" if agent is None else _quoted(agent.decode("latin-1"))}}}\n'
    ).encode("ascii")


# -- formats of the user's own


def _compile_template(format: str) -> Line:
    parts: list[Line] = []
    literals: list[str] = []
    gaps: list[tuple[int, Expand, Escape]] = []
    for literal, name in split_template(wire_text(format) + "\n"):
        literals.append(literal)
        if name in _WHOLE:
            parts += [_part(literals, gaps), _WHOLE[name]]
            literals, gaps = [], []
        elif name is not None:
            value = _DUMPS.get(name) or resolve(name, "-")
            if isinstance(value, str):
                literals.append(value)
            else:
                gaps.append((len(literals), value, _ESCAPES.get(name, _text)))
                literals.append("")
    parts.append(_part(literals, gaps))
    if len(parts) == 1:
        return parts[0]
    return lambda subject: b"".join([part(subject) for part in parts])


def _part(literals: list[str], gaps: list[tuple[int, Expand, Escape]]) -> Line:
    """Text with values in its gaps."""
    rest = "".join(literals).encode("latin-1").translate(None, _HARMLESS_OR_BLANK)
    words = [at for at, _, escape in gaps if escape is _word]

    def part(subject: Subject) -> bytes:
        values = literals.copy()
        for at, expand, _ in gaps:
            values[at] = expand(subject)
        line = "".join(values).encode("latin-1", "backslashreplace")
        if line.translate(None, _HARMLESS_OR_BLANK) == rest:
            for at in words:
                if " " in values[at]:
                    break
            else:
                return line
        pieces = [value.encode("latin-1", "backslashreplace") for value in values]
        for at, _, escape in gaps:
            pieces[at] = escape(pieces[at])
        return b"".join(pieces)

    return part


def _raw_body(subject: Subject) -> str:
    return subject.request_body().decode("latin-1") or "-"


Escape = Callable[[bytes], bytes]
_DUMPS: dict[str, Expand] = {
    "request": lambda subject: subject.request_head().decode("latin-1"),
    REQUEST_BODY: _raw_body,
}
"""Values of several lines, as they are: so that `\\r` and `\\n` can be told from backslashes that were sent."""
_ESCAPES: dict[str, Escape] = {"request": _dump, REQUEST_BODY: _dump, "user": _word}
"""Others than `_text`. Of the columns of common the user alone can hold a blank: the parser takes none in the rest."""
_WHOLE: dict[str | None, Line] = {"common": _common_head, "combined": _combined_head}
_LINES: dict[str, Line] = {"common": _common, "combined": _combined, "json": _json}
