"""The events, measured for one proxy: each starts it anew, with two workers unless it says otherwise."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from benchmarks.events.clients import Crowd, Seen
from benchmarks.events.fronts import Front
from benchmarks.load import IdleCrowd, run
from benchmarks.processes import cpu_seconds, free_port, pss_bytes
from benchmarks.proxies.setup import Setup
from benchmarks.rows import SMALL

PATIENCE: Final = 30.0
CALM_SECONDS: Final = 1.0
"""Before an event and after it."""
Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bench:
    """reloads, kills: how many in a row; idle: connections; seconds: of a load. load_core as in `measure.Plan`"""

    setup: Setup
    reloads: int
    kills: int
    idle: int
    seconds: float
    load_core: int | None

    def start(self, name: str, workers: int = 2) -> Front:
        """On any core: what is measured is what clients see, and CPU time. Raises NotReady."""
        return Front.start(name, replace(self.setup, port=free_port(), workers=workers), None)


async def until(is_so: Callable[[], bool]) -> None:
    """RuntimeError if it takes too long."""
    end = time.perf_counter() + PATIENCE
    while not is_so():
        if time.perf_counter() > end:
            raise RuntimeError("it never became so")
        await asyncio.sleep(0.005)


def _seen(seen: Seen) -> Figures:
    return {
        "answers": seen.answers,
        "lost": seen.lost,
        "wrong": seen.wrong,
        "refused": seen.refused,
        "downloads": seen.downloads,
        "cut": seen.cut,
        "worst_ms": seen.worst * 1000,
    }


async def reload(bench: Bench, name: str) -> Figures:
    """Reloads in a row, each as soon as the one before is live."""
    front = bench.start(name)
    try:
        crowd = Crowd(front.setup.port)
        await asyncio.sleep(CALM_SECONDS)
        before = pss_bytes(front.pids())
        took = []
        for _ in range(bench.reloads):
            number = front.change()
            began = time.perf_counter()
            front.reload()
            took.append(await crowd.wait_new(number, PATIENCE) - began)
        await asyncio.sleep(CALM_SECONDS)
        seen = await crowd.leave()
        await asyncio.sleep(3 * CALM_SECONDS)  # what serves older generations goes
        grown = pss_bytes(front.pids()) - before
    finally:
        front.stop()
    live = {"live_ms": statistics.median(took) * 1000, "most_ms": max(took) * 1000}
    return {**_seen(seen), **live, "grown_mib": grown / 2**20}


async def kill(bench: Bench, name: str) -> Figures:
    """One of two workers is killed, and again when another has taken its place."""
    front = bench.start(name)
    try:
        if not front.ways.has_workers:
            return {"missing": "one process"}
        crowd = Crowd(front.setup.port, downloads=0)
        await asyncio.sleep(CALM_SECONDS)
        count = len(front.workers())
        for number in range(bench.kills):
            victim = front.workers()[number % count]
            os.kill(victim, signal.SIGKILL)
            await until(lambda v=victim: v not in front.workers() and len(front.workers()) >= count)  # type: ignore[misc]
            await asyncio.sleep(CALM_SECONDS)
        seen = await crowd.leave()
    finally:
        front.stop()
    return {**_seen(seen), "kills": bench.kills}


async def stop(bench: Bench, name: str) -> Figures:
    """A graceful stop; downloads that run are let to their end."""
    front = bench.start(name)
    try:
        crowd = Crowd(front.setup.port)
        await asyncio.sleep(CALM_SECONDS)
        began = time.perf_counter()
        os.kill(front.main, front.ways.stop)
        await until(lambda: front.is_gone)
        took = time.perf_counter() - began
        seen = await crowd.leave()
    finally:
        front.stop()
    return {**_seen(seen), "took_ms": took * 1000}


async def upgrade(bench: Bench, name: str) -> Figures:
    """Another process takes over the sockets, and the old one goes when it is done."""
    front = bench.start(name)
    try:
        if front.ways.upgrade is None:
            return {"missing": "as a reload"}
        crowd = Crowd(front.setup.port)
        await asyncio.sleep(CALM_SECONDS)
        began = time.perf_counter()
        number = front.change()
        front.begin_upgrade()
        await until(lambda: front.is_succeeded)
        front.end_upgrade()
        took = await crowd.wait_new(number, PATIENCE) - began
        await until(lambda: front.is_gone)
        await asyncio.sleep(CALM_SECONDS)
        seen = await crowd.leave()
    finally:
        front.stop()
    return {**_seen(seen), "live_ms": took * 1000}


async def start(bench: Bench, name: str) -> Figures:
    """Until the first answer: time, and CPU time of all processes."""
    figures: Figures = {}
    for workers in (1, 2):
        took, used = [], []
        for _ in range(3):
            began = time.perf_counter()
            front = bench.start(name, workers)
            try:
                took.append(time.perf_counter() - began)
                used.append(sum(cpu_seconds(front.pids())))
            finally:
                front.stop()
        figures[f"ready_{workers}_ms"] = min(took) * 1000
        figures[f"cpu_{workers}_ms"] = min(used) * 1000
    return figures


async def workers(bench: Bench, name: str) -> Figures:
    """The row `small` of the other table with one worker and with two, on all cores, which the load shares."""
    figures: Figures = {}
    for count in (1, 2):
        front = bench.start(name, count)
        try:
            run(SMALL, front.setup.port, 1.0, front.setup.folder, bench.load_core)
            pids = front.pids()
            before = sum(cpu_seconds(pids))
            answered = run(SMALL, front.setup.port, bench.seconds, front.setup.folder, bench.load_core)
            used = sum(cpu_seconds(pids)) - before
        finally:
            front.stop()
        figures[f"cpu_{count}_us"] = used / max(answered.requests, 1) * 1e6
        figures[f"per_second_{count}"] = answered.requests / answered.seconds
        figures[f"failed_{count}"] = answered.failed
    return figures


async def idle(bench: Bench, name: str) -> Figures:
    """What connections cost that have had an answer and say nothing; and what is left of it when they are gone."""
    front = bench.start(name)
    try:
        run(SMALL, front.setup.port, 1.0, front.setup.folder, bench.load_core)
        before = pss_bytes(front.pids())
        crowd = IdleCrowd(front.setup.port, bench.idle)
        grown = pss_bytes(front.pids()) - before
        kept = crowd.alive()
        crowd.close()
        await asyncio.sleep(3 * CALM_SECONDS)
        left = pss_bytes(front.pids()) - before
    finally:
        front.stop()
    return {
        "kept": kept,
        "kib_each": grown / bench.idle / 1024,
        "left_mib": left / 2**20,
        "total_mib": before / 2**20,
    }


EVENTS: Final = {one.__name__: one for one in (start, workers, idle, reload, kill, upgrade, stop)}
