"""What a worker makes of orders: in the generation that serves, in the next one, and for backends that are found."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from posthouse.balance.active_health import State
from posthouse.balance.backend import Backend
from posthouse.balance.orders import Kind, Order, Orders
from posthouse.server.generation import Generation
from unit.server.fakes import Remembering
from unit.server.found import FoundRuntime, srv, started

SITES = """
:80 {
	proxy / a b { name p }
	proxy /found srv://web.test { name found }
	proxy /sticky a b { name sticky policy sticky }
}
"""
CHECKED = SITES.replace("proxy / a", "proxy /checked c { name checked health_check /h }\n proxy / a")
DISABLED = Order(Kind.DISABLE, 1.0)
HEAVY = Order(weight=7, in_place_of=1)


@pytest.fixture
def runtime(loop: asyncio.AbstractEventLoop, log: Remembering) -> Iterator[FoundRuntime]:
    made = FoundRuntime(loop, log)
    made.dns["web.test"] = srv("x", "y")
    yield made
    made.close()
    loop.run_until_complete(asyncio.sleep(0))


def run(runtime: FoundRuntime, main: Callable[[], Awaitable[None]]) -> None:
    runtime.loop.run_until_complete(asyncio.wait_for(main(), 10))


def give(runtime: FoundRuntime, generation: Generation, orders: Orders) -> None:
    """As `Process.obey` does it."""
    before, runtime.orders = runtime.orders, orders
    generation.obey({**before.by_pool, **orders.by_pool})


def backend(generation: Generation, pool: str, place: int) -> Backend:
    return generation.pools[pool].backends[place]


def test_what_serves_obeys_and_forgets(runtime: FoundRuntime) -> None:
    async def main() -> None:
        generation = await started(SITES, runtime)
        pool, (a, b) = generation.pools["p"], generation.pools["p"].backends
        give(runtime, generation, Orders().given("p", a.name, DISABLED).given("nobody's", "q", DISABLED))
        assert (a.is_usable, b.is_usable) == (False, True)
        assert backend(generation, "sticky", 0).is_usable, "of another pool"
        assert generation.pools["p"] is pool, "nothing is built for that"
        give(runtime, generation, Orders())
        assert a.is_usable

    run(runtime, main)


def test_another_weight_is_another_pool_with_the_same_backends(runtime: FoundRuntime) -> None:
    async def main() -> None:
        generation = await started(CHECKED, runtime)
        for name in ("p", "sticky", "checked"):
            before = generation.pools[name]
            backends = before.backends
            backends[0].acquire()
            give(runtime, generation, runtime.orders.given(name, backends[0].name, HEAVY))
            pool = generation.pools[name]
            assert pool is not before and pool.backends == backends
            assert (backends[0].weight, backends[0].share, backends[0].in_flight) == (7, 7.0, 1)
        sessions = generation.pools["sticky"].sessions
        assert sessions is not None and sessions._key
        give(runtime, generation, Orders())
        assert backend(generation, "p", 0).weight == 1

    run(runtime, main)


def test_a_check_goes_on_when_its_backend_weighs_something_else(runtime: FoundRuntime) -> None:
    async def main() -> None:
        generation = await started(CHECKED, runtime)
        c = backend(generation, "checked", 0)
        prober = runtime.probes._probers[c]
        c.believe(State.DOWN, "status 500")
        give(runtime, generation, Orders().given("checked", c.name, HEAVY))
        assert runtime.probes._probers[c] is prober and c.state is State.DOWN

    run(runtime, main)


def test_the_next_generation_obeys_from_its_start_on(runtime: FoundRuntime) -> None:
    async def main() -> None:
        runtime.orders = Orders().given("p", "http://a", DISABLED).given("p", "http://b", HEAVY)
        first = await started(SITES, runtime)
        assert not backend(first, "p", 0).is_usable and backend(first, "p", 1).weight == 7
        second = await started(SITES.replace("a b { name p }", "b a d { name p }"), runtime, first)
        b, a, d = second.pools["p"].backends
        assert (a.is_usable, b.is_usable, d.is_usable) == (False, True, True) and b.weight == 7
        third = await started(
            SITES.replace("a b { name p }", "{ name p\n upstream b weight=3 \n}"), runtime, second
        )
        assert backend(third, "p", 0).weight == 3, "the file has changed its mind"

    run(runtime, main)


def test_an_order_that_came_after_the_build_is_obeyed_at_the_start(runtime: FoundRuntime) -> None:
    async def main() -> None:
        from posthouse.adapt import adapt
        from posthouse.server.generation import build

        generation = build(adapt(SITES, "Caddyfile", env={}).config, runtime, None)
        runtime.orders = Orders().given("p", "http://a", HEAVY).given("p", "http://b", DISABLED)
        generation.start()
        assert backend(generation, "p", 0).weight == 7 and not backend(generation, "p", 1).is_usable

    run(runtime, main)


def test_who_is_found_obeys_also_when_it_comes_again(runtime: FoundRuntime) -> None:
    async def main() -> None:
        generation = await started(SITES, runtime)
        orders = (
            Orders().given("found", "http://x:80", DISABLED).given("found", "http://y:80", Order(weight=9))
        )
        give(runtime, generation, orders)
        assert [one.is_usable for one in generation.pools["found"].backends] == [False, True]
        runtime.dns["web.test"] = srv("z")
        await runtime.turn()
        runtime.dns["web.test"] = srv("x", "y", "z")
        await runtime.turn()
        x, y, z = generation.pools["found"].backends
        assert (x.is_usable, y.is_usable, z.is_usable) == (False, True, True)
        assert (y.weight, z.weight) == (9, 1)

    run(runtime, main)


def test_who_was_taken_away_comes_back_without_its_order(runtime: FoundRuntime) -> None:
    """Also where something still runs there, so that it is the same object."""

    async def main() -> None:
        runtime.orders = Orders().given("p", "http://a", DISABLED)
        first = await started(SITES, runtime)
        a = backend(first, "p", 0)
        a.acquire()
        second = await started(SITES.replace("a b { name p }", "b { name p }"), runtime, first)
        give(runtime, second, Orders())
        third = await started(SITES, runtime, second)
        assert backend(third, "p", 0) is a and a.is_usable
        a.release()

    run(runtime, main)
