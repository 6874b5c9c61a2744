"""The faults, by name: what happens to the first backend, or to all, for so many seconds."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks.faults.backend import Mode
from benchmarks.faults.stage import Stage

NAME = "backends.faults.test"
FLAP_SECONDS = 1.0
DOWN_SECONDS = 0.5
"""How long a backend that is restarted is away."""

Happening = Callable[[Stage, float], Awaitable[None]]
"""Takes that many seconds; afterwards all backends are well."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A row of the matrix.

    backends      how many there are
    may_lose      GETs may be lost: no other backend lives, or the application itself said 500
    needs_name    backends have a name, which proxies look up in a file that the fault can change
    times         how many times as long as others it lasts
    """

    name: str
    title: str
    happen: Happening
    backends: int = 3
    may_lose: bool = False
    needs_name: bool = False
    times: float = 1.0


async def _killed(stage: Stage, seconds: float) -> None:
    await stage.backends[0].end(signal.SIGKILL)
    await asyncio.sleep(seconds)
    await stage.backends[0].start()


async def _stopped(stage: Stage, seconds: float) -> None:
    stage.backends[0].send(signal.SIGSTOP)
    await asyncio.sleep(seconds)
    stage.backends[0].send(signal.SIGCONT)


async def _restarted(stage: Stage, seconds: float) -> None:
    """One after the other, as a careful deployment does it; each finishes what it has begun."""
    for backend in stage.backends:
        await backend.end(signal.SIGTERM)
        await asyncio.sleep(DOWN_SECONDS)
        await backend.start()
        await asyncio.sleep(max(0.0, seconds / len(stage.backends) - DOWN_SECONDS))


def _ordered(mode: Mode) -> Happening:
    async def happen(stage: Stage, seconds: float) -> None:
        await stage.backends[0].order(mode)
        await asyncio.sleep(seconds)
        await stage.backends[0].order(Mode.WELL)

    return happen


async def _flapping(stage: Stage, seconds: float) -> None:
    left = seconds
    while left > 0:
        await stage.backends[0].order(Mode.REFUSING)
        await asyncio.sleep(min(FLAP_SECONDS, left / 2))
        await stage.backends[0].order(Mode.WELL)
        await asyncio.sleep(min(FLAP_SECONDS, left / 2))
        left -= 2 * FLAP_SECONDS


async def _no_name(stage: Stage, seconds: float) -> None:
    """The name is gone, and so are kept connections: who wants a new one has to look up."""
    # In place: the file is mounted, so its inode must stay.
    before = stage.hosts.read_text()
    stage.hosts.write_text("127.0.0.1 localhost\n")
    steps = max(1, round(seconds / FLAP_SECONDS))
    for _ in range(steps):
        for backend in stage.backends:
            await backend.order("drop-idle")
        await asyncio.sleep(seconds / steps)
    stage.hosts.write_text(before)


async def _all_killed(stage: Stage, seconds: float) -> None:
    await asyncio.gather(*(one.end(signal.SIGKILL) for one in stage.backends))
    await asyncio.sleep(seconds)
    await asyncio.gather(*(one.start() for one in stage.backends))


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("killed", "killed (-9)", _killed),
        Fault("one-of-many", "one of ten killed", _killed, backends=10),
        Fault("stopped", "stopped, then goes on", _stopped),
        Fault("restarted", "restarted, one after the other", _restarted),
        Fault("refusing", "refuses connections", _ordered(Mode.REFUSING)),
        Fault("mid-head", "resets within the head", _ordered(Mode.RESETTING_HEAD)),
        Fault("mid-body", "resets within the body", _ordered(Mode.RESETTING_BODY)),
        Fault("silent", "accepts, never answers", _ordered(Mode.SILENT)),
        Fault("slow", "answers after 1.5 s", _ordered(Mode.SLOW)),
        Fault("flapping", "up and down every second", _flapping),
        Fault("errors", "answers 500", _ordered(Mode.ERRORS), may_lose=True),
        # Go, and so Caddy, reads /etc/hosts again after five seconds at the earliest.
        Fault("no-name", "their name resolves no more", _no_name, needs_name=True, times=2.0),
        Fault("all-down", "all killed", _all_killed, may_lose=True),
    )
}
