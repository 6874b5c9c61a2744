"""AskedGroup: how a worker that a client asks for the numbers of the whole group gets them, from the supervisor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from posthouse.observe.snapshot import Pieces, Snapshot
from posthouse.server.control import Collect, Collected


class AskedGroup:
    """tell  says something to the supervisor"""

    __slots__ = ("_asked", "_number", "_pieces", "_tell")

    def __init__(self, tell: Callable[[object], None]) -> None:
        self._tell = tell
        self._number = 0
        self._pieces = Pieces()
        self._asked: dict[int, asyncio.Future[Snapshot]] = {}

    def __repr__(self) -> str:
        return f"<AskedGroup waiting={len(self._asked)}>"

    async def collect(self) -> Snapshot:
        """What all workers have counted. Whoever asks says how long it waits: without a supervisor nobody answers."""
        self._number += 1
        number = self._number
        answer: asyncio.Future[Snapshot] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            self._tell(Collect(number))
            return await answer
        finally:
            del self._asked[number]

    def hear(self, message: Collected) -> None:
        """The supervisor answers, in pieces; also if nobody waits any more."""
        answer = self._asked.get(message.number)
        snapshot = self._pieces.add(message.number, message.piece, is_last=message.is_last)
        if answer is not None and snapshot is not None and not answer.done():
            answer.set_result(snapshot)
