"""Durations and sizes as a Caddyfile writes them. Durations are Go's, sizes count in powers of 1024."""

from __future__ import annotations

import re

NO_LIMIT = (1 << 63) - 1
"""A size or count that no exchange reaches: what `off` means where a number is needed."""

_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,  # micro sign
    "μs": 1e-6,  # Greek mu; Go takes both
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([^0-9.]*)")
_LONGEST = float((1 << 63) - 1) * 1e-9
"""Go counts nanoseconds in 63 bits: about 292 years."""

_SIZE = re.compile(r"([0-9]{1,19})([a-z]*)", re.IGNORECASE)
_BYTES = {"": 1, "b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}


def parse_duration(text: str) -> float:
    """Seconds of a Go duration: `250ms`, `1h1.5m`, `-3s`, bare `0`. ValueError says what is wrong."""
    sign = -1.0 if text.startswith("-") else 1.0
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0.0
    if not rest:
        raise ValueError("it is empty")
    total = 0.0
    at = 0
    while at < len(rest):
        part = _PART.match(rest, at)
        if part is None:
            raise ValueError("it is not a number with a unit")
        total += float(part[1]) * _unit(part[1], part[2])
        at = part.end()
    if total > _LONGEST:
        raise ValueError("it is longer than 292 years")
    return sign * round(total, 9)


def _unit(number: str, unit: str) -> float:
    if not unit:
        raise ValueError(f"a unit is missing (`{number}s`, `{number}ms`, `{number}m`?)")
    seconds = _SECONDS.get(unit)
    if seconds is None:
        hint = f"; write `{_days_in_hours(number)}h`" if unit == "d" else ""
        raise ValueError(f"`{unit}` is no unit; the units are ns us ms s m h{hint}")
    return seconds


def _days_in_hours(number: str) -> str:
    return f"{float(number) * 24:g}"


def parse_size(text: str) -> int:
    """Bytes of a size: `64KB`, `1mb`, `3500`. Units B KB MB GB in any case. ValueError says what is wrong."""
    match = _SIZE.fullmatch(text)
    if match is None or not text.isascii():
        raise ValueError("it is not a whole number with a unit B, KB, MB or GB")
    factor = _BYTES.get(match[2].lower())
    if factor is None:
        raise ValueError(f"`{match[2]}` is no unit; the units are B KB MB GB")
    size = int(match[1]) * factor
    if size > NO_LIMIT:
        raise ValueError("it is larger than any file can be")
    return size


def parse_count(text: str) -> int:
    """A whole number in ASCII digits with an optional sign. ValueError otherwise."""
    if re.fullmatch(r"[+-]?[0-9]{1,18}", text) is None:
        raise ValueError("only digits can be in it")
    return int(text)


def parse_percent(text: str) -> float:
    """`20%`, `12.5%` or `20`. ValueError otherwise."""
    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?%?", text) is None:
        raise ValueError("only digits, a point and `%` can be in it")
    return float(text.removesuffix("%"))
