"""Changes: what differs between two configurations, in words for a person who is about to load the second one.

Where something stands in a file does not count, and neither does the order of sites. Values of secret fields are never
shown: that they differ is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any, Final, Literal, TypeVar

from posthouse.config.delta import SiteKey, site_key
from posthouse.config.specs import Config, EndpointSpec, PoolSpec, RouteSpec, SiteSpec, SourceSpec

Kind = Literal["site", "route", "pool", "backend"]
How = Literal["added", "removed", "altered"]
KINDS: Final[tuple[Kind, ...]] = ("site", "route", "pool", "backend")
HOWS: Final[tuple[How, ...]] = ("added", "removed", "altered")

_T = TypeVar("_T")

_PARTS: Final = {
    "site": frozenset({"routes"}),
    "route": frozenset({"pool"}),
    "pool": frozenset({"name", "endpoints", "sources"}),
    "backend": frozenset({"position"}),
}
"""Fields that are compared on their own, or not at all."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that differs, by the names that `posthouse adapt` prints; before and after are plain data.

    is_secret  both are None then
    """

    field: str
    before: Any
    after: Any
    is_secret: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that comes, goes or differs.

    name    a site: its first address; a route: that and its FROM; a pool: its name; a backend: its text
    within  the pool of a backend, else ""
    """

    kind: Kind
    how: How
    name: str
    within: str = ""
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """All of them. opened, closed: listening addresses, as "HOST:PORT" or ":PORT"."""

    changes: tuple[Change, ...] = ()
    opened: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()

    @property
    def is_nothing(self) -> bool:
        return not (self.changes or self.opened or self.closed)

    def of(self, kind: Kind, how: How) -> list[Change]:
        """Those of one kind."""
        return [one for one in self.changes if one.kind == kind and one.how == how]


def compare(old: Config, new: Config) -> Changes:
    """What a reload from `old` to `new` changes."""
    before, after = _sites(old, new)
    stay = {name for name, site in before.items() if after.get(name) is site or after.get(name) == site}
    left = {name: site for name, site in before.items() if name not in stay}
    come = {name: site for name, site in after.items() if name not in stay}
    pools_left, pools_come = _pools(left), _pools(come)
    changes = [
        *_changes("site", left, come),
        *_changes("route", _routes(left), _routes(come)),
        *_changes("pool", pools_left, pools_come),
        *(
            one
            for name in {**pools_come, **pools_left}
            for one in _changes(
                "backend", _backends(pools_left.get(name)), _backends(pools_come.get(name)), name
            )
        ),
    ]
    listens, will_listen = _listeners(old), _listeners(new)
    return Changes(
        tuple(changes),
        tuple(one for one in will_listen if one not in listens),
        tuple(one for one in listens if one not in will_listen),
    )


def _changes(
    kind: Kind, old: Mapping[str, Any], new: Mapping[str, Any], within: str = ""
) -> Iterator[Change]:
    for name, value in new.items():
        if name not in old:
            yield Change(kind, "added", name, within)
        elif found := tuple(_differences(old[name], value, _PARTS[kind])):
            yield Change(kind, "altered", name, within, found)
    for name in old:
        if name not in new:
            yield Change(kind, "removed", name, within)


def _sites(old: Config, new: Config) -> tuple[dict[str, SiteSpec], dict[str, SiteSpec]]:
    """The sites by name. A site that has other addresses now is the same one as long as it keeps one of them."""
    before = _named((_name(site), site) for site in old.sites)
    owner: dict[SiteKey, str] = {}
    for name, site in before.items():
        for one in _addresses(site):
            owner.setdefault(one, name)
    names: list[tuple[str, SiteSpec]] = []
    taken: set[str] = set()
    for site in new.sites:
        known = (owner.get(one) for one in _addresses(site))
        name = next((one for one in known if one is not None and one not in taken), _name(site))
        taken.add(name)
        names.append((name, site))
    return before, _named(names)


def _addresses(site: SiteSpec) -> list[SiteKey]:
    where, addresses = site_key(site)
    return [(where, (one,)) for one in addresses if one[1] != 0]


def _name(site: SiteSpec) -> str:
    return site.addresses[0].text if site.addresses else ""


def _routes(sites: Mapping[str, SiteSpec]) -> dict[str, RouteSpec]:
    return _named((f"{name} {route.base}", route) for name, site in sites.items() for route in site.routes)


def _pools(sites: Mapping[str, SiteSpec]) -> dict[str, PoolSpec]:
    return _named((route.pool.name, route.pool) for site in sites.values() for route in site.routes)


def _backends(pool: PoolSpec | None) -> dict[str, Any]:
    if pool is None:
        return {}
    members: list[EndpointSpec | SourceSpec] = [*pool.endpoints, *pool.sources]
    return _named((one.text, one) for one in members)


def _named(pairs: Iterable[tuple[str, _T]]) -> dict[str, _T]:
    """By name; a repeat gets "#2", as pools do."""
    found: dict[str, _T] = {}
    for name, value in pairs:
        number, own = 1, name
        while own in found:
            number += 1
            own = f"{name}#{number}"
        found[own] = value
    return found


def _listeners(config: Config) -> dict[str, None]:
    """In the order of the file."""
    return {
        f"{f'[{site.bind}]' if ':' in site.bind else site.bind}:{address.port}": None
        for site in config.sites
        for address in site.addresses
    }


def _differences(old: Any, new: Any, left_out: frozenset[str], prefix: str = "") -> Iterator[Difference]:
    """The leaves that differ; two specs of one type are compared field by field."""
    if old is new or old == new:
        return
    if type(old) is not type(new):
        yield Difference(prefix.removesuffix(".") or "kind", _plain(old), _plain(new))
        return
    for name, is_secret in _compared(type(new)):  # type: ignore[arg-type]
        if name in left_out:
            continue
        was, now = getattr(old, name), getattr(new, name)
        if was == now:
            continue
        if is_dataclass(was) and type(was) is type(now):
            yield from _differences(was, now, frozenset(), f"{prefix}{name}.")
        elif is_secret or _has_secret(was) or _has_secret(now):
            yield Difference(prefix + name, None, None, is_secret=True)
        else:
            yield Difference(prefix + name, _plain(was), _plain(now))


@cache
def _compared(spec: type[Any]) -> tuple[tuple[str, bool], ...]:
    """The fields that make two of a kind equal, and whether they are secret."""
    return tuple((one.name, bool(one.metadata.get("is_secret"))) for one in fields(spec) if one.compare)


def _has_secret(value: Any) -> bool:
    if isinstance(value, tuple):
        return any(map(_has_secret, value))
    if not is_dataclass(value):
        return False
    held = [(getattr(value, name), is_secret) for name, is_secret in _compared(type(value))]  # type: ignore[arg-type]
    return any((is_secret and one) or _has_secret(one) for one, is_secret in held)


def _plain(value: Any) -> Any:
    """As JSON can hold it."""
    if is_dataclass(value):
        return {name: _plain(getattr(value, name)) for name, _ in _compared(type(value))}  # type: ignore[arg-type]
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value
