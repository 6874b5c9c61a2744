"""A configuration held in memory."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping

MAIN = "Caddyfile"
"""The first file."""


def read_from(files: Mapping[str, str]) -> Callable[[str], list[tuple[str, str]]]:
    """A reader for `parse` over files in memory; names that hold "forbidden" or "binary" cannot be read."""

    def read(pattern: str) -> list[tuple[str, str]]:
        if "forbidden" in pattern:
            raise PermissionError(13, "Permission denied")
        if "binary" in pattern:
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
        # Out of order on purpose: sorting is the parser's business.
        return [(name, files[name]) for name in sorted(files, reverse=True) if fnmatch.fnmatch(name, pattern)]

    return read
