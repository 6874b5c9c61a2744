"""Snapshot: what one process has measured, as plain data that can be sent, summed and written.

Laws:
1. `merge` is associative and commutative, and `Snapshot()` changes nothing: in whatever order processes answer, the sum
   is the same (times and byte counts may differ in the last digit, as sums of floats do).
2. What it holds is described by `families.FAMILIES`, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from operator import add

from posthouse.observe.families import FAMILIES, NO_ROUTE, REMOVED_SITE, UNKNOWN_SITE, Merge

Labels = tuple[str, ...]
"""The values, in the order of the family's labels."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """counts: one for each bucket and one for what is above, not cumulative; total: the sum of all values."""

    counts: tuple[int, ...]
    total: float

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)


Sample = int | float | Histogram
Rows = Mapping[Labels, Sample]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """rows    by the name of the family, then by the values of its labels
    born    when its process started, monotonic nanoseconds; 0: it is no single process's
    number  rises with each snapshot of a process
    """

    rows: Mapping[str, Rows] = field(default_factory=dict)
    born: int = 0
    number: int = 0

    def value(self, name: str, *labels: str) -> Sample:
        """One sample; 0 if there is none."""
        return self.rows.get(name, {}).get(labels, 0)


def merge(snapshots: Iterable[Snapshot]) -> Snapshot:
    """All of them together."""
    merged: dict[str, dict[Labels, Sample]] = {}
    for snapshot in snapshots:
        for name, rows in snapshot.rows.items():
            rule = FAMILIES[name].merge
            into = merged.get(name)
            if into is None:
                merged[name] = dict(rows)
                continue
            for labels, sample in rows.items():
                before = into.get(labels)
                into[labels] = sample if before is None else _together(rule, before, sample)
    return Snapshot(merged)


def cut(snapshot: Snapshot, most: int) -> Iterator[Snapshot]:
    """Pieces of it, of so many samples at most; one at least. All together, in any order, are the snapshot."""
    rows: dict[str, dict[Labels, Sample]] = {}
    room = most
    for name, all_rows in snapshot.rows.items():
        samples = iter(all_rows.items())
        while True:
            into = rows.setdefault(name, {})
            into.update(islice(samples, room))
            room = most - sum(map(len, rows.values()))
            if room:
                break
            yield Snapshot(rows, snapshot.born, snapshot.number)
            rows, room = {}, most
    yield Snapshot(rows, snapshot.born, snapshot.number)


class Pieces:
    """What has come so far of snapshots that come in pieces, by a key of the receiver's choice."""

    __slots__ = ("_rows",)

    def __init__(self) -> None:
        self._rows: dict[Hashable, dict[str, dict[Labels, Sample]]] = {}

    def __repr__(self) -> str:
        return f"<Pieces {list(self._rows)}>"

    def add(self, key: Hashable, piece: Snapshot, *, is_last: bool) -> Snapshot | None:
        """One more; the whole, if it was the last one."""
        rows = self._rows.setdefault(key, {})
        for name, samples in piece.rows.items():
            rows.setdefault(name, {}).update(samples)
        if not is_last:
            return None
        del self._rows[key]
        return Snapshot(rows, piece.born, piece.number)

    def forget(self, is_gone: Callable[[Hashable], bool]) -> None:
        """No more will come for these keys."""
        for key in list(self._rows):
            if is_gone(key):
                del self._rows[key]


def lasting(snapshot: Snapshot) -> Snapshot:
    """What stays true when the process is gone: its counters and histograms."""
    return Snapshot({name: rows for name, rows in snapshot.rows.items() if FAMILIES[name].is_lasting})


def fold_removed(snapshot: Snapshot, sites: Collection[str]) -> Snapshot:
    """What was counted for sites that are not among `sites` goes to one row, so that no total falls with a site."""
    kept = {*sites, UNKNOWN_SITE, REMOVED_SITE}
    folded: dict[str, dict[Labels, Sample]] = {}
    for name, rows in snapshot.rows.items():
        family = FAMILIES[name]
        into = folded.setdefault(name, {})
        for labels, sample in rows.items():
            if family.labels[:2] == ("site", "route") and labels[0] not in kept:
                labels = (REMOVED_SITE, NO_ROUTE, *labels[2:])
            before = into.get(labels)
            into[labels] = sample if before is None else _together(family.merge, before, sample)
    return Snapshot(folded)


def _together(rule: Merge, one: Sample, other: Sample) -> Sample:
    if isinstance(one, Histogram) or isinstance(other, Histogram):
        assert isinstance(one, Histogram) and isinstance(other, Histogram)
        return Histogram(tuple(map(add, one.counts, other.counts)), one.total + other.total)
    if rule is Merge.SUM:
        return one + other
    return max(one, other) if rule is Merge.MOST else min(one, other)
