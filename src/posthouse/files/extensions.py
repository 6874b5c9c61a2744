"""Extensions: `ext` at work, for clean URLs: `/about` is answered with `about.html` if that is there."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from posthouse.files.folder import Folder
from posthouse.protocol.target import SAFE_IN_PATH, ending
from posthouse.proxy.answer import Visit


class Extensions:
    """A step: a path without an ending gets the first one that makes it a file (proxy/answer.py: Step)."""

    __slots__ = ("_endings", "_folder")

    def __init__(self, folder: Folder, endings: Sequence[str]) -> None:
        self._folder = folder
        self._endings = [(one, quote(one, safe=SAFE_IN_PATH).encode("ascii")) for one in endings]

    def act(self, visit: Visit) -> None:
        """Retarget the request; never answers."""
        path = visit.path
        if path.endswith("/") or ending(path):
            return
        for text, encoded in self._endings:
            if self._folder.exists(path + text):
                visit.retarget(visit.wire_path + encoded + visit.query)
                return
