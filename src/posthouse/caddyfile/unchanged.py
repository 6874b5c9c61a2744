"""Which blocks of a file stand unchanged in a later version of it, so that they need not be read again.

Two versions are compared by what they have in common at their beginning and at their end; what lies between is the
change. A block outside it is unchanged, and is replaced by a stand-in of as many lines: the parser reads the rest as
ever, and says by where it finds the stand-ins whether they are still blocks of their own.
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


class Start(NamedTuple):
    """Where a block begins: at its first address, of which there are so many. Line and column from 1."""

    line: int
    column: int
    addresses: int


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A later version of a file, against an earlier one.

    text      the later one, normalized, with stand-ins
    kept      the numbers of the blocks that stand-ins are for, each with its last line in the earlier version
    boundary  lines of the earlier version after this one have moved by `shift`
    words     about how many words the blocks are that were replaced
    """

    text: str
    kept: dict[int, int]
    boundary: int = 0
    shift: int = 0
    words: int = 0

    def line(self, line: int) -> int:
        """Where a line of the earlier version stands now."""
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
    kept: dict[int, int] = {}
    pieces: list[str] = []
    done = words = 0
    for number, span in enumerate(spans):
        if span is None or not _may_stay(old[span[0] : span[1]], can_import=can_import):
            continue
        begin, end = span
        if end < change.begin:
            by = 0
        elif first_moved < len(lines) and begin >= lines[first_moved]:
            by = change.growth
        else:
            continue
        if begin + by < done:
            continue
        block = old[begin:end]
        pieces += [new[done : begin + by], f"{STAND_IN}{number} {{{chr(10) * block.count(chr(10)) or ' '}}}"]
        done = end + by
        kept[number] = starts[number].line + block.count("\n")
        words += len(block.split())
    pieces.append(new[done:])
    boundary = old.count("\n", 0, change.end) + 1
    shift = new.count("\n") - old.count("\n")
    return Unchanged("".join(pieces), kept, boundary, shift, words)


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
