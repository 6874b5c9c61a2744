"""One cell of the matrix: a proxy, its backends, a crowd, and a fault in the middle of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.backend import HEALTH
from benchmarks.faults.clients import Crowd
from benchmarks.faults.faults import NAME, Fault
from benchmarks.faults.fronts import Front, Pace, Proxy, can_hide_names, with_hosts
from benchmarks.faults.judge import Outcome, Verdict, judge, read_executions
from benchmarks.faults.stage import Stage, lasting_port
from benchmarks.processes import Program

NO_NAMES = "needs root, to give the proxy an /etc/hosts of its own"


@dataclass(frozen=True, slots=True)
class Length:
    """How many clients, and how many seconds before, during and after the fault."""

    clients: int = 64
    before: float = 1.0
    during: float = 6.0
    after: float = 3.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A fault's time on the clock of the outcomes, and every request."""

    began: float
    ended: float
    outcomes: Sequence[Outcome]


def why_skipped(fault: Fault) -> str | None:
    """Why this machine can't have that fault; None if it can."""
    return NO_NAMES if fault.needs_name and not can_hide_names() else None


async def disturb(port: int, stage: Stage, fault: Fault, length: Length, seed: int) -> Seen:
    """Let the fault happen while the crowd asks the proxy on the port."""
    crowd = Crowd(port, length.clients, seed, f"{fault.name}-")
    try:
        await asyncio.sleep(length.before)
        began = time.monotonic()
        await fault.happen(stage, length.during * fault.times)
        ended = time.monotonic()
        await asyncio.sleep(length.after)
    finally:
        await crowd.stop()
    return Seen(began, ended, crowd.outcomes)


async def run(fault: Fault, proxy: Proxy, length: Length, folder: Path, seed: int) -> Verdict:
    """Start everything, disturb it, stop everything. NotReady if the proxy does not start."""
    stage = Stage(folder, fault.backends, NAME if fault.needs_name else None)
    try:
        await stage.start()
        addresses = [backend.address for backend in stage.backends]
        front = Front(lasting_port(), addresses, folder, Pace())
        argv = proxy.prepare(front)
        if fault.needs_name:
            argv = with_hosts(argv, stage.hosts, folder)
        program = Program(proxy.name, argv, folder, None)
        try:
            await asyncio.to_thread(program.wait_answer, front.port, HEALTH)
            seen = await disturb(front.port, stage, fault, length, seed)
        finally:
            await asyncio.to_thread(program.stop)
    finally:
        await stage.stop()
    return judge(seen.outcomes, read_executions(stage.executed()), seen.began, seen.ended)
