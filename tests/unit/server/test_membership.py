"""Members that come and go: what stays keeps its state, what runs is finished, what left is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from posthouse.adapt import adapt
from posthouse.balance.active_health import State
from posthouse.server.generation import build
from posthouse.server.membership import MOST_NAMES, named
from unit.balance.samples import Request, make_backends
from unit.server.fakes import Remembering
from unit.server.found import FoundRuntime, sources_of, srv, started

ONE = ":80 {\n proxy / srv://web.test {\n name p\n fail_timeout 1h\n health_check /h\n }\n}\n"


@pytest.fixture
def runtime(loop: asyncio.AbstractEventLoop, log: Remembering) -> Iterator[FoundRuntime]:
    made = FoundRuntime(loop, log)
    made.dns["web.test"] = srv("a", "b")
    yield made
    made.close()
    loop.run_until_complete(asyncio.sleep(0))


def run(runtime: FoundRuntime, main: Callable[[], Awaitable[None]]) -> None:
    runtime.loop.run_until_complete(asyncio.wait_for(main(), 10))


def route_of(generation: Any) -> Any:
    (plan,) = generation._plans.values()
    return plan.sites.find("x", generation._runtime.reactor.codec.targets.parse(b"/"))[0].find_route("/")


class WarmConnection:
    """What lies in IdleConnections."""

    def __init__(self, key: object) -> None:
        self.key = key
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


def test_who_stays_keeps_its_state(runtime: FoundRuntime, log: Remembering) -> None:
    async def main() -> None:
        generation = await started(ONE, runtime)
        before = generation.pools["p"]
        a = before.backends[0]
        before.acquire(a)
        before.fail(a, runtime.clock())
        a.believe(State.DOWN, "status 500")
        runtime.dns["web.test"] = srv("a", "c")
        await runtime.turn()
        after = generation.pools["p"]
        assert after is not before and after is route_of(generation).pool
        assert after.backends[0] is a
        assert (a.in_flight, a.failures(runtime.clock()), a.state) == (1, 1, State.DOWN)
        (line,) = log.of("members changed")
        assert (line["pool"], line["source"], line["backends"]) == ("p", "srv://web.test", 2)
        assert (line["came"], line["gone"]) == ("http://c:80", "http://b:80")
        after.release(a)

    run(runtime, main)


def test_what_looks_at_responses_knows_the_new_members(runtime: FoundRuntime) -> None:
    async def main() -> None:
        text = ONE.replace("name p", "name p\n policy sticky\n unhealthy_status 500")
        generation = await started(text, runtime)
        runtime.dns["web.test"] = srv("a", "c")
        await runtime.turn()
        route = route_of(generation)
        assert route.sessions is route.pool.sessions
        assert all(route.sessions.cookie(Request(), backend) for backend in route.pool.backends)
        assert route.judge._pool is route.pool

    run(runtime, main)


def test_members_that_came_between_build_and_start(runtime: FoundRuntime, log: Remembering) -> None:
    """Commands of `startup` may take long."""

    async def main() -> None:
        config = adapt(ONE, "Caddyfile", env={}).config
        runtime.dns["web.test"] = srv()
        await runtime.discoverer.prepare(sources_of(ONE))
        generation = build(config, runtime, None)
        runtime.dns["web.test"] = srv("a", "b")
        await runtime.turn()
        assert log.of("members changed") == []
        generation.start()
        assert [backend.name for backend in route_of(generation).pool.backends] == [
            "http://a:80",
            "http://b:80",
        ]

    run(runtime, main)


def test_nothing_happens_while_nothing_changes(runtime: FoundRuntime, log: Remembering) -> None:
    async def main() -> None:
        generation = await started(ONE, runtime)
        pool = generation.pools["p"]
        for _ in range(3):
            await runtime.turn()
        assert generation.pools["p"] is pool
        assert log.of("members changed") == []

    run(runtime, main)


def test_checks_follow_the_members(runtime: FoundRuntime) -> None:
    async def main() -> None:
        generation = await started(ONE, runtime)
        probers = dict(runtime.probes._probers)
        a, b = generation.pools["p"].backends
        assert set(probers) == {a, b}
        runtime.dns["web.test"] = srv("a", "c")
        await runtime.turn()
        assert set(runtime.probes._probers) == set(generation.pools["p"].backends)
        assert runtime.probes._probers[a] is probers[a], "its check goes on"

    run(runtime, main)


def test_an_exchange_at_a_member_that_leaves_is_finished_there(runtime: FoundRuntime) -> None:
    async def main() -> None:
        generation = await started(ONE, runtime)
        route = route_of(generation)
        a, b = route.pool.backends
        waiting, busy = WarmConnection(a), WarmConnection(b)
        assert runtime.idle.release(waiting, 9)  # type: ignore[arg-type]
        route.pool.acquire(b)
        runtime.dns["web.test"] = srv("c")
        await runtime.turn()
        assert waiting.is_closed
        assert route.origin(b).text == "http://b:80", "its head can still be written"
        assert not runtime.idle.release(busy, 9), "nobody would use it again"  # type: ignore[arg-type]
        route.pool.release(b)
        assert b.in_flight == 0
        runtime.dns["web.test"] = srv("d")
        await runtime.turn()
        assert runtime._leaving == {} and runtime.idle._left == set()

    run(runtime, main)


def test_who_comes_back_is_new(runtime: FoundRuntime) -> None:
    """What happened to an address that was somebody else's in between says nothing of it."""

    async def main() -> None:
        generation = await started(ONE, runtime)
        b = generation.pools["p"].backends[1]
        generation.pools["p"].fail(b, runtime.clock())
        for records in (srv("a"), srv("a", "b")):
            runtime.dns["web.test"] = records
            await runtime.turn()
        again = generation.pools["p"].backends[1]
        assert again.name == b.name and again is not b
        assert again.failures(runtime.clock()) == 0

    run(runtime, main)


