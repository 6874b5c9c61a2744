"""Generation: everything built from one configuration, numbered.

Building does no I/O but opening log files and reading certificates and password files; a generation that fails to
build leaves nothing behind and changes nothing of the one that serves. A site whose spec and files are as they were is
not built again: both generations have the same `BuiltSite`.
"""

from __future__ import annotations

import math
from collections.abc import Container, Generator, Iterator, Sequence

from posthouse.balance.pool import Pool
from posthouse.config.specs import Config, LimitsSpec, ProxyProtocolSpec, RotationSpec, TCPSpec, TimeoutsSpec
from posthouse.errors import ConfigError
from posthouse.net.entrance import Introducers
from posthouse.net.handler import DownstreamTimeouts
from posthouse.protocol.h1 import HeadLimits
from posthouse.proxy.plan import ListenerPlan
from posthouse.proxy.site import Sites
from posthouse.server.built_site import BuiltSite
from posthouse.server.logs import LogKey
from posthouse.server.runtime import Runtime
from posthouse.server.site_builder import SiteBuilder, rotation_mistake
from posthouse.server.slices import at_once, in_slices
from posthouse.server.sockets import ListenKey
from posthouse.server.tcp_settings import DEFAULT, tcp_settings


class Generation:
    """One configuration at work.

    in_flight  exchanges that began with it and still run
    sites      in the order of the file; none once it is retired and its last exchange has ended
    fresh      those of them that the generation before did not have; left: those of it that are not here. Both are
               empty again when the one before is retired
    """

    def __init__(self, number: int, config: Config, runtime: Runtime) -> None:
        self.number = number
        self.config = config
        self.in_flight = 0
        self.sites: list[BuiltSite] = []
        self.fresh: list[BuiltSite] = []
        self.left: list[BuiltSite] = []
        self.rotations: dict[LogKey, RotationSpec] = {}
        self._rotated: set[LogKey] = set()
        self._runtime = runtime
        self._plans: dict[ListenKey, ListenerPlan] = {}
        self._is_retired = False

    def __repr__(self) -> str:
        return f"<Generation {self.number} sites={len(self.config.sites)} in_flight={self.in_flight}>"

    @property
    def listen(self) -> tuple[ListenKey, ...]:
        """The addresses to listen on."""
        return tuple(self._plans)

    @property
    def pools(self) -> dict[str, Pool]:
        """All pools by name, in the order of the file. O(pools)."""
        return _pools_of(self.sites)

    @property
    def outputs(self) -> int:
        """How many log outputs it holds open, and cursors of pools."""
        colleagues = self._runtime.colleagues
        cursors = 0 if colleagues is None else len(colleagues.cursors)
        return cursors + len({key for built in self.sites for key in built.logs})

    def handler(self, key: ListenKey) -> ListenerPlan:
        """What an address does."""
        return self._plans[key]

    def start(self) -> None:
        """It serves from now on; its health checks take the place of those of the one before. O(what has changed)."""
        runtime = self._runtime
        for built in self.fresh:
            built.start()
        for key in self._rotated:
            runtime.logs.rotate(key, self.rotations.get(key, RotationSpec()))
        gone = [check.backend for built in self.left for check in built.checks]
        runtime.change_checks(gone, [check for built in self.fresh for check in built.checks])
        measuring = runtime.measuring
        if any(site.metrics is not None for site in self.config.sites):
            measuring.count()
        measuring.keep(self.config)
        memberships = [one for built in self.sites for one in built.memberships]
        runtime.follow({one.apply: one.sources for one in memberships})
        for built in self.fresh:
            built.obey(runtime.orders.by_pool)
            built.catch_up()
        if runtime.colleagues is not None:
            runtime.colleagues.begin()

    def obey(self, pools: Container[str]) -> None:
        """The orders for backends of these pools are other ones. O(routes)."""
        for built in self.sites:
            built.obey(pools)

    def retire(self, successor: Generation | None = None) -> None:
        """Another one serves from now on (or this one never will); what runs is finished first.

        The warm connections that the successor will not use are closed: of backends that it does not have, or speaks
        to with another TLS identity.
        """
        self._is_retired = True
        if successor is not None:
            left, fresh = _pools_of(successor.left), _pools_of(successor.fresh)
            self._runtime.leave(left.values(), fresh.values())
            routes = {route.pool.name: route for built in successor.fresh for route in built.routes}
            for built in successor.left:
                built.leave(routes)
            successor.left, successor.fresh = [], []
        else:
            self._runtime.drop_unfollowed()
        if not self.in_flight:
            self.on_last_finished()

    def on_last_finished(self) -> None:
        """No exchange runs; a retired generation gives back what it holds."""
        if not self._is_retired:
            return
        sites, self.sites = self.sites, []
        for built in sites:
            built.let_go()
        self.left, self.fresh = [], []
        self._plans = {}  # each knows this generation; so the memory is free without the garbage collector
        if self._runtime.colleagues is not None:
            self._runtime.colleagues.on_generation_over()


def build(config: Config, runtime: Runtime, previous: Generation | None) -> Generation:
    """The generation of a configuration; it does not serve yet. Raises ConfigError or StartError."""
    return at_once(_steps(config, runtime, previous))


