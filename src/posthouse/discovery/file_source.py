"""`file:PATH`: a list of backends in a file, looked at again and again.

Looking costs a stat and needs nothing of the system; inotify loses files that are replaced, and knows nothing of ones
that are mounted into a container. A changed file is read only when it looks the same twice in a row, so that one that
is just being written is not taken for whole.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Final

from posthouse.config.specs import SourceSpec
from posthouse.discovery.list_file import BrokenList, parse_list
from posthouse.discovery.ports import Members, Report, Services
from posthouse.errors import Place

LOOK_SECONDS: Final = 0.5
MOST_LOOKS: Final = 10
"""A file that changes at each of so many looks is read all the same."""
MOST_BYTES: Final = 1 << 20
"""Ten thousand backends fit in."""

Look = tuple[int, int, int] | None
"""What changes when a file does: inode, size, modification time. None: it is not there."""


class FileSource:
    """See above. A list that is gone or broken changes nothing."""

    def __init__(self, spec: SourceSpec, services: Services, report: Report) -> None:
        self._spec = spec
        self._services = services
        self._report = report

    def __repr__(self) -> str:
        return f"<FileSource {self._spec.text}>"

    async def sets(self) -> AsyncIterator[Members]:
        """See `ports.Source`."""
        services = self._services
        read: Look | bool = False
        seen = await services.in_thread(self._look)
        last: Members | None = None
        while True:
            if seen != read:
                read = seen
                found = await services.in_thread(self._read)
                if isinstance(found, str):
                    self._report(found)
                else:
                    self._report("")
                    if found != last:
                        last = found
                        yield found
            await services.sleep(LOOK_SECONDS)
            for _ in range(MOST_LOOKS):
                before, seen = seen, await services.in_thread(self._look)
                if seen == before:
                    break
                await services.sleep(LOOK_SECONDS)

    def _look(self) -> Look:
        try:
            found = os.stat(self._spec.name)
        except (OSError, ValueError):
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _read(self) -> Members | str:
        """What is in the file, or what is wrong with it."""
        name = self._spec.name
        try:
            with open(name, "rb") as file:
                data = file.read(MOST_BYTES + 1)
            if len(data) > MOST_BYTES:
                return f"{name}: larger than {MOST_BYTES >> 20}MB"
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as wrong:
            line = wrong.object.count(b"\n", 0, wrong.start) + 1
            return f"{Place(name, line, 1)}: not UTF-8"
        except (OSError, ValueError) as wrong:
            return f"{name}: {getattr(wrong, 'strerror', None) or wrong}"
        try:
            return parse_list(text, name, self._services.parse, self._spec.member)
        except BrokenList as broken:
            return str(broken)
