"""`posthouse status`: what a Posthouse that runs says of its sites, pools and backends."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from posthouse.commands import admin_place
from posthouse.commands.command_line import Command, Given, Option

_SOURCE_HEADINGS = ("source", "state", "since", "members", "trouble")
_HEADINGS = ("backend", "state", "since", "in flight", "fails", "last check", "reason")


def _act(given: Given) -> int:
    from posthouse.admin.client import fetch

    report = fetch(admin_place.asked(given), "/status")
    if given.has("--json"):
        print(json.dumps(report, indent=2))
    else:
        print("\n".join(describe(report, datetime.now(UTC))))
    sys.stdout.flush()
    return 0


def describe(report: dict[str, Any], now: datetime) -> list[str]:
    """The report as lines for a person."""
    former = report["generations_retiring"]
    rest = ""
    if former:
        left = report["exchanges_retiring"]
        rest = f" ({left} exchange{'s' * (left != 1)} on {former} former one{'s' * (former > 1)})"
    lines = [
        f"posthouse {report['version']}, pid {report['pid']}, up {span(report['uptime_s'])}",
        f"configuration  {report['config'] or 'not from a file'}, generation {report['generation']}{rest}",
        f"now            {report['connections']} connections, {report['exchanges']} exchanges",
        f"workers        {_workers(report['workers'])}",
        *(f"under pressure {_short(one)}" for one in report["workers"] if one.get("short_of")),
    ]
    pools = {pool["name"]: pool for pool in report["pools"]}
    weights = {(one["pool"], one["backend"]): one["weight"] for one in report["orders"]}
    for site in report["sites"]:
        lines += ["", ", ".join(site["addresses"])]
        if not site["pools"]:
            lines.append("  no proxy")
        for name in site["pools"]:
            lines += [f"  {line}".rstrip() for line in _pool(pools[name], weights, now)]
    return lines


def _workers(workers: list[dict[str, Any]]) -> str:
    each = ", ".join(f"pid {one['pid']} {one['exchanges']} exchanges" for one in workers)
    return f"{len(workers)} ({each})" if workers else "none serves"


_DOING = {
    "connections": "at a limit of connections, new clients wait",
    "descriptors": "without a descriptor, new clients wait",
    "memory": "over its memory, new requests get 503",
}


def _short(worker: dict[str, Any]) -> str:
    return f"pid {worker['pid']} {'; '.join(_DOING.get(one, one) for one in worker['short_of'])}"


def _pool(pool: dict[str, Any], weights: Mapping[tuple[str, str], int | None], now: datetime) -> list[str]:
    """weights: those that were ordered, by pool and backend"""
    queue = pool["queue"]
    waiting = f"{queue['length']} of {queue['size']} wait" if queue["size"] else "no queue"
    if queue["oldest_ms"] is not None:
        waiting += f", the first for {queue['oldest_ms']}ms"
    lines = [f"{pool['name']}  (policy {pool['policy']}; {waiting})"]
    if pool["sources"]:
        lines += aligned([_SOURCE_HEADINGS, *(_source(source, now) for source in pool["sources"])])
    if pool["backends"] or not pool["sources"]:
        rows = [_row(one, weights.get((pool["name"], one["name"])), now) for one in pool["backends"]]
        lines += aligned([_HEADINGS, *rows])
    return [lines[0], *(f"  {line}" for line in lines[1:])]


def _source(source: dict[str, Any], now: datetime) -> tuple[str, ...]:
    since = _ago(source["since"], now) if source["since"] else "-"
    return (source["name"], source["state"], since, str(source["members"]), source["trouble"] or "-")


def _row(backend: dict[str, Any], weight: int | None, now: datetime) -> tuple[str, ...]:
    limit = f"/{backend['max_conns']}" if backend["max_conns"] else ""
    probe = backend["probe"]
    checked = f"{probe['verdict']} {_ago(probe['at'], now)}: {probe['reason']}" if probe else "-"
    reason = backend["reason"] or "-"
    if backend["left_out_s"] is not None:
        reason += f", back in {span(backend['left_out_s'])}"
    if weight is not None:
        reason = f"{'' if reason == '-' else reason + '; '}weight {weight} by order"
    since = _ago(backend["since"], now) if backend["since"] else "-"
    counts = (f"{backend['in_flight']}{limit}", str(backend["fails"]))
    return (backend["name"], backend["state"], since, *counts, checked, reason)


def aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows of a table as lines, each column as wide as its widest cell."""
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


def _ago(stamp: str, now: datetime) -> str:
    return f"{span((now - datetime.fromisoformat(stamp)).total_seconds())} ago"


def span(seconds: float) -> str:
    """A time as one reads it: 0s, 12s, 3m5s, 4h10m, 12d3h."""
    whole = max(int(seconds), 0)
    for size, unit, small_size, small_unit in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "m"),
        (60, "m", 1, "s"),
    ):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // small_size}{small_unit}"
    return f"{whole}s"


COMMAND = Command(
    "status",
    "show the sites, pools and backends of a Posthouse that runs",
    _act,
    options=(
        *admin_place.ASK_OPTIONS,
        Option("--json", "", "all of it, as JSON"),
    ),
)
