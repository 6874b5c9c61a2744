"""Slices: long work as a generator of small steps, done at once or a few milliseconds at a time between other work."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Generator
from typing import Final, TypeVar

_T = TypeVar("_T")

SLICE_SECONDS: Final = 0.004
"""How long the work goes on before others have their turn. A request that comes meanwhile waits for no more than this
and one step."""


SWITCH_SECONDS: Final = 0.0002
"""How soon a busy thread makes room for the event loop. Python's default is 5 ms, and the loop asks for the interpreter
anew in each callback: with 64 clients that are served beside a thread which reads a configuration, a request would take
a second."""


def at_once(steps: Generator[None, None, _T]) -> _T:
    """Do all of it; what the generator returns. Raises what the work raises."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: _T = end.value
            return result


async def in_slices(steps: Generator[None, None, _T]) -> _T:
    """The same, SLICE_SECONDS at a time."""
    until = time.perf_counter() + SLICE_SECONDS
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: _T = end.value
            return result
        if time.perf_counter() >= until:
            await _turn()
            until = time.perf_counter() + SLICE_SECONDS


async def _turn() -> None:
    """Let everything run that is ready, and everything that has come in meanwhile."""
    await asyncio.sleep(0)


async def in_thread(loop: asyncio.AbstractEventLoop, work: Callable[[], _T]) -> _T:
    """Do work that can't be cut into steps in a thread, so that the loop is held up for SWITCH_SECONDS at a time.

    Raises what the work raises.
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(min(interval, SWITCH_SECONDS))
    try:
        return await loop.run_in_executor(None, work)
    finally:
        sys.setswitchinterval(interval)
