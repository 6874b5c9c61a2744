"""Which blocks of a file stand unchanged in a later version of it, so that they need not be read again.

Two versions are compared by what they have in common at their beginning and at their end; what lies between is the
change, and blocks of the old one are looked for in it. A block that is found is replaced by a stand-in of as many
lines: the parser reads the rest as ever, and says by where it finds the stand-ins whether they are still blocks of
their own.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from posthouse.caddyfile.lexer import BLANK, normalize, scan

STAND_IN: Final = "posthouse-stand-in-"
"""What the address of a stand-in begins with."""

_TO_BRACE = re.compile(
    rf"(?:[\n{BLANK}]++|\\\n|#[^\n]*+"
    r'|"[^"\\]*+(?:\\.[^"\\]*+)*+"|`[^`]*+`'
    rf'|(?![{{}}](?:[\n{BLANK}]|\\\n|\Z))(?!["`#])(?:[^\n\\{BLANK}]|\\(?!\n))++)*+([{{}}])',
    re.DOTALL,
)


_AHEAD: Final = 1 << 16
"""Characters behind the last block that was found, in which the next one is looked for. So one that was moved to the
end of the file does not keep all others from being found, and one that is gone costs microseconds."""


class Start(NamedTuple):
    """Where a block begins: at its first address, of which there are so many. Line and column from 1."""

    line: int
    column: int
    addresses: int


class Kept(NamedTuple):
    """A block of the earlier version: its first and last line there, and how far down it stands now."""

    first: int
    last: int
    shift: int


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A later version of a file, against an earlier one.

    text      the later one, normalized, with stand-ins
    kept      what stand-ins are for, by the number of the block
    boundary  lines of the earlier version after this one, outside of blocks, have moved by `shift`
    """

    text: str
    kept: dict[int, Kept]
    boundary: int = 0
    shift: int = 0

    def line(self, line: int, kept: Kept) -> int:
        """Where a line that a block was read from stands now: one of its own, or of a snippet that it imports."""
        if kept.first <= line <= kept.last:
            return line + kept.shift
        return line + self.shift if line > self.boundary else line


class _Change:
    """The stretch in which two texts differ: [begin, end) of the old one, and how much longer it is in the new one."""

    def __init__(self, old: str, new: str) -> None:
        self.begin = _common(old, new)
        rest = min(len(old), len(new)) - self.begin
        self.end = len(old) - _common_end(old, new, rest)
        self.growth = len(new) - len(old)


def find_unchanged(old: str, new: str, starts: Sequence[Start], *, can_import: bool) -> Unchanged:
    """The blocks of `old` that begin at `starts` and stand in `new` as they were.

    Not those that say something which may mean something else now: placeholders of the environment, and imports. The
    latter are let through if `can_import` (all of them are of snippets, in this file) and no snippet has changed.
    """
    old, new = normalize(old), normalize(new)
    change = _Change(old, new)
    lines = _line_starts(old)
    spans = [_span(old, lines, start) for start in starts]
    can_import = can_import and any(span is not None and _holds(span, change, new) for span in spans)
    first_moved = bisect_right(lines, change.end)
    finder = _Finder(old, new, change, lines[first_moved] if first_moved < len(lines) else len(old) + 1)
    kept: dict[int, Kept] = {}
    pieces: list[str] = []
    done = line = 0  # characters and lines of the new text that are done with
    for number, span in enumerate(spans):
        if span is None or not _may_stay(old[span[0] : span[1]], can_import=can_import):
            continue
        begin = finder.find(span, starts[number].column, done)
        if begin < 0:
            continue
        height = old.count("\n", *span)
        pieces += [new[done:begin], f"{STAND_IN}{number} {{{chr(10) * height or ' '}}}"]
        line += new.count("\n", done, begin)
        first = starts[number].line
        kept[number] = Kept(first, first + height, line + 1 - first)
        line += height
        done = begin + span[1] - span[0]
    pieces.append(new[done:])
    return Unchanged("".join(pieces), kept, first_moved, new.count("\n") - old.count("\n"))


class _Finder:
    """Where blocks of the old text stand in the new one.

    moved  where the first line of the old text begins that comes after the change
    """

    def __init__(self, old: str, new: str, change: _Change, moved: int) -> None:
        self._old = old
        self._new = new
        self._change = change
        self._moved = moved

    def find(self, span: tuple[int, int], column: int, done: int) -> int:
        """Where the block begins, behind `done`; -1: it does not stand there as it was."""
        begin, end = span
        if end < self._change.begin:
            return begin
        if begin >= self._moved:
            return begin + self._change.growth
        block, new = self._old[begin:end], self._new
        found = new.find(block, done, done + _AHEAD + len(block))
        behind = found + len(block)
        is_apart = behind == len(new) or new.startswith("\n", behind)
        if found < 0 or not is_apart or found - new.rfind("\n", 0, found) != column:
            return -1
        return found


def _span(text: str, lines: Sequence[int], start: Start) -> tuple[int, int] | None:
    """Where the block begins and ends, if it has braces, and nothing but addresses before them."""
    if start.line > len(lines):
        return None
    begin = lines[start.line - 1] + start.column - 1
    opening = _TO_BRACE.match(text, begin)
    if opening is None or opening.group(1) != "{":
        return None
    kinds = [piece.kind for piece in scan(text[begin : opening.start(1)])]
    words = [kind for kind in kinds if kind not in ("newline", "continuation")]
    if words != ["word"] * start.addresses:
        return None
    end = _end(text, begin)
    return None if end is None else (begin, end)


def _end(text: str, begin: int) -> int | None:
    """Behind the brace that closes the first block from there on."""
    depth, position = 0, begin
    while brace := _TO_BRACE.match(text, position):
        position = brace.end()
        depth += 1 if brace.group(1) == "{" else -1
        if depth <= 0:
            return position if depth == 0 else None
    return None


def _holds(span: tuple[int, int], change: _Change, new: str) -> bool:
    """Whether all of the change lies within this block, which ends in the new text where it would."""
    begin, end = span
    return begin < change.begin and change.end < end and _end(new, begin) == end + change.growth


def _may_stay(block: str, *, can_import: bool) -> bool:
    return "{$" not in block and "{%" not in block and (can_import or "import" not in block)


def _line_starts(text: str) -> list[int]:
    return [0, *(match.end() for match in re.finditer("\n", text))]


def _common(a: str, b: str) -> int:
    """How many characters two texts have in common at their beginning."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _common_end(a: str, b: str, most: int) -> int:
    """How many characters, `most` at most, they have in common at their end."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if a[len(a) - middle : len(a) - low] == b[len(b) - middle : len(b) - low]:
            low = middle
        else:
            high = middle - 1
    return low
