"""Regular expressions of a Caddyfile, in Go's syntax: RE2, whose time is linear in the text whatever it is.

Go's engine and ours are both RE2, so an expression written for Caddy v1 means the same here, and no request can
make one run for long (Python's own engine backtracks: a lever for whoever sends the text).

An expression in ASCII reads text byte by byte, so that `.` also takes bytes that are no UTF-8; one with other
characters reads UTF-8.
"""

from __future__ import annotations

import re
from typing import Any, Final

_REFERENCE = re.compile(r"\$(?:(\$)|(\w+)|\{(\w+)\})", re.ASCII)
_MEMORY: Final = 1 << 20
"""Bytes that one compiled expression may take; RE2's own default is 8 MiB."""

Pieces = tuple[str | int, ...]
"""A replacement taken apart: text, and numbers of groups (0 = the whole match)."""


class Pattern:
    """One compiled expression. `text` is as written.

    Raises ValueError when it is no regular expression; the message is RE2's.
    """

    __slots__ = ("_compiled", "text")

    def __init__(self, text: str) -> None:
        import re2  # only for configurations that have an expression

        options = re2.Options()
        options.log_errors = False
        options.max_mem = _MEMORY
        options.encoding = re2.Options.Encoding.LATIN1 if text.isascii() else re2.Options.Encoding.UTF8
        self.text = text
        try:
            self._compiled: Any = re2.compile(text.encode("utf-8", "surrogateescape"), options)
        except re2.error as wrong:
            reason = wrong.args[0] if wrong.args else "it is no regular expression"
            raise ValueError(_said(reason)) from None

    def __repr__(self) -> str:
        return f"<Pattern {self.text!r}>"

    def groups(self, data: bytes) -> tuple[bytes, ...] | None:
        """The first match anywhere in `data`: itself, then each group (b"" where one took no part); None if none."""
        found = self._compiled.search(data)
        return None if found is None else (found.group(0), *(group or b"" for group in found.groups()))

    def matches(self, data: bytes) -> bool:
        """Whether it matches anywhere in `data`."""
        return self._compiled.search(data) is not None

    def replace_all(self, data: bytes, pieces: tuple[bytes | int, ...]) -> bytes:
        """`data` with every match replaced by `pieces`: bytes, and numbers of groups.

        As in Go an empty match right behind another is none: `.*` replaces once.
        """
        made: list[bytes] = []
        end, last = 0, -1
        for found in self._compiled.finditer(data):
            start, stop = found.span(0)
            if start == stop == last:
                continue
            made += (data[end:start], _filled(found, pieces))
            end = last = stop
        return b"".join((*made, data[end:]))

    def pieces(self, replacement: str) -> Pieces:
        """Go's template: `$1`, `${1}`, `$name`, `${name}`, `$$`; a reference to no group is nothing.

        As in Go a name is as long as it can be: `$1x` is the group called "1x".
        """
        found: list[str | int] = []
        end = 0
        for reference in _REFERENCE.finditer(replacement):
            found.append(replacement[end : reference.start()])
            end = reference.end()
            if reference[1]:
                found.append("$")
            else:
                number = self._number(reference[2] or reference[3])
                if number is not None:
                    found.append(number)
        found.append(replacement[end:])
        return tuple(piece for piece in found if piece != "")

    def _number(self, name: str) -> int | None:
        if name.isdigit():
            return int(name) if len(name) < 4 and int(name) <= self._compiled.groups else None
        number: int | None = self._compiled.groupindex.get(name.encode())
        return number


def _filled(found: Any, pieces: tuple[bytes | int, ...]) -> bytes:
    return b"".join(piece if isinstance(piece, bytes) else found.group(piece) or b"" for piece in pieces)


def _said(reason: object) -> str:
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
