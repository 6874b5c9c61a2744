"""What a worker knows of its sites, pools and backends as they are now, in words that JSON can hold.

Names are those of the configuration without credentials. Keys are a contract (docs/admin.md): some may come, none
goes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from posthouse import __version__
from posthouse.balance.backend import Backend
from posthouse.balance.pool import Pool
from posthouse.balance.standing import comes_back, standing
from posthouse.config.specs import Config, SiteSpec, SourceSpec
from posthouse.observe.timestamps import MILLISECONDS, iso_utc, whole_ms
from posthouse.probe.prober import Last
from posthouse.server.discoverer import Heard
from posthouse.server.pressure import Shortage

Report = dict[str, object]

_T = TypeVar("_T")

POOLS_AT_ONCE: Final = 50
"""Of a report in one piece, and as many sites: a millisecond's work, for who makes it and for who reads it."""


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
    def began(self) -> float: ...
    @property
    def serving(self) -> Serving | None: ...
    @property
    def retiring(self) -> int: ...
    @property
    def exchanges_retiring(self) -> int: ...
    @property
    def exchanges(self) -> int: ...
    @property
    def connections(self) -> int: ...
    @property
    def connections_limit(self) -> int: ...
    @property
    def shortages(self) -> Mapping[str, Shortage]: ...


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment on both clocks: monotonic seconds, and seconds since 1970."""

    now: float
    wall: float

    def stamp(self, at: float) -> str:
        """A monotonic time as RFC 3339 in UTC."""
        second, ms = divmod(whole_ms(self.wall - (self.now - at)), 1000)
        return f"{iso_utc(second)}{MILLISECONDS[ms]}"


class Status:
    """Answers for one worker. What sources and checks have said only who asks them knows: the report has places for it.

    config  the absolute path of its configuration; None: it did not come from a file
    """

    def __init__(
        self,
        worker: Working,
        config: str | None,
        moment: Callable[[], Moment],
    ) -> None:
        self._worker = worker
        self._config = config
        self._moment = moment

    def pieces(self) -> Iterator[Report]:
        """Everything, each piece as of when it is made: first what concerns all, then some sites or pools each.

        `joined` makes one report of them.
        """
        worker, moment = self._worker, self._moment()
        serving = worker.serving
        sites: Sequence[SiteSpec] = serving.config.sites if serving is not None else ()
        pools = list(serving.pools.values()) if serving is not None else []
        yield {
            "version": __version__,
            "pid": os.getpid(),
            "config": self._config,
            "started": moment.stamp(worker.began),
            "uptime_s": round(moment.now - worker.began, 3),
            "generation": serving.number if serving is not None else 0,
            "generations_retiring": worker.retiring,
            "exchanges_retiring": worker.exchanges_retiring,
            "exchanges": worker.exchanges,
            "connections": worker.connections,
            "connections_limit": worker.connections_limit,
            "short_of": [name for name, one in worker.shortages.items() if one.is_now],
            "sites": [],
            "pools": [],
        }
        for some in _some(sites):
            yield {"sites": [_site(one) for one in some]}
        for few in _some(pools):
            moment = self._moment()
            yield {"pools": [self._pool(one, moment) for one in few]}

    def _pool(self, pool: Pool, moment: Moment) -> Report:
        pool.look(moment.now)
        first = pool.queue.first()
        return {
            "name": pool.name,
            "policy": pool.spec.policy.name,
            "queue": {
                "length": len(pool.queue),
                "size": pool.spec.queue.size,
                "wait_s": pool.spec.queue.wait,
                "oldest_ms": whole_ms(moment.now - first.since) if first is not None else None,
            },
            "sources": [],
            "backends": [self._backend(one, pool, moment) for one in pool.backends],
        }

    def _backend(self, backend: Backend, pool: Pool, moment: Moment) -> Report:
        stands = standing(backend, moment.now)
        left_out = comes_back(backend) - moment.now
        return {
            "name": backend.name,
            "state": stands.state,
            "reason": stands.reason or None,
            "since": moment.stamp(stands.since) if stands.since is not None else None,
            "is_usable": backend.is_usable,
            "in_flight": backend.held,
            "max_conns": backend.max_conns or None,
            "weight": backend.weight,
            "warmth": round(backend.warmth, 2),
            "role": backend.endpoint.role,
            "fails": backend.failures(moment.now),
            "left_out_s": round(left_out, 3) if left_out > 0 else None,
            "probe": None,
        }


def joined(pieces: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The report that these are the pieces of."""
    first, *others = pieces
    report = dict(first)
    lists: dict[str, list[object]] = {}
    for piece in others:
        for name, values in piece.items():
            lists.setdefault(name, []).extend(values)
    return {**report, **lists}


def _some(things: Sequence[_T]) -> Iterator[Sequence[_T]]:
    return (things[at : at + POOLS_AT_ONCE] for at in range(0, len(things), POOLS_AT_ONCE))


def probe_report(last: Last | None, moment: Moment) -> Report | None:
    """The last health check of a backend."""
    if last is None:
        return None
    return {"at": moment.stamp(last.at), "verdict": last.verdict, "reason": last.reason}


def source_report(source: SourceSpec, heard: Heard, moment: Moment) -> Report:
    """A source and what it has said."""
    return {
        "name": source.text,
        "state": source_state(heard),
        "members": heard.members,
        "trouble": heard.trouble or None,
        "since": moment.stamp(heard.since) if heard.since is not None else None,
    }


def source_state(heard: Heard) -> str:
    """One word for it: up, stale (the last good answer is kept), down (there is none), or new (nothing said yet)."""
    if heard.since is None:
        return "new"
    if not heard.trouble:
        return "up"
    return "stale" if heard.members else "down"


def _site(spec: SiteSpec) -> Report:
    return {
        "name": spec.addresses[0].text if spec.addresses else "",
        "addresses": [address.text for address in spec.addresses],
        "pools": [route.pool.name for route in spec.routes],
    }
