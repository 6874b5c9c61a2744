"""Notice that a configuration's files have changed, by looking at them each second.

Looking costs a stat per file and needs nothing of the system; inotify loses files that editors replace.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable

EVERY_SECONDS = 1.0

Looks = dict[str, tuple[int, int, int] | None]
"""Per path what changes when the file does (inode, size, modification time); None: it is not there."""


def look(files: Iterable[str]) -> Looks:
    """The looks of these files and of the folders they are in.

    The folders are there for `import` globs: a further file that would match changes its folder.
    """
    paths = {os.path.abspath(name) for name in files}
    paths |= {os.path.dirname(path) for path in paths}
    return {path: _looks_of(path) for path in paths}


def _looks_of(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


class Watch:
    """Calls `changed` when one of the files does not look as before; `files` is asked each time.

    seen  how they looked when they were read; None: as they do now
    """

    __slots__ = ("_changed", "_files", "_loop", "_seen", "_timer")

    def __init__(
        self,
        files: Callable[[], Iterable[str]],
        changed: Callable[[], object],
        loop: asyncio.AbstractEventLoop,
        seen: Looks | None = None,
    ) -> None:
        self._files = files
        self._changed = changed
        self._loop = loop
        self._seen = look(files()) if seen is None else seen
        self._timer = loop.call_later(EVERY_SECONDS, self._tick)

    def stop(self) -> None:
        self._timer.cancel()

    def _tick(self) -> None:
        before, self._seen = self._seen, look(self._files())
        self._timer = self._loop.call_later(EVERY_SECONDS, self._tick)
        if self._seen != before:
            self._changed()