async def rebuild(config: Config, runtime: Runtime, previous: Generation) -> Generation:
    """The same while `previous` serves: other work has its turn every few milliseconds. O(sites) for finding out what
    stays, by identity (see `config/delta.py`); building is O(what has changed)."""
    return await in_slices(_steps(config, runtime, previous))


def _steps(
    config: Config, runtime: Runtime, previous: Generation | None
) -> Generator[None, None, Generation]:
    generation = Generation(previous.number + 1 if previous is not None else 1, config, runtime)
    try:
        yield from _fill(generation, runtime, previous)
    except BaseException:
        generation.retire()
        raise
    return generation


def _fill(generation: Generation, runtime: Runtime, previous: Generation | None) -> Iterator[None]:
    before = {id(built.spec): built for built in previous.sites} if previous is not None else {}
    yield
    for spec in generation.config.sites:
        built = before.pop(id(spec), None)
        if built is None or not built.is_current():
            built = BuiltSite(spec, runtime)
            generation.fresh.append(built)
        built.hold()
        generation.sites.append(built)
        yield
    yield from _build_fresh(generation, runtime, previous)
    listening = _Listening(generation, runtime)
    for built in generation.sites:
        listening.add(built)
        yield
    generation._plans = listening.plans()


def _build_fresh(generation: Generation, runtime: Runtime, previous: Generation | None) -> Iterator[None]:
    kept = {id(built) for built in generation.sites}
    generation.left = [one for one in previous.sites if id(one) not in kept] if previous is not None else []
    yield
    builder = SiteBuilder(runtime, _pools_of(generation.left))
    for built in generation.fresh:
        builder.build(built)
        yield
    rotations = generation.rotations
    for built in generation.sites:
        for key, rotation in built.rotations.items():
            first = rotations.setdefault(key, rotation)
            if mistake := rotation_mistake(key, first, rotation):
                builder.mistakes.append(mistake)
        yield
    if builder.mistakes:
        raise ConfigError(builder.mistakes)
    were = previous.rotations if previous is not None else {}
    generation._rotated = {key for built in generation.fresh for key in built.logs}
    generation._rotated |= {key for key in {**were, **rotations} if were.get(key) != rotations.get(key)}
    yield


class _Listening:
    """What each listening address of a generation does, site by site."""

    def __init__(self, generation: Generation, runtime: Runtime) -> None:
        self._generation = generation
        self._runtime = runtime
        self._sites: dict[ListenKey, Sites] = {}
        self._limits: dict[ListenKey, list[LimitsSpec]] = {}
        self._timeouts: dict[ListenKey, list[TimeoutsSpec]] = {}
        self._proxy_protocol: dict[ListenKey, ProxyProtocolSpec | None] = {}

    def add(self, built: BuiltSite) -> None:
        spec = built.spec
        for address in spec.addresses:
            key = (spec.bind, address.port)
            sites = self._sites.get(key)
            if sites is None:
                sites = self._sites[key] = Sites((), self._runtime.reactor.codec.targets)
                self._limits[key], self._timeouts[key] = [], []
                self._proxy_protocol[key] = spec.proxy_protocol  # config/check.py: all of them say the same
            sites.add(address.host, address.path, built.site)
            if spec.limits.given:
                self._limits[key].append(spec.limits)
            if spec.timeouts.given:
                self._timeouts[key].append(spec.timeouts)

    def plans(self) -> dict[ListenKey, ListenerPlan]:
        tcp = tcp_settings(self._generation.config)
        return {key: self._plan(key, sites, tcp.get(key, DEFAULT)) for key, sites in self._sites.items()}

    def _plan(self, key: ListenKey, sites: Sites, tcp: TCPSpec) -> ListenerPlan:
        limits, timeouts = merge_limits(self._limits[key]), merge_timeouts(self._timeouts[key])
        plan = ListenerPlan(sites, limits, timeouts, self._runtime, self._generation)
        plan.has_nodelay = tcp.nodelay
        proxy_protocol = self._proxy_protocol[key]
        if proxy_protocol is not None:
            plan.introducers = Introducers(proxy_protocol.ranges)
        return plan


def _pools_of(sites: Sequence[BuiltSite]) -> dict[str, Pool]:
    return {name: pool for built in sites for name, pool in built.pools.items()}


def merge_limits(all_limits: Sequence[LimitsSpec]) -> HeadLimits:
    """Limits of a listening address: of those that its sites set, the smallest (caddy1.md 8.1)."""
    sizes = [limits.header for limits in all_limits if "header" in limits.given]
    fields = [limits.fields for limits in all_limits if "fields" in limits.given]
    default = LimitsSpec()
    return HeadLimits(min(sizes, default=default.header), min(fields, default=default.fields))


def merge_timeouts(all_timeouts: Sequence[TimeoutsSpec]) -> DownstreamTimeouts:
    """Timeouts of a listening address: of those that its sites set, the smallest."""
    merged = {}
    for name in ("header", "body", "idle", "read", "write"):
        given = [_seconds(getattr(timeouts, name)) for timeouts in all_timeouts if name in timeouts.given]
        merged[name] = min(given, default=_seconds(getattr(TimeoutsSpec(), name)))
    return DownstreamTimeouts(**merged)


def _seconds(value: float | None) -> float:
    return math.inf if value is None else value
