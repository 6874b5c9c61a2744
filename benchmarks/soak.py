"""`make soak`: mixed traffic for a long time, with reloads; afterwards everything must have come back.

Two loads with a pause after each. What the process holds in the first pause is the floor, because caches,
pools and the allocator have filled by then; after the second, much longer load it must not hold more.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.load import raise_descriptor_limit
from benchmarks.processes import Program, free_port, open_files, own_bytes
from benchmarks.soak_backend import Backend
from benchmarks.soak_clients import PATIENCE, TRAFFIC, Unlucky, Wrong
from posthouse.net.reactor import SPARE_SECONDS

CLIENTS = 40
RELOAD_EVERY = 10.0
SETTLE_SECONDS = 90.0
WARM_SECONDS = 60.0
"""Of traffic before the floor: every kind has come a hundred times, so pools, buffers and nearly all memos are full."""
MAY_GROW_BYTES = 4 << 20
"""What may come after that: lengths of bodies repeat seldom, so the memos of lines and heads fill slowly, up to 1.5 MiB
(4096 lines of some 400 bytes); and free blocks of the heap, which go up and down by 1 MiB."""
MAY_BE_UNLUCKY = 0.01
MAY_HOLD_FILES = 4
"""Descriptors above those of a fresh start: a log that is being reopened, a wake-up pipe."""

CADDYFILE = """http://:{port} {{
    bind 127.0.0.1
    log / {log} "{{combined}}"
    proxy / 127.0.0.1:{first} 127.0.0.1:{second} 127.0.0.1:{dead} {{
        policy random
        fail_timeout 2s
        try_duration 5s
        try_interval 50ms
        keepalive 16
    }}
    proxy /broken 127.0.0.1:{first}
}}
"""


@dataclass(slots=True)
class Tally:
    """What the clients did and what went wrong."""

    done: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def fail(self, text: str) -> None:
        """Remember a wrong answer; the first hundred are enough."""
        if len(self.wrong) < 100:
            self.wrong.append(text)
            print(f"WRONG {text}", file=sys.stderr)


async def client(port: int, rng: random.Random, until: float, tally: Tally) -> None:
    """One kind of traffic after the other until the time is over."""
    kinds, weights = list(TRAFFIC), list(TRAFFIC.values())
    while time.monotonic() < until:
        kind = rng.choices(kinds, weights)[0]
        name = kind.__name__
        try:
            await asyncio.wait_for(kind(port, rng), PATIENCE)
            tally.done[name] += 1
        except Unlucky:
            tally.done["unlucky"] += 1
        except Wrong as error:
            tally.fail(f"{name}: {error}")
        except TimeoutError:
            tally.fail(f"{name}: no answer within {PATIENCE:.0f} s")
        except (OSError, asyncio.IncompleteReadError) as error:
            tally.fail(f"{name}: {type(error).__name__}: {error}")


async def watch(program: Program, until: float, tally: Tally) -> None:
    """Reload now and then; say how things stand twice a minute."""
    said = time.monotonic()
    while time.monotonic() < until:
        await asyncio.sleep(min(RELOAD_EVERY, max(until - time.monotonic(), 0.1)))
        os.kill(program.pid, signal.SIGUSR1)
        if time.monotonic() - said >= 30:
            said = time.monotonic()
            pids = program.pids()
            print(f"  {tally.done.total()} done, {own_bytes(pids) / 2**20:.1f} MiB, {open_files(pids)} files")


async def load(program: Program, port: int, seconds: float, seed: int, tally: Tally) -> None:
    """All clients for so long."""
    until = time.monotonic() + seconds
    clients = [client(port, random.Random(f"{seed}/{number}"), until, tally) for number in range(CLIENTS)]
    await asyncio.gather(watch(program, until, tally), *clients)


@dataclass(frozen=True, slots=True)
class Held:
    """What is held while nobody asks for anything."""

    memory: int
    files: int
    connections: int
    """Of the backends with the proxy."""


async def settle(program: Program, backends: Sequence[Backend], fresh_files: int) -> Held:
    """What is held when all connections are gone, or after the longest wait, and spare buffers were given back."""
    deadline = time.monotonic() + SETTLE_SECONDS

    def is_settled() -> bool:
        files = open_files(program.pids())
        return files <= fresh_files + MAY_HOLD_FILES and not any(one.connections for one in backends)

    # Another process cannot tell us that it has closed a descriptor: look twice a second.
    while time.monotonic() < deadline and not is_settled():  # noqa: ASYNC110
        await asyncio.sleep(0.5)
    await asyncio.sleep(SPARE_SECONDS + 2.0)
    pids = program.pids()
    return Held(own_bytes(pids), open_files(pids), sum(one.connections for one in backends))


async def soak(seconds: float, seed: int, folder: Path) -> list[str]:
    """Run it all; what is wrong, one line each."""
    backends = [Backend(), Backend()]
    for backend in backends:
        await backend.start()
    first, second = (backend.port for backend in backends)
    port = free_port()
    dead = socket.socket()  # bound and never listening: refused, and nobody else can get the port meanwhile
    dead.bind(("127.0.0.1", 0))
    conf = folder / "Caddyfile"
    log = folder / "access.log"
    conf.write_text(
        CADDYFILE.format(port=port, log=log, first=first, second=second, dead=dead.getsockname()[1])
    )
    program = Program(
        "posthouse", [sys.executable, "-m", "posthouse", "run", "--config", str(conf)], folder, None
    )
    tally = Tally()
    try:
        await asyncio.to_thread(program.wait_ready, port)
        fresh = open_files(program.pids())
        await load(program, port, max(5.0, min(WARM_SECONDS, seconds / 5)), seed, tally)
        floor = await settle(program, backends, fresh)
        print(f"floor: {floor.memory / 2**20:.1f} MiB, {fresh} files when fresh; {tally.done.total()} done")
        await load(program, port, seconds, seed + 1, tally)
        after = await settle(program, backends, fresh)
        status = await asyncio.to_thread(program.stop)
    finally:
        program.stop()
        dead.close()
        for backend in backends:
            backend.close()
    print(f"after: {after.memory / 2**20:.1f} MiB, {after.files} files; {dict(tally.done)}")
    return [
        *tally.wrong,
        *not_driven(tally),
        *not_back(fresh, floor, after),
        *not_ended_well(program, status),
    ]


def not_driven(tally: Tally) -> Iterator[str]:
    """Traffic that did not come to pass: a soak without it shows nothing."""
    for kind in TRAFFIC:
        if not tally.done[kind.__name__]:
            yield f"no {kind.__name__} went through"
    if tally.done["unlucky"] > MAY_BE_UNLUCKY * tally.done["upload"]:
        yield f"{tally.done['unlucky']} uploads met a dying connection, of {tally.done['upload']}"


def not_back(fresh_files: int, floor: Held, after: Held) -> Iterator[str]:
    """What is still held that was taken for the traffic."""
    if after.connections:
        yield f"{after.connections} connections to backends are still open"
    if after.files > fresh_files + MAY_HOLD_FILES:
        yield f"{after.files} descriptors are open, {fresh_files} were at the start"
    if after.memory > floor.memory + MAY_GROW_BYTES:
        yield f"memory grew from {floor.memory / 2**20:.1f} to {after.memory / 2**20:.1f} MiB"


def not_ended_well(program: Program, status: int) -> Iterator[str]:
    """What the process itself says: of exchanges that never ended, of bugs, of reloads that did not happen."""
    said = program.output.read_text(errors="replace")
    if status != 0:
        yield f"exit status {status} after TERM\n{program.tail()}"
    if " in_flight=0 " not in said or "stopped cut=0" not in said:
        yield f"exchanges were still running at the end\n{program.tail()}"
    if " INFO reloaded " not in said:
        yield "no reload went through"
    if "Traceback" in said or "internal error" in said:
        yield f"a bug in the process log\n{program.tail()}"


def main() -> int:
    """argv → soak → 0, or 1 with what is wrong."""
    parser = argparse.ArgumentParser(
        prog="make soak", description="mixed traffic, then everything must come back"
    )
    parser.add_argument("--seconds", type=float, default=1200.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}, {arguments.seconds:.0f} s")
    raise_descriptor_limit()
    with tempfile.TemporaryDirectory(prefix="posthouse-soak-") as folder:
        problems = asyncio.run(soak(arguments.seconds, arguments.seed, Path(folder)))
    for problem in problems:
        print(f"FAILED {problem}")
    print("soak passed" if not problems else f"soak failed: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
