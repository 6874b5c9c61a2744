"""Obeying: what a worker does with the orders for backends (`balance/orders.py`), and a pool in another one's place."""

from __future__ import annotations

from typing import Protocol

from posthouse.balance.orders import Orders
from posthouse.balance.pool import Pool, build_pool
from posthouse.config.specs import PoolSpec, SiteSpec
from posthouse.proxy.route import Route
from posthouse.server.runtime import Runtime


class Pools(Protocol):
    """Who holds the pools and the checks of a generation (`server/generation.py`)."""

    def use(self, site: SiteSpec, route: Route) -> None:
        """The route has another pool."""


def obey(site: SiteSpec, route: Route, runtime: Runtime, pools: Pools) -> None:
    """From now on the route's pool is as was ordered. Where it is, nothing happens."""
    spec = runtime.wanted(route.spec.pool)
    if spec != route.pool.spec:
        put_in_place(spec, site, route, runtime, pools)
    command(route.pool, runtime.orders)


def command(pool: Pool, orders: Orders) -> None:
    """Tell its backends the standing orders."""
    for backend in pool.backends:
        order = orders.of(pool.name, backend.name)
        if backend.order != order:
            backend.obey(order)


def put_in_place(spec: PoolSpec, site: SiteSpec, route: Route, runtime: Runtime, pools: Pools) -> Pool:
    """The route's pool is made anew from the one at work: backends that stay are the same objects. The one before."""
    before = route.pool
    pool = build_pool(spec, runtime.rng, before, before.tls, None, runtime.cursor(spec.name))
    if pool.sessions is not None and before.sessions is not None:
        pool.sessions.take_key(before.sessions)
    if runtime.colleagues is not None:
        runtime.colleagues.share(pool)
    command(pool, runtime.orders)
    pool.start()
    runtime.recall(pool)
    route.use(pool)
    pools.use(site, route)
    runtime.leave([before], [pool])
    pool.queue.hand_over(before, pool)
    return before
