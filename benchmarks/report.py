"""What a run found: a table for people, JSON for later comparison, and the machine it was found on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.proxies.setup import program
from benchmarks.proxies.table import PROXIES
from benchmarks.rows import ROWS, Row

WIDTHS = (33, 10, 10, 10, 10, 10, 9, 9, 9, 7, 8, 8)
HEADINGS = (
    *("", "", "CPU µs", "user", "sys", "req/s", "p50 ms", "p99 ms", "MiB"),
    *("busy", "/nginx", "/caddy"),
)
BASES = ("nginx", "caddy")
"""Ratios are against these, and empty where one of them was not measured."""


def _first_line(argv: Sequence[str]) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=10)
    except OSError as error:
        return str(error)
    return (done.stdout + done.stderr).strip().partition("\n")[0]


def _version(argv: Sequence[str]) -> str:
    """Envoy says where its binary lies first."""
    return re.sub(r"^/\S+ +version: ", "envoy ", _first_line(argv))


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def environment(names: Sequence[str], cores: tuple[int | None, int | None]) -> dict[str, Any]:
    """Where this was measured, and with which versions."""
    versions = {name: _version(PROXIES[name].version()) for name in names}
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "proxy_core": cores[0],
        "load_core": cores[1],
        "kernel": platform.release(),
        "python": platform.python_version(),
        "wrk": _first_line([program("wrk"), "-v"]).partition(" Copyright")[0],
        "load_average_before": os.getloadavg()[0],
        "versions": versions,
    }


def print_environment(facts: Mapping[str, Any]) -> None:
    """A few lines above the table."""
    print(f"{facts['cpu']}, {facts['cores']} cores, Linux {facts['kernel']}, Python {facts['python']}")
    print(
        f"proxy on core {facts['proxy_core']}, load and backend on core {facts['load_core']}; {facts['wrk']}"
    )
    for name, version in facts["versions"].items():
        print(f"  {name}: {version}")
    if facts["load_average_before"] > 0.5:
        print(f"  the machine was busy before the run: load average {facts['load_average_before']:.2f}")
    print()


def _cells(cells: Sequence[str]) -> str:
    left = f"{cells[0]:<{WIDTHS[0]}}{cells[1]:<{WIDTHS[1]}}"
    return left + "".join(f"{cell:>{width}}" for cell, width in zip(cells[2:], WIDTHS[2:], strict=True))


def _ratio(value: float, base: float | None) -> str:
    return f"{value / base:.2f}" if base is not None and base > 0 else ""


def _base(found: Mapping[str, Any], name: str, figure: str) -> float | None:
    """A figure of one of the bases; None if it was not measured."""
    value: float | None = found.get(name, {}).get("median", {}).get(figure)
    return value


def _busy_cells(median: Mapping[str, float], found: Mapping[str, Any]) -> list[str]:
    return [
        f"{median['cpu_us']:,.1f}",
        f"{median['user_us']:,.1f}",
        f"{median['system_us']:,.1f}",
        f"{median['per_second']:,.0f}",
        f"{median['p50_ms']:.2f}",
        f"{median['p99_ms']:.2f}",
        f"{median['memory_mib']:.1f}",
        f"{median['busy']:.0%}",
        *(_ratio(median["cpu_us"], _base(found, base, "cpu_us")) for base in BASES),
    ]


def _idle_line(median: Mapping[str, float], found: Mapping[str, Any]) -> str:
    each = median["bytes_per_connection"]
    line = f"  {each / 1024:.2f} KiB each, {median['kept']} kept, {median['memory_mib']:.1f} MiB in all"
    ratios = [(base, _ratio(each, _base(found, base, "bytes_per_connection"))) for base in BASES]
    return line + "".join(f"  /{base} {ratio}" for base, ratio in ratios if ratio)


def heading() -> str:
    """The columns. busy: share of a core that the proxy used; /nginx, /caddy: CPU per request against theirs."""
    return _cells(HEADINGS)


def row_lines(row: Row, found: Mapping[str, Any]) -> list[str]:
    """One line per proxy; a dash for one that lacks what the row asks."""
    lines = []
    for place, (name, each) in enumerate(found.items()):
        title = row.title if place == 0 else ""
        if "missing" in each:
            lines.append(f"{title:<{WIDTHS[0]}}{name:<{WIDTHS[1]}}{'–':>{WIDTHS[2]}}  {each['missing']}")
        elif row.load is None:
            lines.append(f"{title:<{WIDTHS[0]}}{name:<{WIDTHS[1]}}" + _idle_line(each["median"], found))
        else:
            failed = f"  {each['median']['failed']:.0f} FAILED" if each["median"]["failed"] else ""
            lines.append(_cells([title, name, *_busy_cells(each["median"], found)]) + failed)
    return lines


def markdown(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The table of docs/benchmarks.md: CPU per request of all proxies, and the ratios of Posthouse."""
    names = [name for name in PROXIES if any(name in found for found in rows.values())]
    shown = ["row", *(f"{name} µs" for name in names), *(f"posthouse / {base}" for base in BASES)]
    lines = [" | ".join(shown), " | ".join("---" for _ in shown)]
    for row in ROWS:
        if row.name in rows:
            figure = "cpu_us" if row.load is not None else "bytes_per_connection"
            lines.append(" | ".join(_markdown_cells(row, rows[row.name], names, figure)))
    return "".join(f"| {line} |\n" for line in lines)


def _markdown_cells(row: Row, found: Mapping[str, Any], names: Sequence[str], figure: str) -> list[str]:
    cells = [f"`{row.name}`"]
    for name in names:
        value = _base(found, name, figure)
        if value is None:
            cells.append("–")
        elif row.load is None:
            cells.append(f"{value / 1024:.1f} KiB")
        else:
            cells.append(f"{value:,.1f}" if value < 100 else f"{value:,.0f}")
    own = _base(found, "posthouse", figure)
    return cells + [_ratio(own, _base(found, base, figure)) if own is not None else "" for base in BASES]
