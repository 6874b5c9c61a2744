"""Snapshots for tests: small numbers, exactly summed."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import strategies as st

from posthouse.observe.families import FAMILIES, Family, Kind
from posthouse.observe.snapshot import Histogram, Labels, Sample, Snapshot

COUNTED = ("posthouse_exchanges_total", "posthouse_reloads_total", "posthouse_exchange_duration_seconds")
GAUGES = ("posthouse_workers", "posthouse_generation", "process_start_time_seconds")
WORDS = ("a", "b")


def samples(family: Family) -> st.SearchStrategy[Sample]:
    small = st.integers(0, 5)
    if family.kind is not Kind.HISTOGRAM:
        return small
    counts = st.tuples(*[small] * (len(family.buckets) + 1))
    return st.builds(Histogram, counts, small.map(float))


def rows(name: str) -> st.SearchStrategy[Mapping[Labels, Sample]]:
    family = FAMILIES[name]
    labels = st.tuples(*[st.sampled_from(WORDS)] * len(family.labels))
    return st.dictionaries(labels, samples(family), max_size=3)


def snapshots() -> st.SearchStrategy[Snapshot]:
    return st.builds(Snapshot, st.fixed_dictionaries({name: rows(name) for name in COUNTED + GAUGES}))


def values(snapshot: Snapshot) -> dict[tuple[str, Labels], tuple[float, ...]]:
    """All numbers, those of rows of zeros left out."""
    flat = {}
    for name, family in snapshot.rows.items():
        for labels, sample in family.items():
            numbers = (*sample.counts, sample.total) if isinstance(sample, Histogram) else (sample,)
            if any(numbers):
                flat[name, labels] = numbers
    return flat


def counted(snapshot: Snapshot) -> dict[tuple[str, Labels], tuple[float, ...]]:
    """Of counters and histograms only."""
    return {key: found for key, found in values(snapshot).items() if FAMILIES[key[0]].is_lasting}
