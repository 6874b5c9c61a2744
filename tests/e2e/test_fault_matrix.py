"""The quick form of the fault matrix (`make faults`): real backends that fail under mixed load.

What must be zero is asserted, how long anything takes is not. All faults have one Posthouse and one
set of backends, which also shows that each fault passes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from benchmarks.faults.cell import Length, Seen, disturb
from benchmarks.faults.faults import FAULTS
from benchmarks.faults.fronts import Front, Pace, posthouse_caddyfile
from benchmarks.faults.judge import Ending, broken_promises, judge, read_executions
from benchmarks.faults.stage import Stage as Backends

from kit import Posthouse
from kit.posthouse import free_port

QUICK = Length(clients=16, before=0.1, during=0.4, after=0.1)
PACE = Pace(connect=200, response=200, rest=200, check=200)
NAMES = ["killed", "stopped", "mid-head", "mid-body", "silent"]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Seen], Backends]]:
    """What clients saw of each fault, and the backends with their record."""
    folder = tmp_path_factory.mktemp("faults")
    backends = Backends(folder, 3)

    async def run() -> dict[str, Seen]:
        try:
            await backends.start()
            front = Front(free_port(), [one.address for one in backends.backends], folder, PACE)
            with Posthouse(posthouse_caddyfile(front)):
                return {
                    name: await disturb(front.port, backends, FAULTS[name], QUICK, seed)
                    for seed, name in enumerate(NAMES)
                }
        finally:
            await backends.stop()

    yield asyncio.run(run()), backends


@pytest.mark.parametrize("name", NAMES)
def test_promises(seen: tuple[dict[str, Seen], Backends], name: str) -> None:
    """No idempotent request is lost, no POST is executed twice, no part of an answer looks like a whole one."""
    found, backends = seen
    one = found[name]
    verdict = judge(one.outcomes, read_executions(backends.executed()), one.began, one.ended)
    assert broken_promises(verdict, may_lose=False) == [], verdict


def test_the_faults_were_met(seen: tuple[dict[str, Seen], Backends]) -> None:
    """A quiet matrix shows nothing: clients noticed something, and each backend's record has all that was answered."""
    found, backends = seen
    executions = read_executions(backends.executed())
    for name, one in found.items():
        good = [each for each in one.outcomes if each.ending is Ending.GOOD]
        assert len(good) > QUICK.clients, name
        assert all(executions[each.kind.method, each.identity] for each in good), name
    assert any(each.ending is Ending.CUT for each in found["mid-body"].outcomes)
