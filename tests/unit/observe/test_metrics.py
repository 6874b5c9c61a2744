from __future__ import annotations

from posthouse.observe.families import FAMILIES, NO_ROUTE, REMOVED_SITE, UNKNOWN_SITE
from posthouse.observe.metrics import (
    CELLS_AT_ONCE,
    NEW,
    REQUEST_BYTES,
    RETRIES,
    REUSED,
    Cell,
    Metrics,
    status_label,
)
from posthouse.observe.snapshot import Histogram, Rows


def fill(cell: Cell, times: int = 1) -> None:
    cell.exchanges["GET", 200, ""] = times
    cell.durations[2] += times
    cell.waits[1] += times
    cell.seconds[0] += 0.25 * times
    cell.seconds[1] += 0.5 * times
    cell.sums[NEW] += times
    cell.failures["reset"] = times


def test_a_name_has_one_cell() -> None:
    metrics = Metrics()
    assert metrics.cell("a", "/") is metrics.cell("a", "/")
    assert metrics.cell("a", "/") is not metrics.cell("a", "/b")
    assert repr(metrics) == "<Metrics cells=2>"


def test_rows_have_the_names_of_site_and_route() -> None:
    metrics = Metrics()
    cell = metrics.cell("a", "/x")
    fill(cell, 3)
    cell.sums[REQUEST_BYTES], cell.sums[REUSED], cell.sums[RETRIES] = 10, 2, 1
    metrics.unknown.exchanges["GET", 404, ""] = 5
    metrics.refused[400] = 7
    rows = metrics.rows()
    assert rows["posthouse_exchanges_total"] == {
        ("a", "/x", "GET", "200", ""): 3,
        (UNKNOWN_SITE, NO_ROUTE, "GET", "404", ""): 5,
    }
    durations = rows["posthouse_exchange_duration_seconds"]["a", "/x"]
    assert isinstance(durations, Histogram) and (durations.count, durations.total) == (3, 0.75)
    waits = rows["posthouse_queue_wait_seconds"]
    assert list(waits) == [("a", "/x")], "nobody has waited elsewhere"
    waited = waits["a", "/x"]
    assert isinstance(waited, Histogram) and (waited.count, waited.total) == (3, 1.5)
    assert rows["posthouse_request_body_bytes_total"]["a", "/x"] == 10
    assert rows["posthouse_attempts_total"]["a", "/x", "new"] == 3
    assert rows["posthouse_attempts_total"]["a", "/x", "reused"] == 2
    assert rows["posthouse_retries_total"]["a", "/x"] == 1
    assert rows["posthouse_attempt_failures_total"] == {("a", "/x", "reset"): 3}
    assert rows["posthouse_refused_requests_total"] == {("400",): 7}


def test_rows_fit_the_table() -> None:
    metrics = Metrics()
    fill(metrics.cell("a", "/"))
    metrics.refused[400] = 1
    for name, rows in metrics.rows().items():
        for labels, sample in rows.items():
            assert len(labels) == len(FAMILIES[name].labels), name
            if isinstance(sample, Histogram):
                assert len(sample.counts) == len(FAMILIES[name].buckets) + 1


def test_statuses_that_nobody_registered_are_folded() -> None:
    assert [status_label(status) for status in (200, 404, 418, 499, 101)] == [
        "200",
        "404",
        "418",
        "499",
        "101",
    ]
    assert [status_label(status) for status in (299, 399, 450, 599, 999)] == [
        "2xx",
        "3xx",
        "4xx",
        "5xx",
        "9xx",
    ]
    cell = Metrics().cell("a", "/")
    for status in (290, 291):
        cell.exchanges["GET", status, ""] = 2
    assert [row for row in cell.rows() if row[0] == "posthouse_exchanges_total"] == [
        ("posthouse_exchanges_total", ("GET", "2xx", ""), 4)
    ]


def test_sites_that_are_gone_are_counted_together_and_go_on_counting() -> None:
    metrics = Metrics()
    first, second = metrics.cell("a", "/"), metrics.cell("b", "/")
    fill(first)
    fill(second, 2)
    metrics.keep({("a", "/")})
    metrics.keep(set())
    removed = (REMOVED_SITE, NO_ROUTE)
    assert metrics.rows()["posthouse_exchanges_total"] == {(*removed, "GET", "200", ""): 3}
    for cell in (first, second):  # an exchange that began before ends now
        cell.exchanges["GET", 200, ""] += 1
        cell.seconds[0] += 1.0
        cell.waits[1] += 1
        cell.durations[0] += 1
        cell.sums[NEW] += 1
        cell.failures["reset"] += 1
    rows = metrics.rows()
    assert rows["posthouse_exchanges_total"] == {(*removed, "GET", "200", ""): 5}
    assert rows["posthouse_attempts_total"][*removed, "new"] == 5
    assert rows["posthouse_attempt_failures_total"] == {(*removed, "reset"): 5}
    durations = rows["posthouse_exchange_duration_seconds"][removed]
    assert isinstance(durations, Histogram) and (durations.count, durations.total) == (5, 2.75)
    waits = rows["posthouse_queue_wait_seconds"][removed]
    assert isinstance(waits, Histogram) and (waits.count, waits.total) == (5, 1.5)


def test_sites_that_go_while_they_are_told_are_told_once() -> None:
    metrics = Metrics()
    names = [(f"s{number}", "/") for number in range(2 * CELLS_AT_ONCE + 1)]
    cells = [metrics.cell(*name) for name in names]
    for cell in cells:
        cell.exchanges["GET", 200, ""] = 1
    told: dict[str, Rows] = {}
    steps = metrics.gather(told)
    next(steps)
    metrics.keep(names[:3])
    cells[-1].exchanges["GET", 200, ""] += 1
    assert sum(1 for _ in steps) == 0, "what is left is told without a pause"
    exchanges = told["posthouse_exchanges_total"]
    assert exchanges[REMOVED_SITE, NO_ROUTE, "GET", "200", ""] == len(names) - 3 + 1
    assert len(exchanges) == 4


def test_a_configuration_that_keeps_all_sites_disturbs_nobody_for_long() -> None:
    metrics = Metrics()
    names = [(f"s{number}", "/") for number in range(CELLS_AT_ONCE)]
    for name in names:
        metrics.cell(*name).exchanges["GET", 200, ""] = 1
    told: dict[str, Rows] = {}
    steps = metrics.gather(told)
    next(steps)
    metrics.keep(names)
    for _ in steps:
        pass
    assert len(told["posthouse_exchanges_total"]) == CELLS_AT_ONCE


def test_a_site_that_comes_back_begins_again() -> None:
    metrics = Metrics()
    fill(metrics.cell("a", "/"), 4)
    metrics.keep(set())
    fill(metrics.cell("a", "/"), 1)
    assert set(metrics.rows()["posthouse_exchanges_total"].values()) == {4, 1}


def test_a_site_that_stays_keeps_its_cell() -> None:
    metrics = Metrics()
    cell = metrics.cell("a", "/")
    metrics.keep({("a", "/"), ("b", "/")})
    assert metrics.cell("a", "/") is cell
    assert (REMOVED_SITE, NO_ROUTE) not in metrics.rows()["posthouse_retries_total"]
    assert repr(cell) == "<Cell exchanges=0>"
