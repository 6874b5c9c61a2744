"""The table of metrics keeps the conventions that scrapers rely on."""

from __future__ import annotations

import re

from posthouse.observe.families import FAMILIES, Kind, Merge

NAME = re.compile(r"(posthouse|process)(_[a-z]+)+")


def test_names_say_what_they_are() -> None:
    for name, family in FAMILIES.items():
        assert NAME.fullmatch(name) and name == family.name
        assert name.endswith("_total") == (family.kind is Kind.COUNTER), name
        assert not re.search(r"_(bucket|count|sum|created)$", name), name
        assert family.help.endswith(".") and "\n" not in family.help, name


def test_only_gauges_are_not_summed() -> None:
    for family in FAMILIES.values():
        assert family.merge is Merge.SUM or family.kind is Kind.GAUGE, family
        assert family.is_lasting == (family.kind is not Kind.GAUGE)


def test_buckets_rise() -> None:
    for family in FAMILIES.values():
        assert bool(family.buckets) == (family.kind is Kind.HISTOGRAM), family
        assert list(family.buckets) == sorted(set(family.buckets))
