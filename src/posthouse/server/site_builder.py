"""SiteBuilder: makes the running objects of one site; the only place, with `runtime.py`, that knows both net and proxy.

It does no I/O but opening log files and reading certificates and password files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from posthouse.balance.pool import Pool, build_pool
from posthouse.balance.turns import begins_at
from posthouse.config.specs import ErrorsSpec, LogSpec, PoolSpec, RotationSpec, RouteSpec, SiteSpec, TLSSpec
from posthouse.errors import ConfigError, Mistake, Place, StartError
from posthouse.net.tls import ClientTLS
from posthouse.observe.access_lines import compile_line
from posthouse.observe.access_log import AccessLog
from posthouse.observe.error_log import ErrorLog
from posthouse.observe.masking import Mask, masked_line
from posthouse.observe.placeholders import asks_for_body
from posthouse.proxy.compression import GzipCompression, SiteCompressions
from posthouse.proxy.error_pages import ErrorHandler, ErrorPages
from posthouse.proxy.route import Route
from posthouse.proxy.site import LogScope, Site, path_key
from posthouse.server.built_site import BuiltSite
from posthouse.server.logs import LogKey, log_key
from posthouse.server.metrics_pages import build_pages
from posthouse.server.runtime import Runtime
from posthouse.server.session_key import read_secret
from posthouse.server.site_files import build_file_server
from posthouse.server.site_steps import Means, build_steps


class SiteBuilder:
    """For the sites of one generation.

    pools     those of the generation before whose live state may be taken over, by name
    mistakes  of all sites that were built
    """

    def __init__(self, runtime: Runtime, pools: Mapping[str, Pool]) -> None:
        self.mistakes: list[Mistake] = []
        self._runtime = runtime
        self._pools = pools
        self._targets = runtime.reactor.codec.targets
        self._means = Means(
            self._targets, runtime.password_checks, runtime.secret, runtime.clock, runtime.files
        )

    def build(self, built: BuiltSite) -> None:
        """Fill in what a site is at work. Its mistakes are collected. Raises StartError for a log; either way what
        it has opened is in `built`."""
        spec = built.spec
        routes = [route for one in spec.routes if (route := self._route(one)) is not None]
        for route in routes:
            built.add_route(route)
        logs = [self._log(log, built) for log in spec.logs]
        built.site = site = Site(spec, routes, logs, self._targets)
        if spec.gzips:
            site.compressions = self._compressions(spec)
        site.is_internal = bool(spec.internals)
        try:
            site.steps = build_steps(spec, self._means)
        except ConfigError as error:
            self.mistakes += error.mistakes
        try:
            site.responder = build_file_server(
                spec, self._targets, self._runtime.log, self._runtime.call_later
            )
        except ConfigError as error:
            self.mistakes += error.mistakes
        if spec.metrics is not None:
            site.responders = build_pages(spec.metrics, self._runtime.measuring, self._targets)
        site.keeps_body = any(map(asks_for_body, _templates(spec)))
        if spec.errors is not None:
            site.errors = self._errors(spec.errors, spec.root, built)

    def _compressions(self, spec: SiteSpec) -> SiteCompressions:
        encoders = self._runtime.encoders
        return SiteCompressions([GzipCompression(one, self._targets, encoders) for one in spec.gzips])

    def _route(self, spec: RouteSpec) -> Route | None:
        try:
            pool = self._pool(spec.pool)
            if pool.sessions is not None and pool.sessions.secret:
                pool.sessions.use_key(
                    read_secret(pool.sessions.secret, spec.pool.policy, self._runtime.files)
                )
        except ConfigError as error:
            self.mistakes += error.mistakes
            return None
        keys = [
            path_key(spec.base, self._targets),
            path_key(spec.without, self._targets) if spec.without else "",
        ]
        return Route(
            spec, pool, [*keys, *(path_key(path, self._targets) for path in spec.excepts)], self._targets
        )

    def _pool(self, spec: PoolSpec) -> Pool:
        runtime = self._runtime
        wanted, before = runtime.wanted(spec), self._pools.get(spec.name)
        begin = None
        if before is None:
            begin = begins_at(spec.name, runtime.secret, runtime.worker, runtime.workers)
        return build_pool(wanted, runtime.rng, before, self._tls(spec), begin, runtime.cursor(spec.name))

    def _tls(self, spec: PoolSpec) -> ClientTLS | None:
        """Made also where no backend needs it, if it was written: a mistake in it shall not lie in wait."""
        may_need = any(endpoint.scheme == "https" for endpoint in spec.endpoints) or any(
            source.kind == "file" or source.member.scheme == "https" for source in spec.sources
        )
        if spec.tls == TLSSpec() and not may_need:
            return None
        return self._runtime.identities.get(spec.tls)

    def _log(self, spec: LogSpec, built: BuiltSite) -> LogScope:
        log = self._open(built, log_key(spec.output), spec.rotation, spec.place)
        line = compile_line(spec.format)
        if any(spec.ipmask):
            line = masked_line(line, Mask(*spec.ipmask))
        excepts = tuple(path_key(path, self._targets) for path in spec.excepts)
        return LogScope(path_key(spec.path, self._targets), line, log, excepts)

    def _errors(self, spec: ErrorsSpec, root: str, built: BuiltSite) -> ErrorHandler:
        process_log = self._runtime.log
        pages = ErrorPages(dict(spec.pages), root, process_log)
        for page, why in pages.missing():
            process_log.warn("error page missing", place=spec.place, page=page, error=why)
        if spec.is_visible:
            return ErrorHandler(pages, None, is_visible=True)
        key = log_key(spec.output, is_errors=True)
        log = self._open(built, key, spec.rotation, spec.place)
        return ErrorHandler(pages, ErrorLog(log))

    def _open(self, built: BuiltSite, key: LogKey, rotation: RotationSpec | None, place: Place) -> AccessLog:
        if rotation is not None:
            first = built.rotations.setdefault(key, rotation)
            if mistake := rotation_mistake(key, first, rotation):
                self.mistakes.append(mistake)
        try:
            return built.open_log(key)
        except StartError as error:
            raise StartError(f"{place}: {error}") from None


def rotation_mistake(key: LogKey, first: RotationSpec, rotation: RotationSpec) -> Mistake | None:
    """What is wrong where a log is rotated in two ways."""
    if first == rotation:
        return None
    what = f"`{key.output}` is rotated in another way at {first.place}: one file has one rotation"
    return Mistake(rotation.place, what, len("rotate_"))


def _templates(spec: SiteSpec) -> Iterator[str]:
    """Everything of a site that may hold placeholders."""
    yield from (log.format for log in spec.logs)
    of_routes = [(*route.header_upstream, *route.header_downstream) for route in spec.routes]
    of_site = [scope.rules for scope in spec.headers]
    yield from (rule.value for rules in (*of_routes, *of_site) for rule in rules)
