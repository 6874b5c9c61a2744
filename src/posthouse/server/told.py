"""Told: what a worker knows of backends without asking them. The supervisor asks, once for all workers
(`server/lookout.py`), and tells.

Laws
1. What is told holds until something else is told of the same backend or source; also for one that comes later: a
   worker that is started learns all before it serves.
2. Each message is answered once it has taken effect: no exchange begins afterwards with a backend that is not up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from posthouse.balance.active_health import State
from posthouse.balance.identity import BackendKey
from posthouse.config.specs import EndpointSpec, PoolSpec, SourceSpec
from posthouse.server.discoverer import expanded, key_of

if TYPE_CHECKING:
    from posthouse.balance.backend import Backend
    from posthouse.balance.pool import Pool


@dataclass(frozen=True, slots=True)
class Believed:
    """To a worker: what health checks say of a backend from now on. since: monotonic seconds"""

    pool: str
    backend: BackendKey
    state: State
    reason: str
    since: float | None


@dataclass(frozen=True, slots=True)
class Found:
    """To a worker: the members of a source (its key) from now on."""

    source: SourceSpec
    members: tuple[EndpointSpec, ...]


@dataclass(frozen=True, slots=True)
class Noted:
    """From a worker: a `Believed` or `Found` has taken effect. They are answered in their order."""


class ToldChecks:
    """What is believed of backends that somebody else checks; kept of those that are not up, for pools that are built
    later."""

    __slots__ = ("_not_up",)

    def __init__(self) -> None:
        self._not_up: dict[tuple[str, BackendKey], Believed] = {}

    def __repr__(self) -> str:
        return f"<ToldChecks not_up={len(self._not_up)}>"

    def hear(self, told: Believed, pools: Mapping[str, Pool]) -> None:
        """pools: those that serve, by name"""
        key = told.pool, told.backend
        if told.state is State.UP:
            self._not_up.pop(key, None)
        else:
            self._not_up[key] = told
        pool = pools.get(told.pool)
        backend = pool.find(told.backend) if pool is not None else None
        if backend is not None:
            _believe(backend, told)

    def recall(self, pool: Pool) -> None:
        """This pool serves from now on: its backends are what they are believed to be."""
        if self._not_up:
            for backend in pool.backends:
                told = self._not_up.get((pool.name, backend.key))
                if told is not None:
                    _believe(backend, told)


def _believe(backend: Backend, told: Believed) -> None:
    if (backend.state, backend.reason, backend.since) != (told.state, told.reason, told.since):
        backend.believe(told.state, told.reason, told.since)


class ToldSources:
    """The members of sources that somebody else follows."""

    __slots__ = ("_followers", "_members")

    def __init__(self) -> None:
        self._members: dict[SourceSpec, tuple[EndpointSpec, ...]] = {}
        self._followers: dict[SourceSpec, list[Callable[[SourceSpec], None]]] = {}

    def __repr__(self) -> str:
        return f"<ToldSources {len(self._members)}>"

    def hear(self, found: Found) -> None:
        """Whoever follows the source takes its members over."""
        self._members[found.source] = found.members
        for tell in self._followers.get(found.source, ()):
            tell(found.source)

    def expand(self, spec: PoolSpec) -> PoolSpec:
        """The pool with the members that its sources are known to have."""
        return expanded(spec, lambda source: self._members.get(source, ()))

    def follow(self, followers: Mapping[Callable[[SourceSpec], None], Iterable[SourceSpec]]) -> None:
        """Those who are told of changes from now on, in the place of those before."""
        self._followers = {}
        for tell, sources in followers.items():
            for source in {key_of(source) for source in sources}:
                self._followers.setdefault(source, []).append(tell)
        self.drop_unfollowed()

    def drop_unfollowed(self) -> None:
        """Forget what was told for a configuration that does not serve."""
        self._members = {source: kept for source, kept in self._members.items() if source in self._followers}


class Told:
    """What is told to one worker: of checks and of sources."""

    __slots__ = ("checks", "sources")

    def __init__(self) -> None:
        self.checks = ToldChecks()
        self.sources = ToldSources()

    def hear(self, told: Believed | Found, pools: Mapping[str, Pool]) -> None:
        """pools: those that serve, by name"""
        if isinstance(told, Found):
            self.sources.hear(told)
        else:
            self.checks.hear(told, pools)
