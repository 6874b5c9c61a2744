"""`make faults`: argv → cells → table and JSON; 1 if Posthouse broke a promise."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.faults.cell import Length, run, why_skipped
from benchmarks.faults.faults import FAULTS
from benchmarks.faults.fronts import FRONTS
from benchmarks.faults.judge import Verdict, broken_promises
from benchmarks.faults.table import HEADINGS, cells, line, markdown
from benchmarks.load import raise_descriptor_limit
from benchmarks.processes import NotReady
from benchmarks.report import machine, print_machine

QUICK = Length(clients=16, before=0.5, during=2.5, after=0.5)
OURS = "posthouse"


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="make faults ARGS=…", description="Posthouse, nginx, HAProxy and Caddy before failing backends"
    )
    parser.add_argument("--quick", action="store_true", help="few clients, short faults: a first look")
    parser.add_argument("--fault", action="append", choices=list(FAULTS), help="only this fault (repeatable)")
    parser.add_argument("--proxy", action="append", choices=list(FRONTS), help="only this proxy (repeatable)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--json", type=Path, default=Path("build/faults.json"), help="where the figures go")
    return parser.parse_args()


class Matrix:
    """What was found so far: verdicts by fault and proxy, and what is wrong with Posthouse or the run."""

    def __init__(self, length: Length, seed: int) -> None:
        self.found: dict[str, dict[str, Verdict]] = {}
        self.skipped: dict[str, str] = {}
        self.problems: list[str] = []
        self._length = length
        self._seed = seed

    def measure(self, fault_name: str, proxy_name: str, folder: Path) -> None:
        """One cell, printed as soon as it is known."""
        fault = FAULTS[fault_name]
        folder.mkdir()
        try:
            verdict = asyncio.run(run(fault, FRONTS[proxy_name], self._length, folder, self._seed))
        except NotReady as error:
            self.problems.append(f"{fault_name}: {error}")
            return
        self.found.setdefault(fault_name, {})[proxy_name] = verdict
        print(line(cells(fault.title, proxy_name, verdict)), flush=True)
        if proxy_name == OURS:
            broken = broken_promises(verdict, fault.may_lose)
            self.problems += [f"{fault_name}: {text} {dict(verdict.statuses)}" for text in broken]

    def write(self, path: Path, facts: dict[str, object]) -> None:
        """JSON, and beside it the table for the page."""
        path.parent.mkdir(parents=True, exist_ok=True)
        verdicts = {
            fault: {proxy: asdict(verdict) for proxy, verdict in found.items()}
            for fault, found in self.found.items()
        }
        plain = {
            "environment": facts,
            "length": asdict(self._length),
            "seed": self._seed,
            "faults": verdicts,
            "skipped": self.skipped,
        }
        path.write_text(json.dumps(plain, indent=1) + "\n")
        titles = {name: fault.title for name, fault in FAULTS.items()}
        path.with_suffix(".md").write_text(markdown(self.found, titles))
        print(f"\nwritten to {path} and {path.with_suffix('.md')}")


def main() -> int:
    """Measure, print, write."""
    arguments = read_arguments()
    raise_descriptor_limit()
    proxies = [name for name in FRONTS if not arguments.proxy or name in arguments.proxy]
    faults = [name for name in FAULTS if not arguments.fault or name in arguments.fault]
    facts = machine({name: FRONTS[name].version() for name in proxies})
    print_machine(facts)
    matrix = Matrix(QUICK if arguments.quick else Length(), arguments.seed)
    print(f"seed {arguments.seed}\n\n{line(HEADINGS)}")
    with tempfile.TemporaryDirectory(prefix="posthouse-faults-") as folder:
        for fault in faults:
            reason = why_skipped(FAULTS[fault])
            if reason is not None:
                matrix.skipped[fault] = reason
                print(f"{FAULTS[fault].title}: skipped, {reason}")
                continue
            for proxy in proxies:
                matrix.measure(fault, proxy, Path(folder) / f"{fault}-{proxy}")
    matrix.write(arguments.json, facts)
    for problem in matrix.problems:
        print(f"FAILED {problem}", file=sys.stderr)
    return int(bool(matrix.problems))


if __name__ == "__main__":
    raise SystemExit(main())
