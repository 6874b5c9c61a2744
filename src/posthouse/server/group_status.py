"""What `GET /status` answers: the reports of all workers (`server/status.py`) as one.

A reload is asked of the supervisor. What can be counted is summed; but for failures, which all workers remember, also
those that others have told them. Of a backend that workers see differently the report is that of the one that thinks
least of it. What only the supervisor knows is laid over that.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from posthouse import __version__
from posthouse.balance.orders import Order
from posthouse.config.specs import Config
from posthouse.server.child import ask_all
from posthouse.server.control import AskStatus, StatusReport
from posthouse.server.ordering import Ordering, Wish, described
from posthouse.server.parts import Scout
from posthouse.server.reloads import Outcome
from posthouse.server.slices import at_once, in_slices
from posthouse.server.status import Moment, joined
from posthouse.server.upgrades import Upgraded
from posthouse.server.workers import Workers

ANSWER_SECONDS: Final = 2.0
"""A worker that takes longer is left out of the report."""

Report = dict[str, Any]


class Supervising(Protocol):
    """What is asked of `server.supervisor.Supervisor`."""

    @property
    def began(self) -> float: ...
    @property
    def number(self) -> int: ...
    @property
    def workers(self) -> Workers: ...
    @property
    def config(self) -> Config: ...
    @property
    def ordering(self) -> Ordering: ...
    @property
    def scout(self) -> Scout | None: ...
    def reload(self, cause: str) -> Awaitable[Outcome]: ...
    def upgrade(self, cause: str) -> Awaitable[Upgraded]: ...


class GroupStatus:
    """Answers for the whole group.

    config  the absolute path of its configuration; None: it did not come from a file
    """

    def __init__(
        self,
        supervisor: Supervising,
        config: str | None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._supervisor = supervisor
        self._config = config
        self._clock = clock
        self._wall = wall

    async def reload(self) -> Report:
        """Reload the configuration; how it went."""
        # Others may wait for the same reload: an asker that goes must not take it along.
        return (await asyncio.shield(self._supervisor.reload("admin"))).report()

    async def status(self) -> Report:
        """Everything, as of now."""
        supervisor = self._supervisor
        serving = [child for child in supervisor.workers.children() if child.is_serving]
        answers = await ask_all(serving, AskStatus(), StatusReport, ANSWER_SECONDS)
        moment = Moment(self._clock(), self._wall())
        reports = [joined(piece.report for piece in pieces) for _, pieces in answers]
        workers = [
            {
                "slot": child.slot,
                "pid": child.pid,
                "exchanges": report["exchanges"],
                "connections": report["connections"],
                "connections_limit": report["connections_limit"],
                "short_of": report["short_of"],
            }
            for (child, _), report in zip(answers, reports, strict=True)
        ]
        return {
            "version": __version__,
            "pid": os.getpid(),
            "config": self._config,
            "started": moment.stamp(supervisor.began),
            "uptime_s": round(moment.now - supervisor.began, 3),
            "generation": supervisor.number,
            "generations_retiring": max((one["generations_retiring"] for one in reports), default=0),
            "exchanges_retiring": sum(one["exchanges_retiring"] for one in reports),
            "exchanges": sum(one["exchanges"] for one in reports),
            "connections": sum(one["connections"] for one in reports),
            "workers": workers,
            "sites": reports[0]["sites"] if reports else [],
            "pools": overlaid(
                await in_slices(_merge([one["pools"] for one in reports])),
                supervisor.scout.report() if supervisor.scout is not None else {},
            ),
            "orders": [_order(*one, moment) for one in supervisor.ordering.orders.all()],
        }

    async def upgrade(self) -> Report:
        """Have another process take over; how that went."""
        return (await self._supervisor.upgrade("admin")).report()

    async def order(self, asked: Mapping[str, str]) -> Report:
        """Have all workers obey an order; what was ordered, or `error`. asked: order, pool, backend, weight."""
        wish = Wish(*(asked.get(name, "") for name in ("order", "pool", "backend", "weight")))
        return await self._supervisor.ordering.give(wish, self._supervisor.config, self._members)

    async def _members(self, pool: str) -> Sequence[str]:
        pools = (await self.status())["pools"]
        return [backend["name"] for one in pools if one["name"] == pool for backend in one["backends"]]


def _order(pool: str, backend: str, order: Order, moment: Moment) -> Report:
    since = moment.stamp(order.since) if order.since is not None else None
    return {"pool": pool, "backend": backend, **described(order), "since": since}


def merged_pools(reports: Sequence[Sequence[Report]]) -> list[Report]:
    """The pools of all workers, by name; in the order of the first worker."""
    return at_once(_merge(reports))


def _merge(reports: Sequence[Sequence[Report]]) -> Generator[None, None, list[Report]]:
    merged = []
    for same in _by_name(reports):
        merged.append(_pool(same))
        yield
    return merged


def overlaid(pools: Sequence[Report], found: Mapping[str, Mapping[str, Any]]) -> list[Report]:
    """The pools with what only who asks backends and sources knows (`Scout.report`)."""
    return [_overlaid(pool, found[pool["name"]]) if pool["name"] in found else pool for pool in pools]


def _overlaid(pool: Report, found: Mapping[str, Any]) -> Report:
    probes = found["probes"]
    backends = [{**one, "probe": probes.get(one["name"])} for one in pool["backends"]]
    return {**pool, "sources": found["sources"], "backends": backends}


def _by_name(reports: Iterable[Sequence[Report]]) -> Iterable[list[Report]]:
    found: dict[str, list[Report]] = {}
    for report in reports:
        for one in report:
            found.setdefault(one["name"], []).append(one)
    return found.values()


def _pool(same: Sequence[Report]) -> Report:
    oldest = [one["queue"]["oldest_ms"] for one in same if one["queue"]["oldest_ms"] is not None]
    queue = {
        **same[0]["queue"],
        "length": sum(one["queue"]["length"] for one in same),
        "oldest_ms": max(oldest, default=None),
    }
    backends = [_backend(backend) for backend in _by_name([one["backends"] for one in same])]
    return {**same[0], "queue": queue, "backends": backends}


def _backend(same: Sequence[Report]) -> Report:
    worst = next((one for one in same if not one["is_usable"]), same[0])
    return {
        **worst,
        "in_flight": sum(one["in_flight"] for one in same),
        "fails": max(one["fails"] for one in same),
    }
