"""The status of a group: what can be counted is summed, and the worst belief is shown."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from posthouse import __version__
from posthouse.adapt import adapt
from posthouse.observe.process_log import ProcessLog
from posthouse.server.bindings import Bindings, listen_keys
from posthouse.server.control import Prepare
from posthouse.server.group_status import GroupStatus, merged_pools, overlaid
from posthouse.server.ordering import Ordering
from posthouse.server.reloads import Outcome
from posthouse.server.upgrades import Upgraded
from posthouse.server.workers import Workers
from unit.server.fakes import Remembering
from unit.server.troupe import Cast, StandInScout, config_for


def backend(name: str, **changes: Any) -> dict[str, Any]:
    plain = {"name": name, "state": "up", "is_usable": True, "in_flight": 1, "fails": 2, "probe": None}
    return {**plain, **changes}


def pool(name: str, *backends: dict[str, Any], length: int = 0, oldest: int | None = None) -> dict[str, Any]:
    return {"name": name, "queue": {"length": length, "size": 9, "oldest_ms": oldest}, "backends": backends}


def test_counts_are_summed_and_the_worst_is_believed() -> None:
    """Failures are not: each worker remembers those of all."""
    first = [pool("p", backend("a"), backend("b"), length=2, oldest=30), pool("q")]
    down = backend("a", state="down", is_usable=False, fails=5)
    second = [pool("p", down, backend("b"), length=1, oldest=70)]
    p, q = merged_pools([first, second])
    assert (p["name"], q["name"]) == ("p", "q")
    assert p["queue"] == {"length": 3, "size": 9, "oldest_ms": 70}
    a, b = p["backends"]
    assert a == backend("a", state="down", is_usable=False, in_flight=2, fails=5)
    assert b == backend("b", in_flight=2, fails=2)


def test_what_only_the_supervisor_knows_is_laid_over_it() -> None:
    probe, source = {"verdict": "pass"}, {"name": "srv://s"}
    plain = [pool("p", backend("a"), backend("new")), pool("q", backend("c"))]
    p, q = overlaid(plain, {"p": {"sources": [source], "probes": {"a": probe, "gone": probe}}})
    assert p["backends"] == [backend("a", probe=probe), backend("new")]
    assert p["sources"] == [source]
    assert q == plain[1]


def test_of_a_name_that_only_some_have_theirs_is_shown() -> None:
    (p,) = merged_pools([[pool("p", backend("a"))], [pool("p", backend("a"), backend("new"))]])
    assert [(one["name"], one["in_flight"]) for one in p["backends"]] == [("a", 2), ("new", 1)]
    assert merged_pools([]) == []


class Supervising:
    def __init__(self, workers: Workers) -> None:
        self.workers = workers
        self.began, self.number = 100.0, 7
        self.config = adapt("p.test {\n proxy / a\n}\n", "Caddyfile", env={}).config
        self.ordering = Ordering(workers.children, ProcessLog(), lambda: 130.0)
        self.scout: StandInScout | None = StandInScout([])

    async def reload(self, cause: str) -> Outcome:
        assert cause == "admin"
        return Outcome(2, 1, 1, 5)

    async def upgrade(self, cause: str) -> Upgraded:
        return Upgraded(7, "2.0") if cause == "admin" else Upgraded(1, "1.0", "no")


def test_a_reload_is_reported(log: Remembering) -> None:
    status = GroupStatus(Supervising(Workers(Cast(log).start_worker, Bindings(1), log, 1, 0.0)), None)
    assert asyncio.run(status.reload()) == {"generation": 2, "sites": 1, "changed": 1, "took_ms": 5}


def test_all_that_serve_are_asked(loop: asyncio.AbstractEventLoop, log: Remembering) -> None:
    async def conversation() -> None:
        cast, bindings = Cast(log), Bindings(2)
        workers = Workers(cast.start_worker, bindings, log, 2, 0.0)
        status = GroupStatus(Supervising(workers), "/C", lambda: 160.0, lambda: 1_000_000_000.0)
        assert (await status.status())["workers"] == [], "nobody serves yet"
        await workers.start()
        config = config_for(0)
        prepare = Prepare(7, config)
        await workers.first(prepare)
        bindings.take(bindings.bind(listen_keys(config)))
        await workers.commit(prepare, {}, {})
        for player, exchanges in zip(cast.players, (2, 3), strict=True):
            player.report = {
                "exchanges": exchanges,
                "connections": 10,
                "connections_limit": 480,
                "short_of": ["memory"] * (exchanges == 2),
                "generations_retiring": exchanges,
                "exchanges_retiring": exchanges - 1,
                "sites": ["s"],
                "pools": [],
            }
        found = await status.status()
        assert (found["generation"], found["started"]) == (7, "2001-09-09T01:45:40.000Z")
        assert (found["uptime_s"], found["config"]) == (60.0, "/C")
        assert (found["exchanges"], found["connections"], found["generations_retiring"]) == (5, 20, 3)
        assert found["exchanges_retiring"] == 3
        assert found["sites"] == ["s"]
        assert [(one["slot"], one["exchanges"]) for one in found["workers"]] == [(0, 2), (1, 3)]
        assert [(one["connections_limit"], one["short_of"]) for one in found["workers"]] == [
            (480, ["memory"]),
            (480, []),
        ]
        assert found["orders"] == []
        told = await status.order({"order": "weight", "pool": "p.test", "backend": "a", "weight": "3"})
        assert (told["pool"], told["weight"], told["unconfirmed"]) == ("p.test /", 3, 0)
        await status.order({"order": "drain", "pool": "p.test", "backend": "a"})
        assert [len(player.orders) for player in cast.players] == [2, 2]
        assert "error" in await status.order({}), "nothing was asked for"
        facts = {"order": "drain", "weight": 3, "since": "2001-09-09T01:46:10.000Z"}
        order = {"pool": "p.test /", "backend": "http://a", **facts}
        assert (await status.status())["orders"] == [order]
        await workers.stop("TEST", lambda count: None, 0.05)
        for player in cast.players:
            await player.clear()

    loop.run_until_complete(asyncio.wait_for(conversation(), 20))


def test_an_upgrade_tells_who_serves(log: Remembering) -> None:
    workers = Workers(Cast(log).start_worker, Bindings(1), log, 1, 0.0)
    report = asyncio.run(GroupStatus(Supervising(workers), None).upgrade())
    assert (report["pid"], report["version"]) == (7, "2.0")
    assert report["before"] == {"pid": os.getpid(), "version": __version__}
