"""Delta: what turns one configuration into another, so that only what differs has to be built, or sent.

Sites are compared as specs are: where something stands in a file does not count. A site that stays is the same object
in both configurations, and keeps the places of the file it was first read from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from posthouse.config.specs import Config, SiteSpec
from posthouse.errors import Notice

SiteKey = tuple[str, tuple[tuple[str, int, str], ...]]
"""What a site is known by over reloads: where it listens, and (host, port, path) of its addresses."""


@dataclass(frozen=True, slots=True)
class Kept:
    """`count` sites of the configuration before, from position `first` on."""

    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Delta:
    """The sites of the new configuration in their order: runs of those that stay, and what is new or altered.

    notices  those of the new configuration
    """

    parts: tuple[Kept | SiteSpec, ...]
    notices: tuple[Notice, ...] = ()

    @property
    def built(self) -> tuple[SiteSpec, ...]:
        """The sites that are new or altered."""
        return tuple(part for part in self.parts if isinstance(part, SiteSpec))

    def is_nothing(self, old: Config) -> bool:
        """Whether `old` stays as it is, up to places and notices."""
        return not any(isinstance(part, SiteSpec) for part in self.parts) and (
            [index for part in self.parts for index in _positions(part)] == list(range(len(old.sites)))
        )


def make_delta(old: Config, new: Config) -> Delta:
    """What turns `old` into `new`. O(sites); those that are one object in both cost next to nothing."""
    known: dict[SiteKey, list[int]] = {}
    for index, site in enumerate(old.sites):
        known.setdefault(site_key(site), []).append(index)
    parts: list[Kept | SiteSpec] = []
    for site in new.sites:
        candidates = known.get(site_key(site), [])
        index = next((one for one in candidates if _is_same(old.sites[one], site)), -1)
        if index < 0:
            parts.append(site)
            continue
        candidates.remove(index)
        last = parts[-1] if parts else None
        if isinstance(last, Kept) and last.first + last.count == index:
            parts[-1] = Kept(last.first, last.count + 1)
        else:
            parts.append(Kept(index, 1))
    return Delta(tuple(parts), new.notices)


def apply_delta(old: Config, delta: Delta) -> Config:
    """The configuration that the delta was made for: equal to it, with the objects of `old` where they stay.

    Raises ValueError if the delta was made from another configuration, as far as that shows.
    """
    return Config(tuple(_sites(old, delta.parts)), delta.notices)


def whole(wanted: Config | Delta, before: Config | Delta | None) -> Config:
    """The configuration that is wanted, where a delta is from `before`, itself a whole one."""
    if isinstance(wanted, Config):
        return wanted
    assert isinstance(before, Config)
    return apply_delta(before, wanted)


def site_key(site: SiteSpec) -> SiteKey:
    """See SiteKey. Sites with port 0 may share one."""
    return site.bind, tuple([(address.host, address.port, address.path) for address in site.addresses])


def _is_same(old: SiteSpec, new: SiteSpec) -> bool:
    return old is new or old == new


def _sites(old: Config, parts: Iterable[Kept | SiteSpec]) -> Iterator[SiteSpec]:
    for part in parts:
        if isinstance(part, SiteSpec):
            yield part
        elif part.first + part.count > len(old.sites):
            raise ValueError(f"{part} of a configuration that has {len(old.sites)} sites")
        else:
            yield from old.sites[part.first : part.first + part.count]


def _positions(part: Kept | SiteSpec) -> range:
    return range(part.first, part.first + part.count) if isinstance(part, Kept) else range(0)
