"""`make bench`: argv → rows measured → table and JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.events import __main__ as events
from benchmarks.events.fronts import NAMES
from benchmarks.events.table import COLUMNS
from benchmarks.events.table import markdown as events_markdown
from benchmarks.load import cores, raise_descriptor_limit
from benchmarks.measure import DID_NOT_START, Plan, measure
from benchmarks.processes import NotReady
from benchmarks.proxies.table import PROXIES
from benchmarks.report import environment, heading, markdown, print_environment, row_lines
from benchmarks.rows import ROWS


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="make bench ARGS=…", description="Posthouse beside nginx, HAProxy, Caddy and Envoy"
    )
    parser.add_argument("--quick", action="store_true", help="one round of a second per row: a first look")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a round")
    names = [row.name for row in ROWS]
    parser.add_argument("--row", action="append", choices=names, help="only this row (repeatable)")
    parser.add_argument(
        "--proxy", action="append", choices=list(PROXIES), help="only this proxy (repeatable)"
    )
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), help="where the figures go")
    parser.add_argument("--only", choices=["rows", "events"], help="one part of the two")
    return parser.parse_args()


def is_incomplete(found: Mapping[str, Any]) -> bool:
    """Whether a proxy that should have been measured was not, or failed requests."""
    return any(
        each.get("missing") == DID_NOT_START or each.get("median", {}).get("failed")
        for row in found.values()
        for each in row.values()
    )


def main() -> int:
    """Measure, print, write; 1 if a proxy failed requests of a row, or did not start."""
    arguments = read_arguments()
    raise_descriptor_limit()
    proxy_core, load_core = cores()
    if arguments.quick:
        plan = Plan(1, 1.0, 0.0, proxy_core, load_core)
    else:
        plan = Plan(arguments.rounds, arguments.seconds, 1.0, proxy_core, load_core)
    proxies = [PROXIES[name] for name in PROXIES if not arguments.proxy or name in arguments.proxy]
    rows = [row for row in ROWS if not arguments.row or row.name in arguments.row]
    facts = environment([proxy.name for proxy in proxies], (proxy_core, load_core))
    print_environment(facts)
    plain: dict[str, Any] = {"environment": facts, "rounds": plan.rounds, "seconds": plan.seconds}
    tables, is_good = [], True
    if arguments.only != "events":
        print(heading())
        found = plain["rows"] = {}
        for row in rows:
            try:
                found[row.name] = measure(row, proxies, plan, lambda line: print(line, file=sys.stderr))
            except (NotReady, RuntimeError) as error:
                print(f"{row.title}: {error}", file=sys.stderr)
                return 1
            print("\n".join(row_lines(row, found[row.name])), flush=True)
        tables.append(markdown(found))
        is_good = not is_incomplete(found)
    if arguments.only == "events" or not (arguments.only or arguments.row):
        names = [name for name in NAMES if not arguments.proxy or name in arguments.proxy]
        happened = plain["events"] = events.measure(
            names, list(COLUMNS), is_quick=arguments.quick, load_core=load_core
        )
        tables.append(events_markdown(happened))
        is_good = is_good and not events.has_failed(happened)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(plain, indent=1) + "\n")
    table = arguments.json.with_suffix(".md")
    table.write_text("\n".join(tables))
    print(f"\nwritten to {arguments.json} and {table}")
    return int(not is_good)


if __name__ == "__main__":
    raise SystemExit(main())
