"""Long work in small pieces: others have their turn, and results and errors come out as they are."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Generator

import pytest

from posthouse.server.slices import SLICE_SECONDS, SWITCH_SECONDS, at_once, in_slices, in_thread


def work(steps: int, seconds: float = 0.0) -> Generator[None, None, str]:
    for _ in range(steps):
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            pass
        yield
    return "done"


def broken() -> Generator[None, None, str]:
    yield
    raise ValueError("broken")


def test_all_at_once() -> None:
    assert at_once(work(0)) == at_once(work(5)) == "done"
    with pytest.raises(ValueError, match="broken"):
        at_once(broken())


def turns_during(steps: int, seconds: float) -> int:
    """How often something else had its turn meanwhile."""

    async def main() -> int:
        turns = 0

        def turn() -> None:
            nonlocal turns
            turns += 1
            loop.call_soon(turn)

        loop = asyncio.get_running_loop()
        loop.call_soon(turn)
        assert await in_slices(work(steps, seconds)) == "done"
        return turns

    return asyncio.run(main())


def test_others_have_their_turn_after_each_slice() -> None:
    assert turns_during(8, SLICE_SECONDS) >= 7


def test_work_of_less_than_a_slice_is_done_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posthouse.server.slices.SLICE_SECONDS", 1e6)
    assert turns_during(100, 0.0) == 0


def test_errors_come_out_of_slices() -> None:
    with pytest.raises(ValueError, match="broken"):
        asyncio.run(in_slices(broken()))


def test_a_thread_makes_room_more_often_while_it_works() -> None:
    before = sys.getswitchinterval()

    async def main() -> float:
        loop = asyncio.get_running_loop()
        with pytest.raises(ValueError, match="broken"):
            await in_thread(loop, lambda: at_once(broken()))
        return await in_thread(loop, sys.getswitchinterval)

    assert asyncio.run(main()) == pytest.approx(SWITCH_SECONDS)
    assert sys.getswitchinterval() == pytest.approx(before)
