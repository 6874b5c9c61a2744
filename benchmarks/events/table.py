"""What was found, for people: a line for each proxy, and the tables of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_SEEN: Final = {
    "requests": "answers:,",
    "lost": "lost",
    "refused": "refused",
    "downloads": "downloads",
    "cut": "cut",
}
_WORST: Final = {"longest wait ms": "worst_ms:.0f"}

COLUMNS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "start": (
        "a start, until the first answer",
        {
            "1 worker ms": "ready_1_ms:.0f",
            "CPU ms": "cpu_1_ms:.0f",
            "2 workers ms": "ready_2_ms:.0f",
            "CPU ms ": "cpu_2_ms:.0f",
        },
    ),
    "workers": (
        "small GET with 1 and 2 workers",
        {
            "1 worker µs": "cpu_1_us:.1f",
            "req/s": "per_second_1:,.0f",
            "2 workers µs": "cpu_2_us:.1f",
            "req/s ": "per_second_2:,.0f",
        },
    ),
    "idle": (
        "idle connections, 2 workers",
        {
            "kept": "kept",
            "KiB each": "kib_each:.2f",
            "left MiB": "left_mib:.1f",
            "MiB before": "total_mib:.0f",
        },
    ),
    "reload": (
        "reloads in a row",
        {
            **_SEEN,
            **_WORST,
            "live ms": "live_ms:.0f",
            "most ms": "most_ms:.0f",
            "grown MiB": "grown_mib:+.1f",
        },
    ),
    "kill": ("a worker is killed", {"kills": "kills", **_SEEN, **_WORST}),
    "upgrade": ("another process takes over", {**_SEEN, **_WORST, "live ms": "live_ms:.0f"}),
    "stop": (
        "a graceful stop",
        {"lost": "lost", "downloads": "downloads", "cut": "cut", "took ms": "took_ms:.0f"},
    ),
}
"""By event: its title, and by heading the figure with its format. `wrong` is told only where it is not 0."""


def cell(figures: Mapping[str, Any], wanted: str) -> str:
    """One figure as it is written."""
    name, _, form = wanted.partition(":")
    return format(figures[name], form)


def _cells(event: str, figures: Mapping[str, Any]) -> list[str]:
    return [cell(figures, wanted) for wanted in COLUMNS[event][1].values()]


def _wrong(figures: Mapping[str, Any]) -> str:
    return f"  {figures['wrong']} WRONG ANSWERS" if figures.get("wrong") else ""


def lines(event: str, found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A title, headings, and a line for each proxy."""
    title, columns = COLUMNS[event]
    widths = [max(len(heading) + 2, 10) for heading in columns]
    made = [
        "",
        f"{title:<33}"
        + "".join(f"{one.strip():>{width}}" for one, width in zip(columns, widths, strict=True)),
    ]
    for name, figures in found.items():
        if "missing" in figures:
            made.append(f"  {name:<31}  – {figures['missing']}")
            continue
        cells = _cells(event, figures)
        row = "".join(f"{one:>{width}}" for one, width in zip(cells, widths, strict=True))
        made.append(f"  {name:<31}{row}{_wrong(figures)}")
    return made


def markdown(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """A table for each event."""
    made = []
    for event, each in found.items():
        title, columns = COLUMNS[event]
        made += [
            f"| {title} | {' | '.join(one.strip() for one in columns)} |",
            "| --- |" + " --- |" * len(columns),
        ]
        for name, figures in each.items():
            cells = ["–"] * len(columns) if "missing" in figures else _cells(event, figures)
            note = f" ({figures['missing']})" if "missing" in figures else ""
            made.append(f"| {name}{note}{_wrong(figures)} | {' | '.join(cells)} |")
        made.append("")
    return "\n".join(made)
