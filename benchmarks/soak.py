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
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.load import raise_descriptor_limit
from benchmarks.processes import Program, free_port, open_files, pss_bytes
from benchmarks.soak_backend import serve
from benchmarks.soak_clients import PATIENCE, TRAFFIC, Unlucky, Wrong

CLIENTS = 40
RELOAD_EVERY = 10.0
SETTLE_SECONDS = 90.0
MAY_GROW_BYTES = 8 << 20
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
            print(f"  {tally.done.total()} done, {pss_bytes(pids) / 2**20:.1f} MiB, {open_files(pids)} files")


async def load(program: Program, port: int, seconds: float, seed: int, tally: Tally) -> None:
    """All clients for so long."""
    until = time.monotonic() + seconds
    clients = [client(port, random.Random(f"{seed}/{number}"), until, tally) for number in range(CLIENTS)]
    await asyncio.gather(watch(program, until, tally), *clients)


async def settle(program: Program, floor_files: int) -> tuple[int, int]:
    """Memory and descriptors as soon as the descriptors are back, or after the longest wait."""
    deadline = time.monotonic() + SETTLE_SECONDS
    # Another process cannot tell us that it has closed a descriptor: look twice a second.
    while time.monotonic() < deadline and open_files(program.pids()) > floor_files + MAY_HOLD_FILES:  # noqa: ASYNC110
        await asyncio.sleep(0.5)
    await asyncio.sleep(2.0)
    pids = program.pids()
    return pss_bytes(pids), open_files(pids)


async def soak(seconds: float, seed: int, folder: Path) -> list[str]:
    """Run it all; what is wrong, one line each."""
    (one, first), (two, second) = await serve(), await serve()
    port = free_port()
    conf = folder / "Caddyfile"
    log = folder / "access.log"
    conf.write_text(CADDYFILE.format(port=port, log=log, first=first, second=second, dead=free_port()))
    program = Program(
        "posthouse", [sys.executable, "-m", "posthouse", "run", "--config", str(conf)], folder, None
    )
    tally = Tally()
    try:
        await asyncio.to_thread(program.wait_ready, port)
        fresh = open_files(program.pids())
        await load(program, port, max(5.0, min(60.0, seconds / 5)), seed, tally)
        floor, _ = await settle(program, fresh)
        print(f"floor: {floor / 2**20:.1f} MiB, {fresh} files when fresh; {tally.done.total()} done")
        await load(program, port, seconds, seed + 1, tally)
        memory, files = await settle(program, fresh)
        status = await asyncio.to_thread(program.stop)
    finally:
        program.stop()
        one.close()
        two.close()
    print(f"after: {memory / 2**20:.1f} MiB, {files} files; {dict(tally.done)}")
    problems = tally.wrong
    if files > fresh + MAY_HOLD_FILES:
        problems.append(f"{files} descriptors are open, {fresh} were at the start")
    if tally.done["unlucky"] > MAY_BE_UNLUCKY * tally.done["upload"]:
        problems.append(f"{tally.done['unlucky']} uploads met a dying connection, of {tally.done['upload']}")
    if memory > floor + MAY_GROW_BYTES:
        problems.append(f"memory grew from {floor / 2**20:.1f} to {memory / 2**20:.1f} MiB")
    if status != 0:
        problems.append(f"exit status {status} after TERM\n{program.tail()}")
    if "Traceback" in program.output.read_text(errors="replace"):
        problems.append(f"a traceback in the process log\n{program.tail()}")
    return problems


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
