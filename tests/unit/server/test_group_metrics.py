"""The numbers of the group: every worker is asked, and what the dead have counted stays."""

from __future__ import annotations

import asyncio
import gc

import pytest

from posthouse.config.specs import AddressSpec, Config, SiteSpec
from posthouse.observe.snapshot import Rows, Snapshot
from posthouse.server.bindings import Bindings, listen_keys
from posthouse.server.control import Collect, Collected, Measured, Prepare
from posthouse.server.group_metrics import GroupMetrics
from posthouse.server.workers import Workers
from unit.server.fakes import Remembering, until
from unit.server.troupe import Cast, config_for

FAMILY = "posthouse_downstream_connections_accepted_total"


class Supervising:
    is_ready = False


def counted(number: int, born: int) -> Snapshot:
    return Snapshot({FAMILY: {(): number}}, born, 1)


def test_all_are_asked_and_the_dead_are_remembered(
    loop: asyncio.AbstractEventLoop, log: Remembering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gc, "freeze", lambda: None)

    async def conversation() -> None:
        cast, bindings = Cast(log), Bindings(2)
        workers = Workers(cast.start_worker, bindings, log, 2, 0.0)
        supervising = Supervising()
        metrics = GroupMetrics(supervising, workers)
        assert not metrics.is_counting
        assert (await metrics.collect()).value(FAMILY) == 0, "nobody serves yet"
        assert metrics.is_counting
        await workers.start()
        config = config_for(0)
        await workers.first(Prepare(1, config))
        bindings.take(bindings.bind(listen_keys(config)))
        await workers.commit(Prepare(1, config), {}, {})
        first, second = cast.players
        first.snapshot, second.snapshot = counted(3, 1), counted(4, 2)
        metrics.reloads.fail()
        found = await metrics.collect()
        assert found.value(FAMILY) == 7
        assert found.value("posthouse_reloads_total", "failure") == 1
        assert found.rows["process_open_fds"][()] > 0, "our own"

        first.tell(Collect(5))
        await until(lambda: first.answers)
        (answer,) = first.answers
        assert isinstance(answer, Collected) and answer.number == 5 and answer.piece.value(FAMILY) == 7

        second.tell(Measured(99, counted(1000, 2), is_last=False))
        await until(lambda: "99" in repr(metrics._pieces))
        second.end(-9)
        await until(lambda: log.of("worker replaced"))
        assert repr(metrics._pieces) == "<Pieces []>", "what was half told is forgotten"
        cast.players[2].snapshot = counted(1, 3)
        assert (await metrics.collect()).value(FAMILY) == 3 + 4 + 1

        assert not metrics.is_ready
        supervising.is_ready = True
        assert metrics.is_ready
        await workers.stop("TEST", lambda count: None, 0.05)
        bindings.close()
        for player in cast.players:
            await player.clear()

    loop.run_until_complete(asyncio.wait_for(conversation(), 20))
    gc.enable()


def test_what_the_dead_had_counted_for_a_site_that_went_stays_in_the_total(log: Remembering) -> None:
    metrics = GroupMetrics(Supervising(), Workers(Cast(log).start_worker, Bindings(1), log, 1, 0.0))
    family = "posthouse_retries_total"
    rows: dict[str, Rows] = {family: {("a:80", "/"): 3, ("b:80", "/"): 4}}
    totals = metrics._collector.totals
    totals.update(0, Snapshot(rows, 1, 1))
    totals.bury(0)
    site = SiteSpec((AddressSpec("a:80", "http", "a", 80, ""),))
    metrics.keep(Config((site,)))
    kept = totals.sum().rows[family]
    assert sorted(map(str, kept.values())) == ["3", "4"]
    assert ("a:80", "/") in kept and ("b:80", "/") not in kept
