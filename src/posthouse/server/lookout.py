"""Lookout: asks backends (health checks) and sources once for all workers, and tells these what it finds.

It is a generation of its own in the supervisor's loop, without listeners: of each site only the routes whose backends
are checked or found while we run, with what matters to that. So reloads disturb here what they disturb in a worker,
which is nothing that stays.

Laws
1. A finding is told to every worker that runs, whether it serves yet or not, in the order of the findings.
2. The line in the log about it is written when all that serve have noted it (or died, or were silent for
   NOTED_SECONDS): whoever reads "backend down" can rely on it.
3. A worker that is started is told what is known before anything else.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, Protocol

from posthouse.balance.active_health import State
from posthouse.balance.identity import BackendKey
from posthouse.config.delta import SiteKey, site_key
from posthouse.config.queue_spec import QueueSpec
from posthouse.config.specs import (
    Config,
    EndpointSpec,
    PassiveSpec,
    PolicySpec,
    PoolSpec,
    SiteSpec,
    SourceSpec,
)
from posthouse.discovery.lookup import Server
from posthouse.observe.process_log import ERRORS, Limit, ProcessLog
from posthouse.probe.check import Check
from posthouse.server.beliefs import Known
from posthouse.server.generation import Generation, build, rebuild
from posthouse.server.logs import DryLogs
from posthouse.server.runtime import Runtime
from posthouse.server.slices import in_slices
from posthouse.server.status import Moment, probe_report, source_report
from posthouse.server.told import Believed, Found, Noted

NOTED_SECONDS: Final = 1.0
"""A worker that takes longer to note a finding holds up no line of the log."""


class Worker(Protocol):
    """What is asked of `server.child.Child`."""

    @property
    def is_serving(self) -> bool: ...
    def send(self, message: object) -> None: ...
    def expect(self, answer: type[Noted], /) -> asyncio.Future[Noted]: ...


class LogOfFindings(ProcessLog):
    """The log of a lookout: each line is handed on when it is its turn."""

    __slots__ = ("_after", "_inner")

    def __init__(self, inner: ProcessLog, after: Callable[[Callable[[], None]], None]) -> None:
        # Nothing is opened: whose lines these are has opened it.
        self._inner = inner
        self._after = after

    def info(self, what: str, *, key: str | None = None, limit: Limit = ERRORS, **fields: object) -> None:
        """As `ProcessLog` has it."""
        self._after(partial(self._inner.info, what, key=key, limit=limit, **fields))

    def warn(self, what: str, *, key: str | None = None, limit: Limit = ERRORS, **fields: object) -> None:
        """As `ProcessLog` has it."""
        self._after(partial(self._inner.warn, what, key=key, limit=limit, **fields))

    def error(self, what: str, *, key: str = "", limit: Limit = ERRORS, **fields: object) -> None:
        """As `ProcessLog` has it."""
        self._after(partial(self._inner.error, what, key=key, limit=limit, **fields))

    def flush(self) -> None:
        """Not ours."""

    def reopen(self) -> None:
        """Not ours."""

    def close(self) -> None:
        """Not ours."""


class Lookout:
    """children  the workers that run now

    probes, discoverer  who asks
    """

    def __init__(
        self,
        children: Callable[[], Iterable[Worker]],
        log: ProcessLog,
        loop: asyncio.AbstractEventLoop,
        *,
        is_case_sensitive: bool = False,
        name_servers: Sequence[Server] = (),
    ) -> None:
        self._children = children
        self._loop = loop
        self._noting: list[asyncio.Future[Noted]] = []
        self._lines: deque[tuple[float, list[asyncio.Future[Noted]], Callable[[], None]]] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._not_up: dict[tuple[str, BackendKey], Believed] = {}
        self._expected: Known = {}
        self._runtime = runtime = Runtime(
            loop,
            LogOfFindings(log, self._write_after),
            is_case_sensitive=is_case_sensitive,
            name_servers=name_servers,
        )
        runtime.logs = DryLogs(loop, log)
        runtime.on_belief = self._tell_belief
        self.probes, self.discoverer = runtime.probes, runtime.discoverer
        self.discoverer.on_found = self._tell_members
        self._view = _View()
        self._generation: Generation | None = None
        self._prepared: tuple[Generation, _View] | None = None

    def __repr__(self) -> str:
        return f"<Lookout sites={len(self._view.watched)} {self.probes!r} {self.discoverer!r}>"

    # --- what is asked

    async def ask(self, config: Config) -> None:
        """See `parts.Scout`."""
        routes = (route for site in config.sites for route in site.routes)
        await self.discoverer.prepare(source for route in routes for source in route.pool.sources)

    async def prepare(self, config: Config) -> None:
        """See `parts.Scout`."""
        view = await in_slices(_look(config, self._view))
        seen = Config(tuple(view.watched))
        if self._generation is None:
            built = build(seen, self._runtime, None)
        else:
            built = await rebuild(seen, self._runtime, self._generation)
        self._prepared = built, view
        if self._expected:
            self._foretell(built)

    def commit(self) -> None:
        """See `parts.Scout`."""
        assert self._prepared is not None
        (built, self._view), self._prepared = self._prepared, None
        old, self._generation = self._generation, built
        built.start()
        if old is not None:
            old.retire(built)
        self._expected = {}

    def abandon(self) -> None:
        """See `parts.Scout`."""
        if self._prepared is not None:
            (built, _), self._prepared = self._prepared, None
            built.retire()
        else:
            self.discoverer.drop_unfollowed()

    def close(self) -> None:
        """See `parts.Scout`."""
        self._runtime.close()
        if self._writing is not None:
            self._writing.cancel()
        while self._lines:
            self._lines.popleft()[2]()

    # --- what is told

    def welcome(self, child: Worker) -> None:
        """See `parts.Scout`."""
        for source, members in self.discoverer.found.items():
            self._tell(child, Found(source, members))
        for told in self._not_up.values():
            self._tell(child, told)

    def expect(self, beliefs: Known) -> None:
        """See `parts.Scout`."""
        self._expected = beliefs
        self.probes.expect(beliefs)

    def _foretell(self, built: Generation) -> None:
        # Checks begin when workers serve; those must know before.
        for check in (check for one in built.sites for check in one.checks):
            known = self._expected.get((check.pool, check.backend.name))
            if known is not None:
                self._say(Believed(check.pool, check.backend.key, known.state, known.reason, known.since))

    def _tell_belief(self, check: Check) -> None:
        backend = check.backend
        told = Believed(check.pool, backend.key, backend.state, backend.reason, backend.since)
        if backend.state is State.UP:
            self._not_up.pop((told.pool, told.backend), None)
        else:
            self._not_up[told.pool, told.backend] = told
        self._say(told)

    def _tell_members(self, source: SourceSpec, members: tuple[EndpointSpec, ...]) -> None:
        self._say(Found(source, members))

    def _say(self, told: Believed | Found) -> None:
        self._noting = [one for one in self._noting if not one.done()]
        for child in self._children():
            self._tell(child, told)

    def _tell(self, child: Worker, told: Believed | Found) -> None:
        # Answers come in the order of the messages, so each has to be expected, whoever waits for it.
        noted = child.expect(Noted)
        if child.is_serving:  # one that does not learns it before it does
            self._noting.append(noted)
        child.send(told)

    def _write_after(self, write: Callable[[], None]) -> None:
        noting, self._noting = self._noting, []
        self._lines.append((self._loop.time() + NOTED_SECONDS, noting, write))
        if self._writing is None or self._writing.done():
            self._writing = self._loop.create_task(self._write())

    async def _write(self) -> None:
        while self._lines:
            # Not so long for each: behind a worker that hangs, the last of many would come minutes late.
            end, noting, _ = self._lines[0]
            if noting:
                await asyncio.wait(noting, timeout=max(0.0, end - self._loop.time()))
            if self._lines:
                self._lines.popleft()[2]()

    # --- what others ask

    def beliefs(self) -> Known:
        """See `parts.Scout`."""
        return self.probes.beliefs()

    def report(self) -> Mapping[str, Mapping[str, Any]]:
        """See `parts.Scout`."""
        if self._generation is None:
            return {}
        moment = Moment(self._runtime.clock(), time.time())
        return {
            name: {
                "sources": [
                    source_report(source, self.discoverer.heard(source), moment)
                    for source in pool.spec.sources
                ],
                "probes": {
                    backend.name: probe_report(self.probes.last(backend), moment) for backend in pool.backends
                },
            }
            for name, pool in self._generation.pools.items()
        }


class _View:
    """What is watched of a configuration.

    watched  what there is of each site, in the order of the file
    by_key   the same, to find again what has not changed; sites on port 0 may share a key
    known    by identity, the sites that were looked at, with what is watched of each: one that stays is the same object
             (see `config/delta.py`), and is not looked at again
    """

    __slots__ = ("by_key", "known", "watched")

    def __init__(self) -> None:
        self.watched: list[SiteSpec] = []
        self.by_key: dict[SiteKey, SiteSpec] = {}
        self.known: dict[int, tuple[SiteSpec, SiteSpec | None]] = {}


def _look(config: Config, before: _View) -> Generator[None, None, _View]:
    view = _View()
    for site in config.sites:
        known = before.known.get(id(site))
        wanted = what_is_watched(site) if known is None else known[1]
        if wanted is not None:
            key = site_key(site)
            if known is None and (same := before.by_key.get(key)) == wanted:
                wanted = same
            view.watched.append(wanted)
            view.by_key[key] = wanted
        view.known[id(site)] = site, wanted
        yield
    return view


def what_is_watched(site: SiteSpec) -> SiteSpec | None:
    """What of a site matters to checks and sources; None: nothing is to be asked."""
    routes = tuple(
        replace(route, pool=_plain(route.pool))
        for route in site.routes
        if route.pool.health is not None or route.pool.sources
    )
    return SiteSpec(site.addresses, routes, bind=site.bind, place=site.place) if routes else None


def _plain(pool: PoolSpec) -> PoolSpec:
    """Nothing is chosen here: tables of policies, windows of failures and queues would stand idle."""
    return replace(
        pool,
        policy=PolicySpec(),
        passive=PassiveSpec(),
        queue=QueueSpec(),
        max_conns=0,
        slow_start=0.0,
        hash_balance=0,
    )
