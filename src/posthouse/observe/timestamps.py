"""Points in time and durations as text, for logs and placeholders.

Formatting a second costs microseconds and a busy proxy needs the same second thousands of times, so whole
seconds are remembered. Month names are ours and not the locale's: a log file must not change its language.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T", str, bytes)

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_REMEMBERED = 64
"""Entries kept: a line has the time at which its exchange began, so several seconds are in use at a time."""

MILLISECONDS = tuple(f".{n:03d}Z" for n in range(1000))
"""The tail of a UTC time with milliseconds: a look-up is a tenth of the cost of formatting."""


class Seconds(dict[int, T], Generic[T]):
    """Text of a whole second since the epoch: `seconds[int(wall)]`, formatted once and remembered."""

    __slots__ = ("_form",)

    def __init__(self, form: Callable[[int], T]) -> None:
        super().__init__()
        self._form: Callable[[int], T] = form

    def __missing__(self, second: int) -> T:
        if len(self) >= _REMEMBERED:
            self.clear()
        text: T = self._form(second)
        self[second] = text
        return text


def common_time(second: int) -> str:
    """`31/Jan/2026:12:00:00 +0100`, local time."""
    t = time.localtime(second)
    offset = t.tm_gmtoff
    sign = "-" if offset < 0 else "+"
    hours, minutes = divmod(abs(offset) // 60, 60)
    day = f"{t.tm_mday:02d}/{_MONTHS[t.tm_mon - 1]}/{t.tm_year:04d}"
    return f"{day}:{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d} {sign}{hours:02d}{minutes:02d}"


def common_time_bytes(second: int) -> bytes:
    """`common_time` as ASCII."""
    return common_time(second).encode("ascii")


def syslog_time(second: int) -> str:
    """`Jan  1 12:00:00`, local time (RFC 3164 4.1.2)."""
    t = time.localtime(second)
    return f"{_MONTHS[t.tm_mon - 1]} {t.tm_mday:2d} {t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d}"


def iso_local(second: int) -> str:
    """`2026-01-31T12:00:00`, local time without a zone."""
    return _iso(time.localtime(second))


def iso_utc(second: int) -> str:
    """`2026-01-31T11:00:00`, UTC, with neither fraction nor "Z"."""
    return _iso(time.gmtime(second))


def _iso(t: time.struct_time) -> str:
    return f"{t.tm_year:04d}-{t.tm_mon:02d}-{t.tm_mday:02d}T{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d}"


def whole_ms(seconds: float) -> int:
    """Milliseconds, rounded half up, never negative."""
    return int(seconds * 1000 + 0.5) if seconds > 0 else 0


def duration(seconds: float) -> str:
    """A duration as v1 prints it (Go's form): "0s", "532µs", "15ms", "1.234s", "1m2.5s", "1h0m0s".

    Rounded to milliseconds, below one millisecond to microseconds, below one microsecond to nanoseconds.
    """
    if seconds <= 0:
        return "0s"
    ns = int(seconds * 1e9 + 0.5)
    if ns < 1_000:
        return f"{ns}ns" if ns else "0s"
    if ns < 1_000_000:
        us = (ns + 500) // 1_000
        return f"{us}µs" if us < 1_000 else "1ms"
    ms = (ns + 500_000) // 1_000_000
    if ms < 1_000:
        return f"{ms}ms"
    minutes, ms = divmod(ms, 60_000)
    tail = f"{ms / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if not minutes:
        return tail
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{tail}" if hours else f"{minutes}m{tail}"
