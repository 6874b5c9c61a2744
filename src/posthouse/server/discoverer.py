"""Discoverer: the sources of the generation that serves. They outlive it, so that a reload disturbs none that stays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from posthouse.config.specs import EndpointSpec, PoolSpec, SourceSpec
from posthouse.discovery.lookup import Lookup, Server, parse_servers
from posthouse.discovery.ports import Members, Question
from posthouse.discovery.sources import SOURCES
from posthouse.endpoints import parse_endpoints
from posthouse.errors import Place, StartError
from posthouse.observe.process_log import ProcessLog

FIRST_SECONDS: Final = 2.0
"""How long a start or a reload waits for sources that are new. One that takes longer comes later: until then its
members are missing, and nothing else is."""
MEND_SECONDS: Final = 30.0
"""After a bug in a source, until it is begun anew."""
RESOLVER: Final = "POSTHOUSE_RESOLVER"


class Worker(Protocol):
    """What a discoverer needs of its worker (`server/runtime.py`)."""

    loop: asyncio.AbstractEventLoop
    log: ProcessLog
    clock: Callable[[], float]
    chance: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Heard:
    """What is known of one source.

    members  how many it has; in trouble: had
    trouble  why it can't be asked, for people; "" = it can
    since    since when it is in trouble, or since when it is not, monotonic seconds; None = it has said nothing yet
    """

    members: int
    trouble: str
    since: float | None


NOTHING_HEARD: Final = Heard(0, "", None)


class Watcher:
    """One source at work, from its first follower to its last.

    members   the last whole set; () while nothing is known
    is_heard  set when it has said something: a set, or why there is none
    """

    def __init__(self, spec: SourceSpec, services: Discoverer, log: ProcessLog) -> None:
        self.spec = spec
        self.members: Members = ()
        self.is_heard = asyncio.Event()
        self.on_change: list[Callable[[SourceSpec], None]] = []
        self._services = services
        self._log = log
        self._trouble = ""
        self._since: float | None = None
        self._task = services.loop.create_task(self._run())

    def __repr__(self) -> str:
        trouble = f" trouble={self._trouble!r}" if self._trouble else ""
        return f"<Watcher {self.spec.text} members={len(self.members)}{trouble}>"

    @property
    def heard(self) -> Heard:
        """What it has said so far."""
        return Heard(len(self.members), self._trouble, self._since)

    def stop(self) -> None:
        """Nobody follows it any more."""
        self.on_change = []
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            try:
                async for members in SOURCES[self.spec.kind](self.spec, self._services, self._report).sets():
                    self._learn(members)
            except Exception as error:
                self._report(f"internal error: {error!r}")
            await self._services.sleep(MEND_SECONDS)

    def _learn(self, members: Members) -> None:
        is_news = self._since is None or members != self.members
        self.members = members
        if self._since is None:
            self._since = self._services.clock()
        self.is_heard.set()
        if is_news:
            self._services.on_found(self.spec, members)
        for tell in self.on_change:
            tell(self.spec)

    def _report(self, trouble: str) -> None:
        if trouble != self._trouble:
            facts: dict[str, Any] = {"source": self.spec.text, "place": str(self.spec.place)}
            if trouble:
                self._log.warn("discovery failed", **facts, reason=trouble, kept=len(self.members))
            else:
                self._log.info("discovery works again", **facts)
        if self._since is None or bool(trouble) != bool(self._trouble):
            self._since = self._services.clock()
        self._trouble = trouble
        if trouble:
            self.is_heard.set()


class Discoverer:
    """All watchers, by what they watch; the Services of their sources.

    on_found  told of a source's members before those who follow it are
    """

    def __init__(self, worker: Worker, servers: Iterable[Server] = ()) -> None:
        self.loop = worker.loop
        self.clock = worker.clock
        self.chance = worker.chance
        self._log = worker.log
        self.ask: Callable[[str, Question], Any] = Lookup(self.in_thread, tuple(servers)).ask
        self.on_found: Callable[[SourceSpec, Members], None] = lambda source, members: None
        self._watchers: dict[SourceSpec, Watcher] = {}

    def __repr__(self) -> str:
        return f"<Discoverer of {len(self._watchers)} sources>"

    def __len__(self) -> int:
        return len(self._watchers)

    # -- what generations ask for

    def expand(self, spec: PoolSpec) -> PoolSpec:
        """The pool with the members that its sources are known to have, each set where its TO stands."""
        return expanded(spec, self.members)

    def members(self, source: SourceSpec) -> Members:
        """The last whole set; () while nothing is known."""
        watcher = self._watchers.get(source)
        return () if watcher is None else watcher.members

    @property
    def found(self) -> dict[SourceSpec, Members]:
        """The members of every source that has said something."""
        return {source: one.members for source, one in self._watchers.items() if one.heard.since is not None}

    def heard(self, source: SourceSpec) -> Heard:
        """What a source has said so far."""
        watcher = self._watchers.get(key_of(source))
        return NOTHING_HEARD if watcher is None else watcher.heard

    async def prepare(self, sources: Iterable[SourceSpec]) -> None:
        """Begin to watch those that are new, and wait for their first word, at most FIRST_SECONDS."""
        fresh = []
        for source in sources:
            if key_of(source) not in self._watchers:
                fresh.append(watcher := Watcher(key_of(source), self, self._log))
                self._watchers[key_of(source)] = watcher
        if fresh:
            waiting = [self.loop.create_task(watcher.is_heard.wait()) for watcher in fresh]
            try:
                await asyncio.wait(waiting, timeout=FIRST_SECONDS)
            finally:
                for one in waiting:
                    one.cancel()

    def follow(self, followers: Mapping[Callable[[SourceSpec], None], Iterable[SourceSpec]]) -> None:
        """Those who are told of changes from now on, in the place of those before."""
        for watcher in self._watchers.values():
            watcher.on_change = []
        for tell, sources in followers.items():
            for source in {key_of(source) for source in sources}:
                watcher = self._watchers.get(source) or Watcher(source, self, self._log)
                self._watchers[source] = watcher
                watcher.on_change.append(tell)
        self.drop_unfollowed()

    def drop_unfollowed(self) -> None:
        """Stop what was prepared for a configuration that will not serve."""
        for source, watcher in list(self._watchers.items()):
            if not watcher.on_change:
                watcher.stop()
                del self._watchers[source]

    def stop(self) -> None:
        """The end."""
        for watcher in self._watchers.values():
            watcher.stop()
        self._watchers.clear()

    # -- what sources ask for (discovery/ports.py: Services)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def in_thread(self, work: Callable[[], Any]) -> Any:
        return await self.loop.run_in_executor(None, work)

    def parse(self, text: str, place: Place) -> list[EndpointSpec]:
        return parse_endpoints(text, place)


def key_of(source: SourceSpec) -> SourceSpec:
    """What makes two sources the same one: where in the pool it stands does not matter. The place is not compared."""
    return replace(source, position=0)


def expanded(spec: PoolSpec, members: Callable[[SourceSpec], Members]) -> PoolSpec:
    """The pool with the members of its sources, each set where its TO stands. members: of a source, by its key"""
    endpoints = list(spec.endpoints)
    for source in reversed(spec.sources):
        endpoints[source.position : source.position] = members(key_of(source))
    return replace(spec, endpoints=tuple(endpoints)) if spec.sources else spec


def name_servers(text: str) -> list[Server]:
    """Those of POSTHOUSE_RESOLVER; none for "". Raises StartError."""
    try:
        return parse_servers(text) if text else []
    except ValueError as wrong:
        raise StartError(
            f"{RESOLVER} is {text!r}: {wrong}; expected ADDRESS[:PORT], several with commas"
        ) from None
