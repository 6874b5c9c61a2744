"""One row measured: all proxies started, then rounds that take them in turn (ABCABC).

In turn, so that a slow minute of the machine hits all of them.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.load import IdleCrowd, Load, run
from benchmarks.processes import Program, cpu_seconds, free_port, pss_bytes
from benchmarks.proxies import Proxy, Setup, backend
from benchmarks.rows import IDLE_CONNECTIONS, Row

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and where. Cores are None on a machine with a single one."""

    rounds: int
    seconds: float
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


@contextmanager
def running(row: Row, proxies: Sequence[Proxy], plan: Plan) -> Iterator[tuple[list[Running], Path]]:
    """The row's backend and every proxy in front of it; all of them end with the block."""
    shm = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="posthouse-bench-", dir=shm)))
        folder.chmod(0o755)
        upstream_port = free_port()
        argv = backend(upstream_port, folder)
        if row.is_upload:
            argv = [sys.executable, str(REPOSITORY / "benchmarks" / "sink.py"), str(upstream_port)]
        upstream = Program("backend", argv, folder, plan.load_core)
        stack.callback(upstream.stop)
        upstream.wait_ready(upstream_port)
        started = []
        for proxy in proxies:
            log = folder / f"{proxy.name}.access" if row.is_logged else None
            port = free_port()
            program = Program(
                proxy.name, proxy.prepare(Setup(port, upstream_port, folder, log)), folder, plan.proxy_core
            )
            stack.callback(program.stop)
            program.wait_ready(port)
            started.append(Running(proxy, program, port))
        yield started, folder


def measure(row: Row, proxies: Sequence[Proxy], plan: Plan, say: Callable[[str], None]) -> dict[str, object]:
    """Every proxy's rounds and their medians, as plain data."""
    if row.load is None:
        return _measure_idle(row, proxies, plan)
    rounds: dict[str, list[Round]] = {proxy.name: [] for proxy in proxies}
    with running(row, proxies, plan) as (started, folder):
        for each in started:
            run(row.load, each.port, 1.0, folder, plan.load_core)
        for number in range(plan.rounds):
            for each in started:
                done = _round(each, row.load, plan, folder)
                rounds[each.proxy.name].append(done)
                say(f"  {row.name} {number + 1}/{plan.rounds} {each.proxy.name}: {done.cpu_us:.1f} µs")
    return {
        name: {"median": _medians(done), "rounds": [asdict(one) for one in done]}
        for name, done in rounds.items()
    }


def _round(each: Running, load: Load, plan: Plan, folder: Path) -> Round:
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


def _medians(rounds: Sequence[Round]) -> dict[str, float]:
    names = Round.__dataclass_fields__
    result = {name: float(statistics.median(getattr(one, name) for one in rounds)) for name in names}
    result["failed"] = float(sum(one.failed for one in rounds))
    return result


def _measure_idle(row: Row, proxies: Sequence[Proxy], plan: Plan) -> dict[str, object]:
    """Memory before and after. Warmed up first, so that what the first requests allocate is not counted."""
    result: dict[str, object] = {}
    with running(row, proxies, plan) as (started, folder):
        for each in started:
            run(Load("/", 32), each.port, 1.0, folder, plan.load_core)
            pids = each.program.pids()
            before = pss_bytes(pids)
            crowd = IdleCrowd(each.port, IDLE_CONNECTIONS)
            after = pss_bytes(pids)
            kept = crowd.alive()
            crowd.close()
            idle = Idle(kept, (after - before) / IDLE_CONNECTIONS, after / 2**20)
            result[each.proxy.name] = {"median": asdict(idle), "rounds": [asdict(idle)]}
    return result
