from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace
from typing import Any

import pytest

from posthouse import __version__
from posthouse.adapt import adapt
from posthouse.balance.active_health import State
from posthouse.balance.pool import Pool, build_pool
from posthouse.config.specs import BreakerSpec, Config
from posthouse.observe.families import FAMILIES, NO_ROUTE
from posthouse.observe.metrics import CELLS_AT_ONCE, Metrics
from posthouse.observe.snapshot import Rows, Snapshot, merge
from posthouse.server.measuring import BACKENDS_AT_ONCE, STATES, Measuring, backend_rows, gather_backends
from posthouse.server.pressure import Shortage
from posthouse.server.reload_count import ReloadCount
from unit.balance.samples import pool_spec
from unit.proxy.samples import route
from unit.server.fellows import Fellows


class Shared:
    """A runtime."""

    def __init__(self) -> None:
        self.metrics: Metrics | None = None
        self.accepted = 5
        self.idle = [1, 2]
        self.loop = object()
        self.clock = lambda: 100.0


def pool(**facts: Any) -> Pool:
    made = build_pool(route("a", "b", name="p", **facts).pool, random.Random(1), None)
    made.start()
    return made


def working(**facts: Any) -> Any:
    serving = SimpleNamespace(number=3, config=Config(()), pools={"p": pool()})
    settings = {
        "serving": serving,
        "is_ready": True,
        "exchanges": 7,
        "connections": 9,
        "connections_limit": 480,
        "shortages": {"connections": Shortage(True, 3), "memory": Shortage(False, 1)},
        "reloads": ReloadCount(),
    }
    return SimpleNamespace(**{**settings, **facts})


def test_everything_that_is_in_the_table_can_be_told() -> None:
    measuring = Measuring(Shared())
    measuring.worker = working()
    cell = measuring.count().cell("s", "/")
    cell.exchanges["GET", 200, ""] = 1
    cell.failures["reset"] = 1
    cell.waits[0] = 1
    measuring.count().refused[400] = 1
    measuring.count().refused_peers = 4
    snapshot = measuring.snapshot()
    assert set(snapshot.rows) == set(FAMILIES)
    for name, rows in snapshot.rows.items():
        assert all(len(labels) == len(FAMILIES[name].labels) for labels in rows), name
    assert snapshot.value("posthouse_exchanges_in_flight") == 7
    assert snapshot.value("posthouse_downstream_connections") == 9
    assert snapshot.value("posthouse_downstream_connections_accepted_total") == 5
    assert snapshot.value("posthouse_upstream_idle_connections") == 2
    assert snapshot.value("posthouse_downstream_connections_limit") == 480
    assert snapshot.rows["posthouse_short_workers"] == {("connections",): 1, ("memory",): 0}
    assert snapshot.rows["posthouse_shortages_total"] == {("connections",): 3, ("memory",): 1}
    assert snapshot.value("posthouse_refused_peers_total") == 4
    assert snapshot.value("posthouse_generation") == 3
    (labels,) = snapshot.rows["posthouse_build_info"]
    assert labels[0] == __version__


def test_each_process_and_each_snapshot_can_be_told_apart() -> None:
    first, second = Measuring(Shared()), Measuring(Shared())
    one, two, other = first.snapshot(), first.snapshot(), second.snapshot()
    assert (one.born, one.number + 1) == (two.born, two.number)
    assert other.born > one.born > 0


def test_before_there_is_a_worker() -> None:
    measuring = Measuring(Shared())
    assert not measuring.is_ready
    assert "posthouse_generation" not in measuring.snapshot().rows
    measuring.worker = working(serving=None, is_ready=False, reloads=None)
    assert not measuring.is_ready
    snapshot = measuring.snapshot()
    assert "posthouse_reloads_total" not in snapshot.rows
    assert "posthouse_backend_state" not in snapshot.rows
    measuring.worker = working(serving=None)
    assert measuring.is_ready


def test_who_asks_makes_us_count() -> None:
    shared = Shared()
    measuring = Measuring(shared)
    measuring.keep(Config(()))
    assert shared.metrics is None
    measuring.snapshot()
    metrics = shared.metrics
    assert metrics is not None
    measuring.snapshot()
    assert shared.metrics is metrics


