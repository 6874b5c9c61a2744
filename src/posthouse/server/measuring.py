"""Measuring: what one worker has counted and how it is now, as a snapshot.

`collect` answers for the whole group; a worker that has others beside it is given a way to ask them all.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sized
from typing import Final, Protocol

from posthouse import __version__
from posthouse.balance.pool import Pool
from posthouse.balance.standing import standing
from posthouse.config.specs import Config
from posthouse.observe.families import NO_ROUTE
from posthouse.observe.metrics import Metrics
from posthouse.observe.snapshot import Labels, Rows, Sample, Snapshot
from posthouse.server.pressure import Shortage
from posthouse.server.process_facts import process_rows
from posthouse.server.reload_count import ReloadCount

STATES = ("up", "failing", "open", "half_open", "draining", "disabled", "down")
"""As `posthouse status` says it."""


BACKENDS_AT_ONCE: Final = 100
"""A millisecond's work."""


class Serving(Protocol):
    """What is asked of `server.generation.Generation`."""

    @property
    def number(self) -> int: ...
    @property
    def config(self) -> Config: ...
    @property
    def pools(self) -> Mapping[str, Pool]: ...


class Working(Protocol):
    """What is asked of `server.worker.Worker`."""

    @property
    def serving(self) -> Serving | None: ...
    @property
    def is_ready(self) -> bool: ...
    @property
    def exchanges(self) -> int: ...
    @property
    def connections(self) -> int: ...
    @property
    def connections_limit(self) -> int: ...
    @property
    def shortages(self) -> Mapping[str, Shortage]: ...
    @property
    def reloads(self) -> ReloadCount | None:
        """None: another process of the group counts them."""


class Shared(Protocol):
    """What is asked of `server.runtime.Runtime`."""

    metrics: Metrics | None
    clock: Callable[[], float]

    @property
    def accepted(self) -> int: ...
    @property
    def idle(self) -> Sized: ...
    @property
    def loop(self) -> object: ...


class Measuring:
    """worker       set by who makes it; until then there is little to say
    collect_all  asks the whole group; None: this process is all there is
    """

    def __init__(self, shared: Shared) -> None:
        self.worker: Working | None = None
        self.collect_all: Callable[[], Awaitable[Snapshot]] | None = None
        self._shared = shared
        self._born = time.monotonic_ns()
        self._number = 0
        self._turn = asyncio.Lock()

    @property
    def is_ready(self) -> bool:
        """See `metrics_pages.Group`."""
        return self.worker is not None and self.worker.is_ready

    async def collect(self) -> Snapshot:
        """See `metrics_pages.Group`."""
        return await (self.tell() if self.collect_all is None else self.collect_all())

    def count(self) -> Metrics:
        """Exchanges are counted from now on."""
        if self._shared.metrics is None:
            self._shared.metrics = Metrics()
        return self._shared.metrics

    def keep(self, config: Config) -> None:
        """A configuration serves from now on."""
        metrics = self._shared.metrics
        if metrics is not None:
            metrics.keep(
                {
                    (site.addresses[0].text if site.addresses else "", base)
                    for site in config.sites
                    for base in (NO_ROUTE, *(route.base for route in site.routes))
                }
            )

    async def tell(self) -> Snapshot:
        """This process alone. Who asks once may ask again: from now on exchanges are counted.

        With thousands of sites it takes a fifth of a second, a millisecond at a time; one after the other, so that no
        snapshot has an older number of something than the one before.
        """
        async with self._turn:
            rows: dict[str, Rows] = {}
            number = self._next()
            for _ in self._steps(rows):
                await asyncio.sleep(0)
            return Snapshot(rows, self._born, number)

    def snapshot(self) -> Snapshot:
        """The same at once."""
        rows: dict[str, Rows] = {}
        for _ in self._steps(rows):
            pass
        return Snapshot(rows, self._born, self._next())

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _steps(self, rows: dict[str, Rows]) -> Iterator[None]:
        yield from self.count().gather(rows)
        rows |= {**process_rows(), **self._build_rows()}
        rows["posthouse_downstream_connections_accepted_total"] = {(): self._shared.accepted}
        rows["posthouse_upstream_idle_connections"] = {(): len(self._shared.idle)}
        worker = self.worker
        if worker is not None:
            rows["posthouse_exchanges_in_flight"] = {(): worker.exchanges}
            rows["posthouse_downstream_connections"] = {(): worker.connections}
            rows["posthouse_downstream_connections_limit"] = {(): worker.connections_limit}
            shortages = worker.shortages.items()
            rows["posthouse_short_workers"] = {(name,): int(one.is_now) for name, one in shortages}
            rows["posthouse_shortages_total"] = {(name,): one.times for name, one in shortages}
            if worker.reloads is not None:
                rows |= worker.reloads.rows()
            if worker.serving is not None:
                rows["posthouse_generation"] = {(): worker.serving.number}
                pools = tuple(worker.serving.pools.values())
                yield from gather_backends(pools, self._shared.clock, rows)

    def _build_rows(self) -> dict[str, Rows]:
        loop = type(self._shared.loop).__module__.partition(".")[0]
        return {
            "posthouse_build_info": {(__version__, sys.version.partition(" ")[0], loop): 1},
            "posthouse_workers": {(): 1},
        }


def backend_rows(pools: Collection[Pool], now: float) -> dict[str, Rows]:
    """How the backends are, and how many wait for them."""
    rows: dict[str, Rows] = {}
    for _ in gather_backends(pools, lambda: now, rows):
        pass
    return rows


def gather_backends(
    pools: Collection[Pool], clock: Callable[[], float], into: dict[str, Rows]
) -> Iterator[None]:
    """The same, with a pause after every few backends."""
    states: dict[Labels, Sample] = {}
    in_flight: dict[Labels, Sample] = {}
    fails: dict[Labels, Sample] = {}
    queued: dict[Labels, Sample] = {}
    number = 0
    for pool in pools:
        now = clock()
        pool.look(now)
        queued[(pool.name,)] = len(pool.queue)
        for backend in pool.backends:
            names = (pool.name, backend.name)
            state = standing(backend, now).state
            states |= {(*names, one): int(one == state) for one in STATES}
            in_flight[names] = backend.held
            fails[names] = backend.failures(now)
            number += 1
            if not number % BACKENDS_AT_ONCE:
                yield
                now = clock()
    into |= {
        "posthouse_backend_state": states,
        "posthouse_backend_in_flight": in_flight,
        "posthouse_backend_fails": fails,
        "posthouse_queue_length": queued,
    }