def test_who_comes_back_while_it_is_held_is_the_same(runtime: FoundRuntime) -> None:
    """Else `max_conns` would be passed while a set flaps."""

    async def main() -> None:
        generation = await started(ONE.replace("name p", "name p\n max_conns 1"), runtime)
        b = generation.pools["p"].backends[1]
        generation.pools["p"].acquire(b)
        b.believe(State.DOWN, "status 500")
        for records in (srv("a"), srv("c"), srv("a", "b")):
            runtime.dns["web.test"] = records
            await runtime.turn()
        pool = generation.pools["p"]
        assert pool.backends[1] is b and b.is_full and pool.spec.endpoints[1].text == b.name
        warm = WarmConnection(b)
        pool.release(b)
        assert runtime.idle.release(warm, 9), "its connections are kept again"  # type: ignore[arg-type]
        assert b in runtime.probes._probers

    run(runtime, main)


def test_settings_of_a_pool_act_on_who_comes(runtime: FoundRuntime) -> None:
    text = ":80 {\n proxy / srv://web.test {\n max_conns 1\n }\n}\n"

    async def main() -> None:
        generation = await started(text, runtime)
        runtime.dns["web.test"] = srv("a", "b", "c")
        await runtime.turn()
        assert [backend.max_conns for backend in generation.pools[":80 /"].backends] == [1, 1, 1]

    run(runtime, main)


def test_a_port_for_checks_is_asked_of_each_member(runtime: FoundRuntime) -> None:
    """v1 refused that."""

    async def main() -> None:
        generation = await started(
            ONE.replace("health_check /h", "health_check /h\n health_check_port 99"), runtime
        )
        asked = [prober.check.endpoint for prober in runtime.probes._probers.values()]
        assert [(one.host, one.port) for one in asked] == [("a", 99), ("b", 99)]
        assert [backend.endpoint.port for backend in generation.pools["p"].backends] == [80, 80]

    run(runtime, main)


@pytest.mark.parametrize("count", [0, 1, MOST_NAMES, MOST_NAMES + 2])
def test_names_in_a_line(count: int) -> None:
    text = named(make_backends(count))
    assert text.count("http://") == min(count, MOST_NAMES)
    assert text.endswith("and 2 more") == (count > MOST_NAMES)
