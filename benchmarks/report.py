"""What a run found: a table for people, JSON for later comparison, and the machine it was found on."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.proxies import PROXIES, program
from benchmarks.rows import Row

WIDTHS = (33, 10, 10, 10, 10, 10, 9, 9, 9, 7)
HEADINGS = ("", "", "CPU µs", "user", "sys", "req/s", "p50 ms", "p99 ms", "MiB", "ratio")


def _first_line(argv: Sequence[str]) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=10)
    except OSError as error:
        return str(error)
    return (done.stdout + done.stderr).strip().partition("\n")[0]


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def environment(names: Sequence[str], cores: tuple[int | None, int | None]) -> dict[str, Any]:
    """Where this was measured, and with which versions."""
    versions = {}
    for name in names:
        argv = PROXIES[name].version
        versions[name] = _first_line([program(argv[0]) if name != "posthouse" else argv[0], *argv[1:]])
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


def _ratio(value: float, base: float) -> str:
    return f"{value / base:.2f}" if base > 0 else ""


def _busy_cells(median: Mapping[str, float], nginx: Mapping[str, float] | None) -> list[str]:
    return [
        f"{median['cpu_us']:,.1f}",
        f"{median['user_us']:,.1f}",
        f"{median['system_us']:,.1f}",
        f"{median['per_second']:,.0f}",
        f"{median['p50_ms']:.2f}",
        f"{median['p99_ms']:.2f}",
        f"{median['memory_mib']:.1f}",
        _ratio(median["cpu_us"], nginx["cpu_us"]) if nginx else "",
    ]


def print_heading() -> None:
    """The columns; ratio is CPU per request against nginx's."""
    print(_cells(HEADINGS))


def print_row(row: Row, found: Mapping[str, Any]) -> None:
    """One line per proxy."""
    nginx = found["nginx"]["median"] if "nginx" in found else None
    for place, (name, each) in enumerate(found.items()):
        title = row.title if place == 0 else ""
        median = each["median"]
        if row.load is None:
            kept = f"  {median['bytes_per_connection'] / 1024:.2f} KiB each, {median['kept']} kept,"
            base = nginx["bytes_per_connection"] if nginx else 0.0
            ratio = _ratio(median["bytes_per_connection"], base)
            line = f"{title:<{WIDTHS[0]}}{name:<{WIDTHS[1]}}{kept} {median['memory_mib']:.1f} MiB in all"
            print(line + f"  ratio {ratio}" if ratio else line)
            continue
        failed = f"  {median['failed']:.0f} FAILED" if median["failed"] else ""
        print(_cells([title, name, *_busy_cells(median, nginx)]) + failed)
