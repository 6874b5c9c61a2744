"""Rules across fields and sites. What a single argument may be is judged where it is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from posthouse.config.addresses import is_implicitly_https
from posthouse.config.file_specs import FilesSpec
from posthouse.config.specs import AddressSpec, Config, RouteSpec, SiteSpec
from posthouse.errors import Mistake, Notice, Place

_ANY_V4, _ANY_V6 = "0.0.0.0", "::"


class Verdict(NamedTuple):
    """What is wrong with a configuration, and what is merely odd."""

    mistakes: list[Mistake]
    notices: list[Notice]


def check(config: Config, *, is_case_sensitive: bool = False) -> Verdict:
    """Judge a whole configuration. Paths are compared as they will be matched."""
    mistakes = [
        *_duplicate_addresses(config.sites, is_case_sensitive),
        *_conflicting_binds(config.sites),
        *_conflicting_introductions(config.sites),
    ]
    notices = [
        *_silent_sites(config.sites),
        *_dead_routes(config.sites, is_case_sensitive),
        *_starred_routes(config.sites),
    ]
    return Verdict(mistakes, notices)


def https_notices(site: SiteSpec) -> list[Notice]:
    """For each address that Caddy would have served over HTTPS by itself."""
    return [
        Notice(
            one.place,
            f"`{one.text}` is served over plain HTTP on port {one.port}: HTTPS is not in this release yet",
            len(one.text),
        )
        for one in site.addresses
        if is_implicitly_https(one)
    ]


def with_root(site: SiteSpec, root: str) -> SiteSpec:
    """The site; if it has no `root` of its own, with the command line's ("" = it names none), which is as if it had.

    A site that serves files and is told by nobody from where serves the working directory, as in v1.
    """
    if site.root:
        return site
    if root:
        return replace(site, root=root, files=site.files or FilesSpec(place=site.place))
    return replace(site, root=".") if site.files is not None else site


def with_unique_pool_names(sites: Iterable[SiteSpec]) -> tuple[SiteSpec, ...]:
    """The sites, with the second pool of a name called "NAME#2", in the order of the file."""
    taken: set[str] = set()
    return tuple(_with_unique_names(site, taken) for site in sites)


def _with_unique_names(site: SiteSpec, taken: set[str]) -> SiteSpec:
    routes = tuple([_renamed(route, taken) for route in site.routes])
    # The same object where nothing is renamed: a reload knows by that what has not changed.
    is_same = all(new is old for new, old in zip(routes, site.routes, strict=True))
    return site if is_same else replace(site, routes=routes)


def _renamed(route: RouteSpec, taken: set[str]) -> RouteSpec:
    name = route.pool.name
    number = 1
    while name in taken:
        number += 1
        name = f"{route.pool.name}#{number}"
    taken.add(name)
    return route if number == 1 else replace(route, pool=replace(route.pool, name=name))


def _mistake(place: Place, message: str, width: int = 1, hint: str = "") -> Mistake:
    return Mistake(place, message, max(1, width), hint)


def _duplicate_addresses(sites: Iterable[SiteSpec], is_case_sensitive: bool) -> Iterator[Mistake]:
    seen: dict[tuple[str, int, str], AddressSpec] = {}
    for address in (one for site in sites for one in site.addresses):
        path = address.path or "/"
        key = (address.host, address.port, path if is_case_sensitive else path.lower())
        first = seen.setdefault(key, address)
        if first is not address and address.port != 0:
            other = f"`{first.text}` at {first.place}"
            yield _mistake(
                address.place, f"`{address.text}` is the same address as {other}", len(address.text)
            )


def _conflicting_binds(sites: Iterable[SiteSpec]) -> Iterator[Mistake]:
    """One socket for every address and another for one of them cannot share a port."""
    binds: dict[int, dict[str, AddressSpec]] = {}
    for site in sites:
        for address in site.addresses:
            if address.port != 0:
                binds.setdefault(address.port, {}).setdefault(site.bind, address)
    for port, by_host in binds.items():
        for host, address in by_host.items():
            other = next((one for one in by_host if _covers(one, host)), None)
            if other is not None:
                where = f"`{by_host[other].text}` ({by_host[other].place}) listens on {_named(other)}"
                yield _mistake(
                    address.place,
                    f"`{address.text}` cannot listen on {host} port {port}: {where} of the same port",
                    len(address.text),
                    "give all sites of a port a `bind`, or none",
                )


def _conflicting_introductions(sites: Iterable[SiteSpec]) -> Iterator[Mistake]:
    """Who must begin with a PROXY header is decided before it is known which site is meant."""
    first: dict[tuple[str, int], tuple[SiteSpec, AddressSpec]] = {}
    for site in sites:
        if site.proxy_protocol is not None and not site.proxy_protocol.ranges:
            continue  # what was meant is not known
        for address in site.addresses:
            known, other = first.setdefault((site.bind, address.port), (site, address))
            if _ranges(known) == _ranges(site):
                continue
            has = f"which has `{_introduction(known)}`" if known.proxy_protocol else "which has none"
            message = f"must agree with `{other.text}` ({other.place}), {has}: they share port {address.port}"
            hint = f"give every site of port {address.port} the same ranges, or none"
            if site.proxy_protocol is None:
                message = f"`{address.text}` lacks `proxy_protocol` and {message}"
                yield _mistake(address.place, message, len(address.text), hint)
            else:
                message = f"`{_introduction(site)}` {message}"
                yield _mistake(site.proxy_protocol.place, message, len("proxy_protocol"), hint)
            break


def _ranges(site: SiteSpec) -> frozenset[str]:
    return frozenset(site.proxy_protocol.ranges) if site.proxy_protocol is not None else frozenset()


def _introduction(site: SiteSpec) -> str:
    assert site.proxy_protocol is not None
    return " ".join(("proxy_protocol", *site.proxy_protocol.ranges))


def _covers(wide: str, narrow: str) -> bool:
    if wide == narrow or not narrow:
        return False
    if not wide:
        return True
    if wide == _ANY_V4:
        return ":" not in narrow
    return wide == _ANY_V6 and ":" in narrow


def _named(host: str) -> str:
    return f"all addresses ({host})" if host else "all addresses"


def _silent_sites(sites: Iterable[SiteSpec]) -> Iterator[Notice]:
    for site in sites:
        if not (site.routes or site.files or site.redirects or site.statuses or site.metrics):
            yield Notice(
                site.place, "this site has no `proxy` and no `root`: every request is answered with 404"
            )


def _dead_routes(sites: Iterable[SiteSpec], is_case_sensitive: bool) -> Iterator[Notice]:
    for site in sites:
        first: dict[str, RouteSpec] = {}
        for route in site.routes:
            key = route.base if is_case_sensitive else route.base.lower()
            earlier = first.get(key)
            if earlier is None:
                if not route.excepts:
                    first[key] = route
                continue
            message = (
                f"this `proxy {route.base}` is never reached: the one at {earlier.place} takes its requests"
            )
            yield Notice(route.place, message, len("proxy"))


def _starred_routes(sites: Iterable[SiteSpec]) -> Iterator[Notice]:
    """Caddy 2 writes `/api/*` for what is `/api` here."""
    for route in (route for site in sites for route in site.routes):
        if "*" in route.base:
            meant = route.base.partition("*")[0]
            what = f"`*` is an ordinary character here: `proxy {meant}` takes all that begins with `{meant}`"
            yield Notice(route.place, what, len("proxy"))
