"""The text is what prometheus-client's parsers read, in both formats, whatever the names hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open
from prometheus_client.parser import text_string_to_metric_families as read_text

from posthouse.observe.exposition import OPEN_METRICS, ROWS_AT_ONCE, TEXT, media_type, pieces, render
from posthouse.observe.families import DURATION_BUCKETS, FAMILIES, Kind
from posthouse.observe.snapshot import Histogram, Rows, Snapshot
from unit.observe.snapshots import snapshots

Read = Callable[[str], Iterable[Metric]]
FORMATS: list[tuple[bool, Read]] = [(False, read_text), (True, read_open)]


def samples(read: Read, text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in read(text.decode())
        for sample in family.samples
    }


@pytest.mark.parametrize(("is_open", "read"), FORMATS)
def test_a_histogram_is_cumulative(is_open: bool, read: Read) -> None:
    counts = [0] * (len(DURATION_BUCKETS) + 1)
    counts[1], counts[3], counts[-1] = 2, 1, 4
    rows: Rows = {("s", "/"): Histogram(tuple(counts), 250.5)}
    text = render(Snapshot({"posthouse_exchange_duration_seconds": rows}), is_open=is_open)
    found = samples(read, text)
    where = (("route", "/"), ("site", "s"))
    below = [
        found["posthouse_exchange_duration_seconds_bucket", (("le", bound), *where)]
        for bound in ("0.0005", "0.001", "0.0025", "0.005", "60.0", "+Inf")
    ]
    assert below == [0, 2, 2, 3, 3, 7]
    assert found["posthouse_exchange_duration_seconds_count", where] == 7
    assert found["posthouse_exchange_duration_seconds_sum", where] == 250.5


def test_what_it_looks_like() -> None:
    snapshot = Snapshot(
        {
            "posthouse_reloads_total": {("success",): 2, ("failure",): 0},
            "posthouse_workers": {(): 4},
            "posthouse_generation": {},
        }
    )
    assert render(snapshot).decode() == (
        "# HELP posthouse_reloads_total Reloads, by result: success or failure.\n"
        "# TYPE posthouse_reloads_total counter\n"
        'posthouse_reloads_total{result="success"} 2\n'
        'posthouse_reloads_total{result="failure"} 0\n'
        "# HELP posthouse_workers Processes that serve requests.\n"
        "# TYPE posthouse_workers gauge\n"
        "posthouse_workers 4\n"
    )
    assert render(snapshot, is_open=True).decode() == (
        "# HELP posthouse_reloads Reloads, by result: success or failure.\n"
        "# TYPE posthouse_reloads counter\n"
        'posthouse_reloads_total{result="success"} 2\n'
        'posthouse_reloads_total{result="failure"} 0\n'
        "# HELP posthouse_workers Processes that serve requests.\n"
        "# TYPE posthouse_workers gauge\n"
        "posthouse_workers 4\n"
        "# EOF\n"
    )


# Not \r: a Caddyfile can't hold one, and the parsers of prometheus-client split lines at it.
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters='\\"\n{},= '), max_size=8)


@pytest.mark.parametrize(("is_open", "read"), FORMATS)
@given(name=NAMES)
def test_any_name_comes_through(is_open: bool, read: Read, name: str) -> None:
    text = render(Snapshot({"posthouse_retries_total": {(name, "/"): 3}}), is_open=is_open)
    key = ("posthouse_retries_total", (("route", "/"), ("site", name)))
    assert samples(read, text) == {key: 3}


@pytest.mark.parametrize(("is_open", "read"), FORMATS)
@given(snapshot=snapshots())
def test_every_sample_is_read_back(is_open: bool, read: Read, snapshot: Snapshot) -> None:
    found = samples(read, render(snapshot, is_open=is_open))
    for name, rows in snapshot.rows.items():
        family = FAMILIES[name]
        for labels, sample in rows.items():
            pairs = tuple(sorted(zip(family.labels, labels, strict=True)))
            if isinstance(sample, Histogram):
                assert found[f"{name}_count", pairs] == sample.count
            else:
                assert found[name, pairs] == sample


@pytest.mark.parametrize(("is_open", "read"), FORMATS)
def test_every_family_has_its_type_and_help(is_open: bool, read: Read) -> None:
    rows = {}
    for name, family in FAMILIES.items():
        value = Histogram((0,) * (len(family.buckets) + 1), 0.0) if family.kind is Kind.HISTOGRAM else 1
        rows[name] = {tuple("x" for _ in family.labels): value}
    for metric in read(render(Snapshot(rows), is_open=is_open).decode()):
        name = metric.name if metric.name in FAMILIES else f"{metric.name}_total"
        assert (metric.type, metric.documentation) == (FAMILIES[name].kind, FAMILIES[name].help)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, TEXT),
        (b"*/*", TEXT),
        (b"text/plain;version=0.0.4", TEXT),
        (b"application/openmetrics-text", OPEN_METRICS),
        (b"Application/OpenMetrics-Text;version=1.0.0;q=0.5,text/plain;q=0.3,*/*;q=0.1", OPEN_METRICS),
        (b"text/plain , application/openmetrics-text ; version=0.0.1 ; q=0.4", OPEN_METRICS),
        (b"application/openmetrics-text;q=0, text/plain", TEXT),
        (b"application/openmetrics-textual", TEXT),
    ],
)
def test_the_format_is_the_one_asked_for(accept: bytes | None, kind: bytes) -> None:
    assert media_type(accept) == kind


def test_long_texts_come_in_pieces() -> None:
    rows: Rows = {(f"site{number:03}", "/"): number for number in range(2 * ROWS_AT_ONCE + 5)}
    snapshot = Snapshot({"posthouse_retries_total": rows})
    made = list(pieces(snapshot, is_open=True))
    assert [piece.count(b"\n") for piece in made] == [ROWS_AT_ONCE + 2, ROWS_AT_ONCE, 5, 1]
    assert b"".join(made) == render(snapshot, is_open=True)
    assert len(samples(read_open, b"".join(made))) == len(rows)


def test_large_numbers_stay_exact() -> None:
    text = render(Snapshot({"posthouse_retries_total": {("s", "/"): 2**53 + 1}}))
    assert b" 9007199254740993\n" in text
    assert math.isclose(
        0.1 + 0.2, float(render(Snapshot({"process_cpu_seconds_total": {(): 0.1 + 0.2}})).split()[-1])
    )
