"""The process log: what happens to the process, one event per line, as text or json.

    2026-01-31T12:00:00.123Z ERROR attempt failed backend=http://127.0.0.1:9000 failure=connect
    {"ts":"2026-01-31T12:00:00.123Z","level":"ERROR","what":"attempt failed","backend":...}

Lines are written at once and never make the process wait. The same error again and again (same `what`, same
`key`) is cut to a few lines per period. How many were held back is told by the next one of its kind
(`suppressed=N`) or, if there is none, by a line of its own.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii
from typing import Literal, Protocol, TextIO

from posthouse.errors import StartError
from posthouse.observe.output import Output
from posthouse.observe.timestamps import MILLISECONDS, Seconds, iso_utc

Format = Literal["text", "json"]
Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `lines` lines in any period of `seconds` that begins with the first of them."""

    lines: int
    seconds: float


ERRORS = Limit(5, 10.0)
"""For errors: enough to see that the first few differ, too few for a dead backend to fill a disk."""
ONCE_A_MINUTE = Limit(1, 60.0)

_MOST_KEYS = 1024
"""Kinds of events counted at a time; a key may come from the wire, so their number needs an end."""
_BARE = re.compile(r"[!#-\[\]-~]+")
_UNPRINTABLE = re.compile(r"[^ -~]")

_NOTHING: Mapping[str, object] = {}

_utc_seconds = Seconds(iso_utc)


class Count:
    """What was let through and held back of one kind of event since `began`."""

    __slots__ = ("began", "held", "limit", "passed")

    def __init__(self, began: float, limit: Limit) -> None:
        self.began = began
        self.limit = limit
        self.passed = 0
        self.held = 0


