"""GroupMetrics: what the whole group has counted and whether it serves, for whoever asks the supervisor or a worker."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from posthouse.config.specs import Config
from posthouse.observe.snapshot import Pieces, Snapshot, cut
from posthouse.server.child import Child
from posthouse.server.collecting import Collector
from posthouse.server.control import MOST_SAMPLES, Collect, Collected, Measure, Measured
from posthouse.server.process_facts import process_rows
from posthouse.server.reload_count import ReloadCount
from posthouse.server.tasks import Tasks
from posthouse.server.workers import Workers


class Supervising(Protocol):
    """What is asked of `server.supervisor.Supervisor`."""

    @property
    def is_ready(self) -> bool: ...


class GroupMetrics:
    """See `metrics_pages.Group`.

    reloads      how often the configuration was swapped
    is_counting  workers that start now count exchanges, whatever the configuration says: once somebody has asked
    """

    def __init__(self, supervisor: Supervising, workers: Workers) -> None:
        self.reloads = ReloadCount()
        self.is_counting = False
        self._supervisor = supervisor
        self._workers = workers
        self._collector = Collector(self._ask, self._own)
        self._pieces = Pieces()
        self._tasks = Tasks()
        workers.on_message = self._hear
        workers.on_death = self._bury

    def __repr__(self) -> str:
        return f"<GroupMetrics {self._collector!r}>"

    @property
    def is_ready(self) -> bool:
        """Whether requests are served: neither starting nor draining."""
        return self._supervisor.is_ready

    async def collect(self) -> Snapshot:
        """What all workers have counted, the dead included."""
        self.is_counting = True  # those who are asked begin with the answer
        return await self._collector.collect()

    def keep(self, config: Config) -> None:
        """A configuration serves from now on."""
        sites = {site.addresses[0].text if site.addresses else "" for site in config.sites}
        self._collector.totals.keep(sites)

    def _ask(self, round: int) -> Collection[int]:
        serving = [child for child in self._workers.children() if child.is_serving]
        for child in serving:
            child.send(Measure(round))
        return [child.slot for child in serving]

    def _own(self) -> Snapshot:
        return Snapshot({**process_rows(), **self.reloads.rows()})

    def _hear(self, child: Child, message: object) -> None:
        match message:
            case Measured():
                key = child.slot, child.pid, message.round
                snapshot = self._pieces.add(key, message.piece, is_last=message.is_last)
                if snapshot is not None:
                    self._collector.hear(child.slot, message.round, snapshot)
            case Collect():
                self._tasks.spawn(self._answer(child, message))

    async def _answer(self, child: Child, question: Collect) -> None:
        *some, last = cut(await self.collect(), MOST_SAMPLES)
        for piece in some:
            child.send(Collected(question.number, piece, is_last=False))
        child.send(Collected(question.number, last, is_last=True))

    def _bury(self, slot: int) -> None:
        self._pieces.forget(lambda key: isinstance(key, tuple) and key[0] == slot)
        self._collector.bury(slot)
