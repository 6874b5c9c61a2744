"""MovedLogs: one worker puts a full log file aside; all others must have left it before it is compressed.

The first slot rotates (see `server/logs.py`) and tells. The others open the file anew and say so, and only then is the
first one told that nobody writes to the old file any more: no line is lost in a file that is being compressed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from posthouse.server.child import Child
from posthouse.server.control import LogMoved, Reopened, ReopenLog, TidyLog


class MovedLogs:
    """children  the workers that run now"""

    __slots__ = ("_children", "_waiting")

    def __init__(self, children: Callable[[], Iterable[Child]]) -> None:
        self._children = children
        self._waiting: dict[str, tuple[Child, int, set[Child]]] = {}

    def __repr__(self) -> str:
        return f"<MovedLogs {list(self._waiting)}>"

    def hear(self, child: Child, message: object) -> None:
        """What a worker says about logs; anything else is not for us."""
        match message:
            case LogMoved(path, turn):
                others = {one for one in self._children() if one is not child}
                self._waiting[path] = (child, turn, others)
                for one in others:
                    one.send(ReopenLog(path, turn))
                self._look(path)
            case Reopened(path, turn, is_done) if path in self._waiting and self._waiting[path][1] == turn:
                if is_done:
                    self._waiting[path][2].discard(child)
                    self._look(path)
                else:  # it writes to the old file still; the next rotation asks again
                    del self._waiting[path]

    def forget(self, gone: Child) -> None:
        """It ended, and writes to nothing."""
        for path, (asker, _, others) in list(self._waiting.items()):
            others.discard(gone)
            if asker is gone:
                del self._waiting[path]
            else:
                self._look(path)

    def _look(self, path: str) -> None:
        asker, _, others = self._waiting[path]
        if not others:
            del self._waiting[path]
            asker.send(TidyLog(path))
