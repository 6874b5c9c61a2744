"""The second part of `make bench`, also alone: what operators do and what clients see of it."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.events.figures import EVENTS, Bench
from benchmarks.events.fronts import NAMES
from benchmarks.events.table import COLUMNS, lines, markdown
from benchmarks.load import cores, raise_descriptor_limit
from benchmarks.processes import NotReady, Program, free_port
from benchmarks.proxies.nginx import backend
from benchmarks.proxies.setup import Setup
from benchmarks.report import environment, print_environment


def measure(
    names: Sequence[str], events: Sequence[str], *, is_quick: bool, load_core: int | None
) -> dict[str, dict[str, Any]]:
    """The figures by event and proxy; printed as they come."""
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="posthouse-events-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        upstream = Setup(port=0, backend_port=free_port(), folder=folder)
        program = Program("backend", backend(upstream), folder, None)
        try:
            program.wait_ready(upstream.backend_port)
            for event in events:
                found[event] = {}
                for name in names:
                    own = folder / f"{event}-{name}"
                    own.mkdir()
                    own.chmod(0o755)
                    setup = Setup(port=0, backend_port=upstream.backend_port, folder=own)
                    bench = (
                        Bench(setup, 3, 1, 500, 1.0, load_core)
                        if is_quick
                        else Bench(setup, 50, 5, 5000, 5.0, load_core)
                    )
                    found[event][name] = _one(bench, event, name)
                print("\n".join(lines(event, found[event])), flush=True)
        finally:
            program.stop()
    return found


def _one(bench: Bench, event: str, name: str) -> dict[str, Any]:
    try:
        return asyncio.run(EVENTS[event](bench, name))
    except (NotReady, RuntimeError, OSError) as error:
        print(f"  {event} {name}: {error}", file=sys.stderr)
        return {"missing": f"failed: {str(error).partition(chr(10))[0]}"}


def has_failed(found: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a proxy could not be measured."""
    return any(
        str(each.get("missing", "")).startswith("failed")
        for event in found.values()
        for each in event.values()
    )


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.events", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="few of everything: a first look")
    parser.add_argument("--event", action="append", choices=list(EVENTS), help="only this one (repeatable)")
    parser.add_argument("--proxy", action="append", choices=NAMES, help="only this one (repeatable)")
    parser.add_argument("--json", type=Path, default=Path("build/events.json"), help="where the figures go")
    arguments = parser.parse_args()
    raise_descriptor_limit()
    names = [name for name in NAMES if not arguments.proxy or name in arguments.proxy]
    events = [event for event in COLUMNS if not arguments.event or event in arguments.event]
    facts = environment(names, (None, cores()[1]))
    print_environment(facts)
    found = measure(names, events, is_quick=arguments.quick, load_core=cores()[1])
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps({"environment": facts, "events": found}, indent=1) + "\n")
    table = arguments.json.with_suffix(".md")
    table.write_text(markdown(found))
    print(f"\nwritten to {arguments.json} and {table}")
    return int(has_failed(found))


if __name__ == "__main__":
    raise SystemExit(main())
