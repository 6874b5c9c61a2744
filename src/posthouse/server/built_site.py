"""BuiltSite: one site at work with all that was made for it, shared by the generations in which its spec stays.

Laws
1. It is built for one spec and never changed for another; only the members of its pools change while it serves.
2. Each generation that has it holds it once; when the last one lets go, its logs are given back.
3. It can be used for a new generation as long as the files it was made from look as they did (`is_current`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

from posthouse.balance.pool import Pool
from posthouse.config.specs import RotationSpec, SiteSpec
from posthouse.observe.access_log import AccessLog
from posthouse.probe.check import Check
from posthouse.proxy.route import Route
from posthouse.proxy.site import Site
from posthouse.server.breakers import tell_breaker
from posthouse.server.checks import checks_of
from posthouse.server.key_files import KeyFiles, Stamp
from posthouse.server.logs import LogKey
from posthouse.server.membership import Membership
from posthouse.server.obeying import command, obey
from posthouse.server.runtime import Runtime
from posthouse.server.site_files import password_files

_NO_ROTATION: Final = RotationSpec()


class Holder(Protocol):
    """What makes and takes back logs (`server/logs.py`)."""

    def open(self, key: LogKey) -> AccessLog: ...
    def give_back(self, key: LogKey) -> None: ...


class BuiltSite:
    """See above.

    site         what requests find; set when it is complete
    pools        of its routes, by name, in the order of the file
    routes       of this site, in the order of the file; none once nobody needs it
    memberships  of the routes whose backends are found while we run
    rotations    by log, as far as its directives say
    """

    __slots__ = (
        *("_checks", "_ending", "_held", "_logs", "_runtime", "_stamps", "memberships", "pools", "rotations"),
        *("routes", "site", "spec"),
    )

    def __init__(self, spec: SiteSpec, runtime: Runtime) -> None:
        self.spec = spec
        self.site: Site
        self.pools: dict[str, Pool] = {}
        self.routes: list[Route] = []
        self.memberships: list[Membership] = []
        self.rotations: dict[LogKey, RotationSpec] = {}
        self._checks: dict[str, list[Check]] = {}
        self._logs: list[LogKey] = []
        self._runtime = runtime
        self._ending: list[Pool] = []
        self._held = 0
        self._stamps = stamps_of(
            spec, runtime.files
        )  # before the files are read: what changes meanwhile is noticed

    def __repr__(self) -> str:
        name = self.spec.addresses[0].text if self.spec.addresses else ""
        return f"<BuiltSite {name!r} held={self._held}>"

    @property
    def logs(self) -> Sequence[LogKey]:
        return self._logs

    @property
    def checks(self) -> Iterable[Check]:
        """What its backends are asked now."""
        return (check for checks in self._checks.values() for check in checks)

    def is_current(self) -> bool:
        """Whether the files that it was made from are the same. Costs a stat for each; most sites have none."""
        return not self._stamps or self._stamps == stamps_of(self.spec, self._runtime.files)

    def add_route(self, route: Route) -> None:
        """Of this site, while it is built."""
        self.routes.append(route)
        self.pools[route.pool.name] = route.pool
        self._checks[route.pool.name] = checks_of(self.spec, route)
        if route.spec.pool.sources:
            self.memberships.append(Membership(self.spec, route, self._runtime, self))

    def open_log(self, key: LogKey) -> AccessLog:
        """A log that is held until nobody needs this site. Raises StartError."""
        log = self._runtime.logs.open(key)
        self._logs.append(key)
        return log

    def use(self, site: SiteSpec, route: Route) -> None:
        """A route of this site, which serves, has another pool (see `Membership`)."""
        gone = [check.backend for check in self._checks[route.pool.name]]
        self.pools[route.pool.name] = route.pool
        self._checks[route.pool.name] = checks_of(site, route)
        self._runtime.change_checks(gone, self._checks[route.pool.name])

    def start(self) -> None:
        """It serves from now on: settings come into force."""
        for pool in self.pools.values():
            if pool.sessions is not None and not pool.sessions.secret:
                pool.sessions.use_key(self._runtime.session_key())
            colleagues = self._runtime.colleagues
            if colleagues is not None:
                colleagues.share(pool)
                colleagues.listen(pool)
            else:
                pool.tell(partial(tell_breaker, self._runtime.log, pool.name))
            command(pool, self._runtime.orders)
            pool.start()
            self._runtime.recall(pool)

    def obey(self, pools: Container[str]) -> None:
        """The orders for backends of these pools are other ones; it serves."""
        for route in self.routes:
            if route.pool.name in pools:
                obey(self.spec, route, self._runtime, self)

    def catch_up(self) -> None:
        """Take over what its sources have said since it was built. Once it is followed, it is told of changes."""
        for membership in self.memberships:
            membership.apply(membership.sources[0])

    def hold(self) -> None:
        """One generation more has it."""
        self._held += 1

    def leave(self, successors: Mapping[str, Route]) -> None:
        """The generation that serves from now on does not have it; its pools go on in the routes that have their names.

        An exchange keeps the route that it began with. Where only the backends of that are others, it gets those of
        the successor: who waits because all are full is served by one that was added for that.
        """
        self._ending = [pool for name, pool in self.pools.items() if name not in successors]
        for route in self.routes:
            before, successor = route.pool, successors.get(route.pool.name)
            if successor is not None and route.is_same_but_backends(successor):
                route.use(successor.pool)
                before.queue.hand_over(before, successor.pool)

    def let_go(self) -> None:
        """One generation less has it; the last one gives back what it holds."""
        self._held -= 1
        if self._held:
            return
        keys, self._logs = self._logs, []
        for key in keys:
            self._runtime.logs.give_back(key)
        self.memberships.clear()  # each knows this site
        self.routes.clear()
        for pool in self._ending:
            pool.end()


def stamps_of(spec: SiteSpec, key_files: KeyFiles) -> tuple[Stamp, ...]:
    """How the files look from which a site is built. Error pages are not among them: they are read when needed."""
    stamps = [key_files.stamp(path) for path in key_files_of(spec)]
    if spec.files is not None:
        stamps.append(_kind(spec.root))
    return tuple(stamps)


def key_files_of(spec: SiteSpec) -> list[str]:
    """The files with keys, certificates and passwords from which a site is built."""
    files = [
        file.path
        for route in spec.routes
        for file in (*route.pool.tls.ca_certificates, *route.pool.tls.client)
    ]
    for route in spec.routes:
        pattern = "secret="
        files += [one.removeprefix(pattern) for one in route.pool.policy.args if one.startswith(pattern)]
    for auth in spec.auths:
        if auth.file:
            files += password_files(auth.file, spec.root)
    return files


def _kind(path: str) -> Stamp:
    """Of a folder counts only that it is one: what is in it may change."""
    try:
        return (stat.S_IFMT(os.stat(path).st_mode),)
    except OSError:
        return None
