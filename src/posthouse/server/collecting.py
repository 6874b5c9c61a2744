"""Collecting: the numbers of a whole group of workers, asked for by any of them or on the admin socket.

Laws:
1. Whoever asks gets what was counted up to now, of every worker that answers in time; of one that does not, what it
   last said. A worker that hangs costs the asker `ANSWER_SECONDS`, and nothing else.
2. Questions that come while a round is under way wait for the round after it, and all of them get that one: so an
   answer is never older than its question, and however many ask, each worker is asked once at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Final

from posthouse.observe.snapshot import Snapshot, merge
from posthouse.observe.totals import Totals

ANSWER_SECONDS: Final = 2.0
"""For one worker: well below what the asker itself waits (`metrics_pages.COLLECT_SECONDS`)."""


class Collector:
    """For who supervises the workers.

    ask  asks every worker for its snapshot, and says which slots were asked; called with the number of the round,
         which comes back in `hear`
    own  what the supervising process has to tell itself: its own memory, reloads
    """

    def __init__(self, ask: Callable[[int], Collection[int]], own: Callable[[], Snapshot]) -> None:
        self.totals = Totals()
        self._ask = ask
        self._own = own
        self._round = 0
        self._missing: set[int] = set()
        self._complete: asyncio.Event | None = None
        self._running: asyncio.Task[Snapshot] | None = None
        self._next: asyncio.Task[Snapshot] | None = None

    def __repr__(self) -> str:
        return f"<Collector round={self._round} missing={sorted(self._missing)} {self.totals!r}>"

    async def collect(self) -> Snapshot:
        """What the group has counted, the dead included. Who no longer wants to know may be cancelled."""
        loop = asyncio.get_running_loop()
        if self._next is not None:
            return await asyncio.shield(self._next)
        if self._running is None or self._running.done():
            self._running = loop.create_task(self._go_round())
            return await asyncio.shield(self._running)
        self._next = loop.create_task(self._go_after(self._running))
        return await asyncio.shield(self._next)

    def hear(self, slot: int, round: int, snapshot: Snapshot) -> None:
        """A worker has answered; late is better than never, for the next who asks."""
        self.totals.update(slot, snapshot)
        if round == self._round:
            self._is_there(slot)

    def bury(self, slot: int) -> None:
        """The worker of a slot is dead."""
        self.totals.bury(slot)
        self._is_there(slot)

    def _is_there(self, slot: int) -> None:
        self._missing.discard(slot)
        if not self._missing and self._complete is not None:
            self._complete.set()

    async def _go_after(self, running: asyncio.Task[Snapshot]) -> Snapshot:
        await asyncio.wait((running,))
        self._running, self._next = self._next, None
        return await self._go_round()

    async def _go_round(self) -> Snapshot:
        self._round += 1
        self._complete = asyncio.Event()
        self._missing = set()
        asked = set(self._ask(self._round))
        self._missing = asked
        if asked:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._complete.wait()
            except TimeoutError:
                pass
        self._missing, self._complete = set(), None
        return merge([self._own(), self.totals.sum()])
