"""Measuring: what one worker has counted and how it is now, as a snapshot.

`collect` answers for the whole group; a worker that has others beside it is given a way to ask them all.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sized
from typing import Protocol

from posthouse import __version__
from posthouse.balance.pool import Pool
from posthouse.balance.standing import standing
from posthouse.config.specs import Config
from posthouse.observe.families import NO_ROUTE
from posthouse.observe.metrics import Metrics
from posthouse.observe.snapshot import Labels, Rows, Sample, Snapshot
from posthouse.server.process_facts import process_rows
from posthouse.server.reloads import Reloads

STATES = ("up", "failing", "open", "half_open", "draining", "down")
"""As `posthouse status` says it."""


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
    def reloads(self) -> Reloads | None:
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

    @property
    def is_ready(self) -> bool:
        """See `metrics_pages.Group`."""
        return self.worker is not None and self.worker.is_ready

    async def collect(self) -> Snapshot:
        """See `metrics_pages.Group`."""
        return self.snapshot() if self.collect_all is None else await self.collect_all()

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

    def snapshot(self) -> Snapshot:
        """This process alone. Who asks once may ask again: from now on exchanges are counted."""
        self._number += 1
        rows: dict[str, Rows] = {**self.count().rows(), **process_rows(), **self._build_rows()}
        rows["posthouse_downstream_connections_accepted_total"] = {(): self._shared.accepted}
        rows["posthouse_upstream_idle_connections"] = {(): len(self._shared.idle)}
        worker = self.worker
        if worker is not None:
            rows["posthouse_exchanges_in_flight"] = {(): worker.exchanges}
            rows["posthouse_downstream_connections"] = {(): worker.connections}
            if worker.reloads is not None:
                rows |= worker.reloads.rows()
            if worker.serving is not None:
                rows["posthouse_generation"] = {(): worker.serving.number}
                rows |= backend_rows(worker.serving.pools.values(), self._shared.clock())
        return Snapshot(rows, self._born, self._number)

    def _build_rows(self) -> dict[str, Rows]:
        loop = type(self._shared.loop).__module__.partition(".")[0]
        return {
            "posthouse_build_info": {(__version__, platform.python_version(), loop): 1},
            "posthouse_workers": {(): 1},
        }


def backend_rows(pools: Collection[Pool], now: float) -> dict[str, Rows]:
    """How the backends are, and how many wait for them."""
    states: dict[Labels, Sample] = {}
    in_flight: dict[Labels, Sample] = {}
    fails: dict[Labels, Sample] = {}
    queued: dict[Labels, Sample] = {}
    for pool in pools:
        pool.look(now)
        queued[(pool.name,)] = len(pool.queue)
        for backend in pool.backends:
            names = (pool.name, backend.name)
            state = standing(backend, now).state
            states |= {(*names, one): int(one == state) for one in STATES}
            in_flight[names] = backend.in_flight
            fails[names] = backend.failures(now)
    return {
        "posthouse_backend_state": states,
        "posthouse_backend_in_flight": in_flight,
        "posthouse_backend_fails": fails,
        "posthouse_queue_length": queued,
    }
