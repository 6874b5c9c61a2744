"""SharedKeeper: housekeeping after rotation, where other workers still write to the file that was put aside.

They are asked to leave it first (see `server/moved_logs.py`): what they wrote while it was being compressed would be
lost. Whoever asks for a file again before that was done is served with the next answer.
"""

from __future__ import annotations

from collections.abc import Callable

from posthouse.observe.rotation import Keeper, Rotation
from posthouse.server.control import LogMoved


class SharedKeeper:
    """tell  says something to the supervisor"""

    __slots__ = ("_asked", "_keeper", "_tell", "_turn")

    def __init__(self, keeper: Keeper, tell: Callable[[object], None]) -> None:
        self._keeper = keeper
        self._tell = tell
        self._asked: dict[str, Rotation] = {}
        self._turn = 0

    def __repr__(self) -> str:
        return f"<SharedKeeper waiting={len(self._asked)}>"

    def ask(self, path: str, rotation: Rotation) -> None:
        """See to the files put aside from `path`, when nobody writes to them any more."""
        self._turn += 1
        self._asked[path] = rotation
        self._tell(LogMoved(path, self._turn))

    def tidy(self, path: str) -> None:
        """That is so now."""
        rotation = self._asked.pop(path, None)
        if rotation is not None:
            self._keeper.ask(path, rotation)
