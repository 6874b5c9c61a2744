"""Range: which parts of a file are wanted (RFC 9110 14)."""

from __future__ import annotations

import re
from typing import Final

MOST_RANGES: Final = 16
"""Parts of one answer; a request for more gets the whole file, as RFC 9110 14.2 and 17.15 advise. Viewers of PDF files
ask for a handful."""
_SPEC: Final = re.compile(rb"[ \t]*(?:([0-9]{1,18})-([0-9]{1,18})?|-([0-9]{1,18}))[ \t]*")

Part = tuple[int, int]
"""First byte, and the one after the last."""


def parse_ranges(value: bytes, length: int) -> list[Part] | None:
    """The parts of `length` bytes that a Range field wants, in the order asked for.

    None: send it all, because this is no range of bytes, or too many of them. []: none of it is there (416).
    """
    unit, equals, text = value.partition(b"=")
    if unit.strip(b" \t").lower() != b"bytes" or not equals or not length:
        return None
    if text.count(b",") >= MOST_RANGES:
        return None
    wanted: list[Part] = []
    for spec in text.split(b","):
        match = _SPEC.fullmatch(spec)
        if match is None:
            if spec.strip(b" \t"):
                return None
            continue  # an empty member of a list (RFC 9110 5.6.1)
        first, last, suffix = match.groups()
        if suffix is not None:
            part = (max(0, length - int(suffix)), length)
        elif last is not None and int(last) < int(first):
            return None
        else:
            part = (int(first), length if last is None else min(length, int(last) + 1))
        wanted.append(part)
    if not wanted:
        return None
    return joined([part for part in wanted if part[0] < part[1]])


def joined(parts: list[Part]) -> list[Part]:
    """The same bytes, each once: parts that overlap or touch are one, at the place of the first of them.

    So an answer is never longer than the file and what parts it (RFC 9110 15.3.7.2, 17.15).
    """
    found: list[Part] = []
    for start, stop in parts:
        place = len(found)
        while (near := _near(found, start, stop)) is not None:
            start, stop = min(start, found[near][0]), max(stop, found[near][1])
            del found[near]
            place = min(place, near)
        found.insert(place, (start, stop))
    return found


def _near(parts: list[Part], start: int, stop: int) -> int | None:
    for number, part in enumerate(parts):
        if start <= part[1] and part[0] <= stop:
            return number
    return None