class Throttle:
    """The rule of rate-limited lines; time is handed in."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], Count] = {}

    @property
    def is_full(self) -> bool:
        """Whether it is time to forget."""
        return len(self._counts) >= _MOST_KEYS

    def admit(self, what: str, key: str, limit: Limit, now: float) -> int | None:
        """None = hold this line back; else write it, with the number of those held back before it."""
        count = self._counts.get((what, key))
        held = 0
        if count is None or now - count.began >= count.limit.seconds:
            held = count.held if count else 0
            count = self._counts[what, key] = Count(now, limit)
        if count.passed >= limit.lines:
            count.held += 1
            return None
        count.passed += 1
        return held

    def take_ended(self, now: float) -> list[tuple[str, str, int]]:
        """Forget what ended its period, or all if full; (what, key, held) where lines were held back."""
        ended = [
            (name, count)
            for name, count in list(self._counts.items())
            if self.is_full or now - count.began >= count.limit.seconds
        ]
        for name, _ in ended:
            del self._counts[name]
        return [(*name, count.held) for name, count in ended if count.held]

    def take_held(self) -> list[tuple[str, str, int]]:
        """(what, key, held) of everything held back so far; those counts start again at 0."""
        held = []
        for name, count in list(self._counts.items()):
            if count.held:
                held.append((*name, count.held))
                count.held = 0
        return held


class _Sink(Protocol):
    lost: int

    def send(self, lines: bytes) -> bool: ...
    def reopen(self) -> None: ...
    def close(self) -> None: ...


class _Stream:
    """A text stream handed in (by an embedding program or a test) in the place of an `Output`."""

    __slots__ = ("_stream", "lost")

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost = 0

    def send(self, lines: bytes) -> bool:
        if lines:
            self._stream.write(lines.decode("ascii"))
        self._stream.flush()
        return True

    def reopen(self) -> None:
        """A stream is not ours to reopen."""

    def close(self) -> None:
        self._stream.flush()


class ProcessLog:
    """Where the process tells what happens to it.

    output  a path, "stdout", "stderr", an open text stream, or an `Output`; StartError if it cannot be opened
    format  "text" or "json"
    about   fields at the end of every line: whose line it is, where several processes write to one log

    `what` is a fixed short phrase; what varies goes into fields (str, int, float, bool, None; anything else
    is shown by str()). A field must not be called `what`, `key`, `limit`, `ts` or `level`.
    """

    __slots__ = ("_about", "_clock", "_format", "_next_sweep", "_sink", "_throttle", "_wall")

    def __init__(
        self,
        output: str | TextIO | Output = "stderr",
        format: Format = "text",
        *,
        about: Mapping[str, object] = _NOTHING,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sink = _open(output)
        self._format = format
        self._about = about
        self._wall = wall
        self._clock = clock
        self._throttle = Throttle()
        self._next_sweep = clock() + ERRORS.seconds

    def info(self, what: str, *, key: str | None = None, limit: Limit = ERRORS, **fields: object) -> None:
        """Something expected happened. Rate-limited only if `key` is given."""
        self._log("INFO", what, key, limit, fields)

    def warn(self, what: str, *, key: str | None = None, limit: Limit = ERRORS, **fields: object) -> None:
        """Something deserves a look. Rate-limited only if `key` is given."""
        self._log("WARN", what, key, limit, fields)

    def error(self, what: str, *, key: str = "", limit: Limit = ERRORS, **fields: object) -> None:
        """Something failed. Rate-limited by `what` and `key` (the backend, the path, ...; not printed)."""
        self._log("ERROR", what, key, limit, fields)

    def begin_trouble(self, what: str, *, key: str, limit: Limit, **fields: object) -> bool:
        """As `error`; False: it was held back, and its end is no news either."""
        return self._log("ERROR", what, key, limit, fields)

    def flush(self) -> None:
        """Write what is kept, and how many lines were held back. For signal and exit paths: never waits."""
        for what, key, held in self._throttle.take_held():
            self._write_held(what, key, held)
        self._sink.send(b"")

    def reopen(self) -> None:
        """Open the path anew after a rename; if that fails, go on with the old file and say so there."""
        try:
            self._sink.reopen()
        except OSError as error:
            self.error("process log not reopened", error=error.strerror or str(error))

    def close(self) -> None:
        """`flush`, then close; waits at most a second for a slow reader. Idempotent."""
        self.flush()
        self._sink.close()

    def _log(self, level: str, what: str, key: str | None, limit: Limit, fields: dict[str, object]) -> bool:
        now = self._clock()
        held = 0 if key is None else self._throttle.admit(what, key, limit, now)
        if now >= self._next_sweep or self._throttle.is_full:
            self._sweep(now)
        if held is None:
            return False
        if held:
            fields["suppressed"] = held
        self._write(level, what, fields)
        return True

    def _sweep(self, now: float) -> None:
        self._next_sweep = now + ERRORS.seconds
        for what, key, held in self._throttle.take_ended(now):
            self._write_held(what, key, held)

    def _write_held(self, what: str, key: str, held: int) -> None:
        self._write("WARN", "lines suppressed", {"line": what, "about": key, "suppressed": held})

    def _write(self, level: str, what: str, fields: dict[str, object]) -> None:
        second, ms = divmod(int(self._wall() * 1000), 1000)
        ts = _utc_seconds[second] + MILLISECONDS[ms]
        values = {name: _value(value) for name, value in {**fields, **self._about}.items()}
        if self._format == "json":
            line = json.dumps({"ts": ts, "level": level, "what": what, **values}, separators=(",", ":"))
        else:
            pairs = "".join(f" {name}={_show(value)}" for name, value in values.items())
            line = f"{ts} {level} {_UNPRINTABLE.sub(_escaped, what)}{pairs}"
        if self._sink.send(line.encode("ascii") + b"\n") and self._sink.lost:
            lost, self._sink.lost = self._sink.lost, 0
            self._write("WARN", "process log lost lines", {"lost": lost})


def _open(output: str | TextIO | Output) -> _Sink:
    if isinstance(output, Output):
        return output
    if not isinstance(output, str):
        return _Stream(output)
    try:
        return Output(output)
    except OSError as error:
        raise StartError(f"cannot open the process log {output}: {error.strerror or error}") from error


def _value(value: object) -> Value:
    """A value that both formats can show."""
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else str(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return str(value)


def _show(value: Value) -> str:
    """The text format: bare where that is unambiguous, else a JSON string."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value if _BARE.fullmatch(value) else encode_basestring_ascii(value)
    return str(value)


def _escaped(found: re.Match[str]) -> str:
    return encode_basestring_ascii(found[0])[1:-1]
