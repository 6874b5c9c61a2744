"""One row measured: all proxies started, then rounds that take them in turn (ABCABC).

In turn, so that a slow minute of the machine hits all of them.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.load import Chat, IdleCrowd, Load, run
from benchmarks.processes import NotReady, Program, cpu_seconds, free_port, module, pss_bytes
from benchmarks.proxies.nginx import backend, write_files
from benchmarks.proxies.setup import LOG, RULES, STATIC, TLS, Proxy, Setup
from benchmarks.rows import IDLE_CONNECTIONS, SMALL, Row

LACKS, DID_NOT_START = "lacks it", "did not start"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and where. Cores are None on a machine with a single one."""

    rounds: int
    seconds: float
    warm_up: float
    proxy_core: int | None
    load_core: int | None


@dataclass(frozen=True, slots=True)
class Round:
    """One proxy under one load once."""

    requests: int
    failed: int
    cpu_us: float
    user_us: float
    system_us: float
    per_second: float
    p50_ms: float
    p99_ms: float
    memory_mib: float
    busy: float


@dataclass(frozen=True, slots=True)
class Idle:
    """What idle connections cost one proxy."""

    kept: int
    bytes_per_connection: float
    memory_mib: float


@dataclass(slots=True)
class Running:
    """A proxy in front of the row's backend."""

    proxy: Proxy
    program: Program
    port: int


def setup_for(row: Row, folder: Path, backend_port: int, name: str) -> Setup:
    """What the row asks of one proxy, on a free port."""
    return Setup(
        port=free_port(),
        backend_port=backend_port,
        folder=folder,
        access_log=folder / f"{name}.access" if row.asks == LOG else None,
        has_rules=row.asks == RULES,
        root=folder / "www" if row.asks == STATIC else None,
        is_upgraded=isinstance(row.load, Chat),
        is_tls=row.asks == TLS,
    )


def _backend(row: Row, setup: Setup) -> list[str]:
    load = row.load
    if isinstance(load, Chat):
        return module("echo", setup.backend_port, load.size)
    if load is not None and load.body_size:
        return module("sink", setup.backend_port)
    return backend(setup)


@contextmanager
def running(row: Row, proxies: Sequence[Proxy], plan: Plan, say: Say) -> Iterator[tuple[list[Running], Path]]:
    """The row's backend and every proxy in front of it that can do the row; all of them end with the block.

    A proxy that does not come up is told to `say` and left out: the others are still worth measuring.
    """
    shm = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="posthouse-bench-", dir=shm)))
        folder.chmod(0o755)
        upstream = setup_for(row, folder, free_port(), "backend")
        if upstream.root is not None:
            upstream.root.mkdir()
            write_files(upstream.root)
        program = Program("backend", _backend(row, upstream), folder, plan.load_core)
        stack.callback(program.stop)
        program.wait_ready(upstream.backend_port)
        started = []
        for proxy in proxies:
            if row.asks in proxy.lacks:
                continue
            setup = setup_for(row, folder, upstream.backend_port, proxy.name)
            program = Program(proxy.name, proxy.prepare(setup), folder, plan.proxy_core)
            stack.callback(program.stop)
            try:
                program.wait_answer(setup.port, row.load.path if row.load is not None else "/")
            except NotReady as error:
                say(f"  {row.name}: {error}")
                continue
            started.append(Running(proxy, program, setup.port))
        yield started, folder


def measure(row: Row, proxies: Sequence[Proxy], plan: Plan, say: Say) -> dict[str, Any]:
    """Every proxy's rounds and their medians, as plain data; `missing` and a word for those that have none."""
    found: dict[str, Any] = {
        proxy.name: {"missing": LACKS if row.asks in proxy.lacks else DID_NOT_START} for proxy in proxies
    }
    with running(row, proxies, plan, say) as (started, folder):
        if row.load is None:
            found.update((each.proxy.name, _measure_idle(each, plan, folder)) for each in started)
        else:
            found.update(_measure_busy(row, row.load, started, plan, folder, say))
    return found


def _measure_busy(
    row: Row, load: Load | Chat, started: Sequence[Running], plan: Plan, folder: Path, say: Say
) -> dict[str, Any]:
    rounds: dict[str, list[Round]] = {each.proxy.name: [] for each in started}
    if plan.warm_up:
        for each in started:
            run(load, each.port, plan.warm_up, folder, plan.load_core)
    for number in range(plan.rounds):
        for each in started:
            done = _round(each, load, plan, folder)
            rounds[each.proxy.name].append(done)
            say(f"  {row.name} {number + 1}/{plan.rounds} {each.proxy.name}: {done.cpu_us:.1f} µs")
    return {
        name: {"median": medians(done), "rounds": [asdict(one) for one in done]}
        for name, done in rounds.items()
    }


def _round(each: Running, load: Load | Chat, plan: Plan, folder: Path) -> Round:
    pids = each.program.pids()
    before = cpu_seconds(pids)
    answered = run(load, each.port, plan.seconds, folder, plan.load_core)
    user, system = (after - was for after, was in zip(cpu_seconds(pids), before, strict=True))
    share = 1e6 / max(answered.requests, 1)
    return Round(
        requests=answered.requests,
        failed=answered.failed,
        cpu_us=(user + system) * share,
        user_us=user * share,
        system_us=system * share,
        per_second=answered.requests / answered.seconds,
        p50_ms=answered.p50_us / 1000,
        p99_ms=answered.p99_us / 1000,
        memory_mib=pss_bytes(each.program.pids()) / 2**20,
        busy=(user + system) / answered.seconds,
    )


def medians(rounds: Sequence[Round]) -> dict[str, float]:
    """The median of each figure; of failures the sum, so that none is hidden."""
    names = Round.__dataclass_fields__
    result = {name: float(statistics.median(getattr(one, name) for one in rounds)) for name in names}
    result["failed"] = float(sum(one.failed for one in rounds))
    return result


def _measure_idle(each: Running, plan: Plan, folder: Path) -> dict[str, Any]:
    """Memory before and after. Warmed up first, so that what the first requests allocate is not counted."""
    run(SMALL, each.port, 1.0, folder, plan.load_core)
    pids = each.program.pids()
    before = pss_bytes(pids)
    crowd = IdleCrowd(each.port, IDLE_CONNECTIONS)
    after = pss_bytes(pids)
    kept = crowd.alive()
    crowd.close()
    idle = Idle(kept, (after - before) / IDLE_CONNECTIONS, after / 2**20)
    return {"median": asdict(idle), "rounds": [asdict(idle)]}
