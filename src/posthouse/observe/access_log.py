"""The access log: one exchange, one line, written in batches.

A line is built per exchange, so this is counted in nanoseconds. The whole line is put together first and
looked at once: deleting every harmless byte from it must leave exactly the blanks and quotes of the format.
If anything else is left, a value holds something that needs escaping (or breaks the format), and the line
is built again with every value escaped.

common, combined: `"`, `\\`, controls and everything outside ASCII become \\xHH, as in nginx, so that a line
never holds a quote that is not the format's own, whoever parses it. json: JSON strings, pure ASCII; a byte
over 0x7F is the code point of the same number.
"""

from __future__ import annotations

from collections.abc import Callable
from json.encoder import encode_basestring_ascii as _quoted
from typing import Protocol

from posthouse.errors import StartError
from posthouse.observe.output import Output
from posthouse.observe.process_log import ONCE_A_MINUTE, ProcessLog
from posthouse.observe.record import Subject
from posthouse.observe.timestamps import MILLISECONDS, Seconds, common_time_bytes, iso_utc, whole_ms

Line = Callable[[Subject], bytes]
"""A finished exchange to its line, with the newline."""

FLUSH_BYTES = 64 * 1024
"""A batch is written when it has this many bytes: one system call for some 500 lines."""
FLUSH_SECONDS = 0.5
"""... or after this time, so that `tail -f` is of use."""

_HARMLESS = bytes(byte for byte in range(0x21, 0x7F) if byte not in b'"\\')
_HARMLESS_OR_BLANK = _HARMLESS + b" "
_COMMON_REST = b'     "  "  '
"""What is left of a well-formed `remote - user [date zone] "method uri proto" status size`."""
_COMBINED_REST = b'""""\n'
_ESCAPED = [bytes([byte]) if byte in _HARMLESS_OR_BLANK else b"\\x%02X" % byte for byte in range(256)]
"""What each byte becomes: one look-up per byte. A pattern with a replacement function takes over ten times as
long, which for a field of 64 KiB of controls is a lever for whoever sends it."""

_seconds = Seconds(common_time_bytes)
_utc_seconds = Seconds(iso_utc)


def compile_line(format: str) -> Line:
    """The line function of a format: "common", "combined" or "json"; ValueError for another."""
    line = _LINES.get(format)
    if line is None:
        raise ValueError(f"unknown access log format {format!r}")
    return line


def _common(subject: Subject) -> bytes:
    return _common_head(subject) + b"\n"


def _combined(subject: Subject) -> bytes:
    referer = subject.field(b"referer")
    agent = subject.field(b"user-agent")
    tail = b' "%b" "%b"\n' % (b"-" if referer is None else referer, b"-" if agent is None else agent)
    if tail.translate(None, _HARMLESS_OR_BLANK) != _COMBINED_REST:
        tail = b' "%b" "%b"\n' % (_text(referer), _text(agent))
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
    return b"".join(map(_ESCAPED.__getitem__, value)).replace(b" ", b"\\x20") or b"-"


def _text(value: bytes | None) -> bytes:
    """Escaped, for use between quotes; "-" if absent."""
    return b"-" if value is None else b"".join(map(_ESCAPED.__getitem__, value))


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


_LINES: dict[str, Line] = {"common": _common, "combined": _combined, "json": _json}


class Cancellable(Protocol):
    """What `call_later` returns."""

    def cancel(self) -> None:
        """The callback will not be called."""


class CallLater(Protocol):
    """`loop.call_later`, or a fake clock's."""

    def __call__(self, delay: float, callback: Callable[[], object], /) -> Cancellable:
        """Call `callback` once, `delay` seconds from now."""


class AccessLog:
    """Lines to one file, stdout or stderr.

    `write` only gathers; the batch goes out at FLUSH_BYTES, after FLUSH_SECONDS, at `reopen` and at
    `close`. A crash loses at most the batch. Nothing here raises or waits because of the output: a full
    disk, a closed pipe or a slow reader is reported to the process log once a minute, lines are kept up to
    a limit and then counted. Raises StartError when the output cannot be opened. To be used from the event
    loop's thread.
    """

    __slots__ = ("_call_later", "_has_trouble", "_lines", "_output", "_process_log", "_size", "_timer")

    def __init__(self, output: str, call_later: CallLater, process_log: ProcessLog) -> None:
        try:
            self._output = Output(output)
        except OSError as error:
            raise StartError(f"cannot open the access log {output}: {error.strerror or error}") from error
        self._call_later = call_later
        self._process_log = process_log
        self._lines: list[bytes] = []
        self._size = 0
        self._timer: Cancellable | None = None
        self._has_trouble = False

    def __repr__(self) -> str:
        return f"<AccessLog {self._output.name} pending={self._size}>"

    @property
    def name(self) -> str:
        """The output as it was given."""
        return self._output.name

    def write(self, line: bytes) -> None:
        """Take one line (newline included)."""
        self._lines.append(line)
        self._size += len(line)
        if self._size >= FLUSH_BYTES:
            self.flush()
        elif self._timer is None:
            self._timer = self._call_later(FLUSH_SECONDS, self._on_timer)

    def flush(self) -> None:
        """Hand the batch to the output now."""
        batch = b"".join(self._lines)
        self._lines.clear()
        self._size = 0
        if not self._output.send(batch) or self._has_trouble:
            self._report()

    def reopen(self) -> None:
        """Open the path anew after the file was renamed; what was gathered before still goes to the old file.

        If it cannot be opened the old file is kept and the process log says so.
        """
        self.flush()
        try:
            self._output.reopen()
        except OSError as error:
            self._process_log.error(
                "access log not reopened", key=self.name, path=self.name, error=error.strerror or str(error)
            )

    def close(self) -> None:
        """Write everything and close; waits at most a second for a slow reader. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.flush()
        self._output.close()
        if self._output.lost:
            self._process_log.error(
                "access log lost lines", key=self.name, path=self.name, lost=self._output.lost
            )
            self._output.lost = 0
        self._has_trouble = False

    def _on_timer(self) -> None:
        self._timer = None
        self.flush()
        if self._output.is_behind:
            self._timer = self._call_later(FLUSH_SECONDS, self._on_timer)

    def _report(self) -> None:
        output = self._output
        if output.problem:
            self._has_trouble = True
            self._process_log.error(
                "access log not written",
                key=output.name,
                limit=ONCE_A_MINUTE,
                path=output.name,
                error=output.problem,
                lost=output.lost,
            )
            return
        self._has_trouble = False
        self._process_log.info("access log written again", path=output.name, lost=output.lost)
        output.lost = 0
