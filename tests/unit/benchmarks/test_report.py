"""The table of a run: ratios to both bases, dashes for what was not measured, failures never hidden."""

from __future__ import annotations

from typing import Any

from benchmarks.report import heading, markdown, row_lines
from benchmarks.rows import ROWS, Row

SMALL, STATIC, IDLE = (
    next(row for row in ROWS if row.name == name) for name in ("small", "static-4k", "idle")
)


def measured(cpu_us: float, failed: float = 0.0) -> dict[str, Any]:
    """One proxy's part of a row."""
    figures = {"user_us": 1.0, "system_us": 2.0, "per_second": 30000.0, "p50_ms": 0.5, "p99_ms": 9.0}
    return {"median": {"cpu_us": cpu_us, **figures, "memory_mib": 20.0, "busy": 0.97, "failed": failed}}


def cells(row: Row, found: dict[str, Any], name: str) -> list[str]:
    """The words of one proxy's line behind its name."""
    line = next(line for line in row_lines(row, found) if name in line.split())
    return line.partition(name)[2].split()


def test_ratios_are_against_nginx_and_caddy() -> None:
    found = {"posthouse": measured(30.0), "nginx": measured(20.0), "caddy": measured(120.0)}
    assert cells(SMALL, found, "posthouse") == [
        *("30.0", "1.0", "2.0", "30,000", "0.50", "9.00", "20.0", "97%"),
        *("1.50", "0.25"),
    ]
    assert cells(SMALL, found, "caddy")[-2:] == ["6.00", "1.00"]


def test_there_is_a_heading_for_every_cell() -> None:
    found = {"posthouse": measured(30.0), "nginx": measured(20.0), "caddy": measured(120.0)}
    line = row_lines(SMALL, found)[0]
    assert len(line) == len(heading())
    assert heading().split()[-3:] == ["busy", "/nginx", "/caddy"]


def test_no_ratio_without_its_base() -> None:
    found = {"posthouse": measured(30.0), "caddy": measured(120.0)}
    assert cells(SMALL, found, "posthouse")[-2:] == ["97%", "0.25"]


def test_a_dash_and_the_reason_for_what_is_missing() -> None:
    found = {
        "posthouse": measured(30.0),
        "nginx": {"missing": "did not start"},
        "haproxy": {"missing": "lacks it"},
    }
    assert cells(STATIC, found, "haproxy") == ["–", "lacks", "it"]
    assert cells(STATIC, found, "posthouse")[-1] == "97%"


def test_failures_are_shown() -> None:
    assert cells(SMALL, {"nginx": measured(20.0, failed=3.0)}, "nginx")[-2:] == ["3", "FAILED"]


def test_the_title_stands_once() -> None:
    lines = row_lines(SMALL, {"posthouse": measured(30.0), "nginx": measured(20.0)})
    assert [SMALL.title in line for line in lines] == [True, False]


def test_idle_connections_are_counted_in_kib() -> None:
    found = {
        "posthouse": {"median": {"bytes_per_connection": 2048.0, "kept": 1000, "memory_mib": 22.0}},
        "caddy": {"median": {"bytes_per_connection": 20480.0, "kept": 1000, "memory_mib": 70.0}},
    }
    line = row_lines(IDLE, found)[0]
    assert "2.00 KiB each, 1000 kept" in line and line.endswith("/caddy 0.10")


def test_the_page_gets_the_same_figures() -> None:
    found = {
        "small": {"posthouse": measured(30.04), "nginx": measured(20.0), "caddy": measured(120.0)},
        "static-4k": {"posthouse": measured(1234.5), "nginx": {"missing": "did not start"}},
        "idle": {"nginx": {"median": {"bytes_per_connection": 512.0}}},
    }
    assert markdown(found).splitlines() == [
        "| row | posthouse µs | nginx µs | caddy µs | posthouse / nginx | posthouse / caddy |",
        "| --- | --- | --- | --- | --- | --- |",
        "| `small` | 30.0 | 20.0 | 120 | 1.50 | 0.25 |",
        "| `static-4k` | 1,234 | – | – |  |  |",
        "| `idle` | – | 0.5 KiB | – |  |  |",
    ]
