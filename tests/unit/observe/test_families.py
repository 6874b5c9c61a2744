"""The table of metrics keeps the conventions that scrapers rely on."""

from __future__ import annotations

import re
from pathlib import Path

from posthouse.observe.families import DURATION_BUCKETS, FAMILIES, WAIT_BUCKETS, Kind, Merge

PAGE = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()
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


def test_the_page_shows_this_table() -> None:
    """docs/metrics.md is what dashboards are made from."""
    rows = re.findall(
        r"^\| `(\w+)` \| (counter|gauge|histogram) \| ([^|]+) \| ([^|]+) \|$", PAGE, re.MULTILINE
    )
    shown = {name: (kind, tuple(re.findall(r"`(\w+)`", labels)), help) for name, kind, labels, help in rows}
    assert len(shown) == len(rows)
    assert shown == {
        name: (family.kind, family.labels, family.help.removesuffix(".")) for name, family in FAMILIES.items()
    }
    assert list(shown) == list(FAMILIES), "in the same order"
    for buckets in (DURATION_BUCKETS, WAIT_BUCKETS):
        assert ", ".join(f"{bound:g}" for bound in buckets) + "." in PAGE.replace("\n", " ")


def test_the_page_explains_every_label() -> None:
    labels = {label for family in FAMILIES.values() for label in family.labels}
    explained = set(
        re.findall(
            r"`(\w+)`", "".join(re.findall(r"^\| (`.+?) \|", PAGE.split("### Labels")[1], re.MULTILINE))
        )
    )
    assert labels - explained == {"result", "version", "python", "loop"}, (
        "those that the table itself explains"
    )
