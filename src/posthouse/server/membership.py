"""Membership: keeps the pool of one route to what its sources say, while the route is at work.

A changed set becomes a new pool, built from the one at work: backends that stay are the same objects, with their
counts, failures and health. Exchanges at a backend that leaves finish there; its connections are then closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from posthouse.balance.backend import Backend
from posthouse.balance.pool import Pool
from posthouse.config.specs import SiteSpec, SourceSpec
from posthouse.proxy.route import Route
from posthouse.server.obeying import Pools, put_in_place
from posthouse.server.runtime import Runtime

MOST_NAMES: Final = 5
"""Of backends in a line of the log."""


class Membership:
    """See above. Built with the generation, `apply` is called when that serves and for each change."""

    __slots__ = ("_pools", "_runtime", "_site", "route")

    def __init__(self, site: SiteSpec, route: Route, runtime: Runtime, pools: Pools) -> None:
        self.route = route
        self._site = site
        self._runtime = runtime
        self._pools = pools

    def __repr__(self) -> str:
        return f"<Membership {self.route.pool!r}>"

    @property
    def sources(self) -> Sequence[SourceSpec]:
        return self.route.spec.pool.sources

    def apply(self, source: SourceSpec) -> None:
        """Take over what the sources say now; `source` is the one that changed, for the log."""
        spec = self._runtime.wanted(self.route.spec.pool)
        if spec == self.route.pool.spec:
            return
        before = put_in_place(spec, self._site, self.route, self._runtime, self._pools)
        if self._runtime.told is not None:  # so are all workers: who tells has logged it
            return
        pool = self.route.pool
        came, gone = difference(before, pool)
        self._runtime.log.info(
            "members changed",
            pool=pool.name,
            source=source.text,
            came=named(came),
            gone=named(gone),
            backends=len(pool.backends),
        )


def difference(before: Pool, after: Pool) -> tuple[list[Backend], list[Backend]]:
    """Who came, and who is gone."""
    old, new = set(before.backends), set(after.backends)
    came = [backend for backend in after.backends if backend not in old]
    return came, [backend for backend in before.backends if backend not in new]


def named(backends: Iterable[Backend]) -> str:
    """The names for a line of the log."""
    names = [backend.name for backend in backends]
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