def test_sites_that_are_gone_are_folded() -> None:
    measuring = Measuring(Shared())
    metrics = measuring.count()
    gone, stays = metrics.cell("http://b.test", "/"), metrics.cell("http://a.test", "/api")
    answers = metrics.cell("http://a.test", NO_ROUTE)
    config = adapt("http://a.test, http://c.test {\nproxy /api localhost:1\n}\n", "Caddyfile", env={}).config
    measuring.keep(config)
    assert metrics.cell("http://a.test", "/api") is stays
    assert metrics.cell("http://a.test", NO_ROUTE) is answers
    assert metrics.cell("http://b.test", "/") is not gone


def test_the_whole_group_is_asked_where_there_is_one() -> None:
    measuring = Measuring(Shared())
    assert "posthouse_workers" in asyncio.run(measuring.collect()).rows

    async def all() -> Snapshot:
        return Snapshot({"posthouse_workers": {(): 4}})

    measuring.collect_all = all
    assert asyncio.run(measuring.collect()).value("posthouse_workers") == 4


def test_it_is_told_in_steps_and_one_after_the_other() -> None:
    measuring = Measuring(Shared())
    measuring.worker = working()
    metrics = measuring.count()
    for number in range(3 * CELLS_AT_ONCE):
        metrics.cell(f"s{number}", "/").exchanges["GET", 200, ""] = 1

    async def story() -> None:
        turns = 0
        first = asyncio.ensure_future(measuring.tell())
        second = asyncio.ensure_future(measuring.tell())
        while not first.done():
            turns += 1
            await asyncio.sleep(0)
        assert turns > 3 and not second.done()
        assert (await second).number == (await first).number + 1
        assert set((await first).rows) == set(measuring.snapshot().rows)

    asyncio.run(story())


def test_a_pause_after_every_few_backends() -> None:
    many = build_pool(
        route(*(f"h{n}" for n in range(2 * BACKENDS_AT_ONCE)), name="p").pool, random.Random(1), None
    )
    rows: dict[str, Rows] = {}
    assert sum(1 for _ in gather_backends([many], lambda: 1.0, rows)) == 2
    assert len(rows["posthouse_backend_fails"]) == 2 * BACKENDS_AT_ONCE


def test_backends_are_in_one_state() -> None:
    made = pool()
    first, second = made.backends
    first.acquire()
    second.believe(State.DOWN, "test", 1.0)
    rows = backend_rows([made], 100.0)
    states = rows["posthouse_backend_state"]
    assert {labels[1:] for labels, value in states.items() if value} == {
        ("http://a", "up"),
        ("http://b", "down"),
    }
    assert len(states) == 2 * len(STATES)
    assert rows["posthouse_backend_in_flight"] == {("p", "http://a"): 1, ("p", "http://b"): 0}
    assert rows["posthouse_queue_length"] == {("p",): 0}
    first.release()


def state_of(made: Pool, now: float) -> str:
    """The state that the first backend is in, by the metrics."""
    states = backend_rows([made], now)["posthouse_backend_state"]
    (found,) = [labels[2] for labels, value in states.items() if value and labels[1] == "http://a"]
    return found


@pytest.mark.parametrize("state", list(State))
def test_beliefs_of_health_checks_come_first(state: State) -> None:
    made = pool(fail_timeout=10.0)
    backend = made.backends[0]
    backend.fail(100.0)
    backend.believe(state, "test", 100.0)
    assert state_of(made, 101.0) == ("failing" if state is State.UP else state)


def test_failing_until_the_failures_are_forgotten() -> None:
    made = pool(fail_timeout=10.0)
    made.backends[0].fail(100.0)
    assert state_of(made, 109.9) == "failing"
    assert backend_rows([made], 109.9)["posthouse_backend_fails"]["p", "http://a"] == 1
    assert state_of(made, 110.1) == "up"
    assert backend_rows([made], 110.1)["posthouse_backend_fails"]["p", "http://a"] == 0


def test_the_breaker_has_states_of_its_own() -> None:
    made = pool(breaker=BreakerSpec(errors=50.0, minimum=1, window=10.0, open=30.0))
    made.backends[0].fail(100.0)
    assert state_of(made, 129.0) == "open"
    assert state_of(made, 131.0) == "half_open"


def test_each_worker_tells_what_it_holds_itself_so_that_the_sum_is_right() -> None:
    fellows = Fellows(pool_spec("a", "least_conn"), 2)
    for fellow in (*fellows, *fellows):
        fellow.comes()
    name = "posthouse_backend_in_flight"
    told = [backend_rows([fellow.pool], fellows.clock.now)[name] for fellow in fellows]
    assert told == [{("site /", "http://a:80"): 2}] * 2
    assert merge(Snapshot({name: rows}) for rows in told).value(name, "site /", "http://a:80") == 4
    fellows.close()
