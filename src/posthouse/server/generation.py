"""Generation: everything built from one configuration, numbered. The only place that knows both net and proxy.

Building does no I/O but opening log files and reading certificates and password files; a generation that fails to
build leaves nothing behind and changes nothing of the one that serves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from posthouse.balance.pool import Pool, build_pool
from posthouse.config.specs import (
    Config,
    ErrorsSpec,
    LimitsSpec,
    LogSpec,
    PoolSpec,
    RotationSpec,
    RouteSpec,
    SiteSpec,
    TimeoutsSpec,
    TLSSpec,
)
from posthouse.errors import ConfigError, Mistake, Place, StartError
from posthouse.net.entrance import Introducers
from posthouse.net.handler import DownstreamTimeouts
from posthouse.net.tls import ClientTLS
from posthouse.observe.access_lines import compile_line
from posthouse.observe.access_log import AccessLog
from posthouse.observe.error_log import ErrorLog
from posthouse.observe.masking import Mask, masked_line
from posthouse.observe.placeholders import asks_for_body
from posthouse.probe.check import Check
from posthouse.protocol.h1 import HeadLimits
from posthouse.proxy.compression import GzipCompression, SiteCompressions
from posthouse.proxy.error_pages import ErrorHandler, ErrorPages
from posthouse.proxy.plan import ListenerPlan
from posthouse.proxy.route import Route
from posthouse.proxy.site import LogScope, Site, Sites, path_key
from posthouse.server.breakers import tell_breaker
from posthouse.server.checks import checks_of
from posthouse.server.logs import LogKey, log_key
from posthouse.server.membership import Membership
from posthouse.server.obeying import obey
from posthouse.server.runtime import Runtime
from posthouse.server.session_key import read_secret
from posthouse.server.site_files import build_file_server
from posthouse.server.site_steps import Means, build_steps
from posthouse.server.sockets import ListenKey
from posthouse.server.tcp_settings import DEFAULT, tcp_settings


class Generation:
    """One configuration at work.

    in_flight  exchanges that began with it and still run
    """

    def __init__(self, number: int, config: Config, runtime: Runtime) -> None:
        self.number = number
        self.config = config
        self.in_flight = 0
        self.pools: dict[str, Pool] = {}
        self._runtime = runtime
        self._checks: dict[str, list[Check]] = {}
        self._memberships: list[Membership] = []
        self._routes: dict[str, tuple[SiteSpec, Route]] = {}
        self._logs: list[LogKey] = []
        self.rotations: dict[LogKey, RotationSpec] = {}
        self._plans: dict[ListenKey, ListenerPlan] = {}
        self._is_retired = False

    def __repr__(self) -> str:
        return f"<Generation {self.number} sites={len(self.config.sites)} in_flight={self.in_flight}>"

    @property
    def listen(self) -> tuple[ListenKey, ...]:
        """The addresses to listen on."""
        return tuple(self._plans)

    def handler(self, key: ListenKey) -> ListenerPlan:
        """What an address does."""
        return self._plans[key]

    def start(self) -> None:
        """It serves from now on; its health checks take the place of those of the one before."""
        for pool in self.pools.values():
            if pool.sessions is not None and not pool.sessions.secret:
                pool.sessions.use_key(self._runtime.session_key())
            colleagues = self._runtime.colleagues
            if colleagues is not None:
                colleagues.share(pool)
                colleagues.listen(pool)
            else:
                pool.tell(partial(tell_breaker, self._runtime.log, pool.name))
            pool.start()
        self.obey(self._runtime.orders.by_pool)
        for key in self._logs:
            self._runtime.logs.rotate(key, self.rotations.get(key, RotationSpec()))
        self._replace_probes()
        discoverer = self._runtime.discoverer
        discoverer.follow({one.apply: one.sources for one in self._memberships})

    def obey(self, pools: Iterable[str]) -> None:
        """The orders for backends of these pools are other ones."""
        for name in pools:
            if name in self._routes:
                obey(*self._routes[name], self._runtime, self)

    def use(self, site: SiteSpec, route: Route) -> None:
        """A route of this generation, which serves, has another pool."""
        self.pools[route.pool.name] = route.pool
        self._checks[route.pool.name] = checks_of(site, route)
        self._replace_probes()

    def _replace_probes(self) -> None:
        self._runtime.probes.replace(check for checks in self._checks.values() for check in checks)

    def retire(self, successor: Generation | None = None) -> None:
        """Another one serves from now on (or this one never will); what runs is finished first."""
        self._is_retired = True
        if successor is not None:
            self.close_left_backends(successor)
        else:
            self._runtime.discoverer.drop_unfollowed()
        if not self.in_flight:
            self.on_last_finished()

    def on_last_finished(self) -> None:
        """No exchange runs; a retired generation gives back what it holds."""
        if not self._is_retired:
            return
        keys, self._logs = self._logs, []
        for key in keys:
            self._runtime.logs.give_back(key)
        if self._runtime.colleagues is not None:
            self._runtime.colleagues.on_generation_over()

    def close_left_backends(self, successor: Generation) -> None:
        """Close the warm connections that the successor will not use: of backends that it does not have, or speaks
        to with another TLS identity."""
        self._runtime.leave(self.pools.values(), successor.pools.values())


def build(config: Config, runtime: Runtime, previous: Generation | None) -> Generation:
    """The generation of a configuration; it does not serve yet. Raises ConfigError or StartError."""
    generation = Generation(previous.number + 1 if previous is not None else 1, config, runtime)
    try:
        _Builder(generation, runtime, previous).build()
    except BaseException:
        generation.retire()
        raise
    return generation


class _Builder:
    """Builds one generation; collects the mistakes of all sites."""

    def __init__(self, generation: Generation, runtime: Runtime, previous: Generation | None) -> None:
        self._generation = generation
        self._runtime = runtime
        self._previous = previous
        self._targets = runtime.reactor.codec.targets
        self._mistakes: list[Mistake] = []
        self._means = Means(
            self._targets, runtime.password_checks, runtime.secret, runtime.clock, runtime.files
        )

    def build(self) -> None:
        config = self._generation.config
        by_key: dict[ListenKey, list[SiteSpec]] = {}
        addresses: dict[ListenKey, list[tuple[str, str, Site]]] = {}
        for spec in config.sites:
            site = self._site(spec)
            for key in dict.fromkeys((spec.bind, address.port) for address in spec.addresses):
                by_key.setdefault(key, []).append(spec)
            for address in spec.addresses:
                addresses.setdefault((spec.bind, address.port), []).append((address.host, address.path, site))
        if self._mistakes:
            raise ConfigError(self._mistakes)
        tcp = tcp_settings(config)
        for key, specs in by_key.items():
            plan = self._generation._plans[key] = ListenerPlan(
                Sites(addresses[key], self._targets),
                merge_limits([spec.limits for spec in specs]),
                merge_timeouts([spec.timeouts for spec in specs]),
                self._runtime,
                self._generation,
            )
            plan.has_nodelay = tcp.get(key, DEFAULT).nodelay
            if specs[0].proxy_protocol is not None:  # config/check.py: all of them say the same
                plan.introducers = Introducers(specs[0].proxy_protocol.ranges)

    def _site(self, spec: SiteSpec) -> Site:
        routes = [route for route_spec in spec.routes if (route := self._route(route_spec)) is not None]
        for route in routes:
            self._generation._checks[route.pool.name] = checks_of(spec, route)
            self._generation._routes[route.pool.name] = spec, route
            if route.spec.pool.sources:
                membership = Membership(spec, route, self._runtime, self._generation)
                self._generation._memberships.append(membership)
        logs = [self._log(log) for log in spec.logs]
        site = Site(spec, routes, logs, self._targets)
        if spec.gzips:
            site.compressions = self._compressions(spec)
        site.is_internal = bool(spec.internals)
        try:
            site.steps = build_steps(spec, self._means)
        except ConfigError as error:
            self._mistakes += error.mistakes
        try:
            site.responder = build_file_server(spec, self._targets, self._runtime.log)
        except ConfigError as error:
            self._mistakes += error.mistakes
        site.keeps_body = any(map(asks_for_body, _templates(spec)))
        if spec.errors is not None:
            site.errors = self._errors(spec.errors, spec.root)
        return site

    def _compressions(self, spec: SiteSpec) -> SiteCompressions:
        encoders = self._runtime.encoders
        return SiteCompressions([GzipCompression(one, self._targets, encoders) for one in spec.gzips])

    def _route(self, spec: RouteSpec) -> Route | None:
        previous = self._previous.pools.get(spec.pool.name) if self._previous is not None else None
        try:
            wanted = self._runtime.wanted(spec.pool)
            pool = build_pool(wanted, self._runtime.rng, previous, self._tls(spec.pool))
            if pool.sessions is not None and pool.sessions.secret:
                pool.sessions.use_key(
                    read_secret(pool.sessions.secret, spec.pool.policy, self._runtime.files)
                )
        except ConfigError as error:
            self._mistakes += error.mistakes
            return None
        self._generation.pools[spec.pool.name] = pool
        keys = [
            path_key(spec.base, self._targets),
            path_key(spec.without, self._targets) if spec.without else "",
        ]
        return Route(
            spec, pool, [*keys, *(path_key(path, self._targets) for path in spec.excepts)], self._targets
        )

    def _tls(self, spec: PoolSpec) -> ClientTLS | None:
        """Made also where no backend needs it, if it was written: a mistake in it shall not lie in wait."""
        may_need = any(endpoint.scheme == "https" for endpoint in spec.endpoints) or any(
            source.kind == "file" or source.member.scheme == "https" for source in spec.sources
        )
        if spec.tls == TLSSpec() and not may_need:
            return None
        return self._runtime.identities.get(spec.tls)

    def _log(self, spec: LogSpec) -> LogScope:
        log = self._open(spec.output, spec.rotation, spec.place)
        line = compile_line(spec.format)
        if any(spec.ipmask):
            line = masked_line(line, Mask(*spec.ipmask))
        excepts = tuple(path_key(path, self._targets) for path in spec.excepts)
        return LogScope(path_key(spec.path, self._targets), line, log, excepts)

    def _errors(self, spec: ErrorsSpec, root: str) -> ErrorHandler:
        process_log = self._runtime.log
        pages = ErrorPages(dict(spec.pages), root, process_log)
        for page, why in pages.missing():
            process_log.warn("error page missing", place=spec.place, page=page, error=why)
        if spec.is_visible:
            return ErrorHandler(pages, None, is_visible=True)
        log = self._open(spec.output, spec.rotation, spec.place, is_errors=True)
        return ErrorHandler(pages, ErrorLog(log))

    def _open(
        self, output: str, rotation: RotationSpec | None, place: Place, *, is_errors: bool = False
    ) -> AccessLog:
        key = log_key(output, is_errors=is_errors)
        if rotation is not None:
            first = self._generation.rotations.setdefault(key, rotation)
            if first != rotation:
                what = f"`{output}` is rotated in another way at {first.place}: one file has one rotation"
                self._mistakes.append(Mistake(rotation.place, what, len("rotate_")))
        try:
            log = self._runtime.logs.open(key)
        except StartError as error:
            raise StartError(f"{place}: {error}") from None
        self._generation._logs.append(key)
        return log


def _templates(spec: SiteSpec) -> Iterator[str]:
    """Everything of a site that may hold placeholders."""
    yield from (log.format for log in spec.logs)
    of_routes = [(*route.header_upstream, *route.header_downstream) for route in spec.routes]
    of_site = [scope.rules for scope in spec.headers]
    yield from (rule.value for rules in (*of_routes, *of_site) for rule in rules)


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
