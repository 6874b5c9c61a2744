"""Slot: a place in the group, whoever fills it; and what is done for those who come to one that nobody fills."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from posthouse.server.backoff import Backoff
from posthouse.server.bindings import Bound
from posthouse.server.child import Child
from posthouse.server.control import Empty
from posthouse.server.heartbeat import Heartbeat

HAND_DOWN_SECONDS: Final = 0.03
"""Who comes to a slot that nobody fills waits so long at most, and half of it on average."""


@dataclass(slots=True)
class Slot:
    """A place in the group."""

    number: int
    child: Child | None = None
    backoff: Backoff = field(default_factory=Backoff)
    heartbeat: Heartbeat | None = None
    stillborn: int = 0


def hand_down(bound: Bound, heirs: Sequence[Child], orphans: Iterable[int]) -> None:
    """Have the heirs serve who waits now at the sockets of these slots."""
    for number in sorted(orphans) if heirs else ():
        for key, listening in bound.items():
            heirs[number % len(heirs)].send(Empty((key,)), [listening[number].fileno()])


@contextmanager
def tended(number: int, bound: Callable[[], Bound], heirs: Callable[[], Sequence[Child]]) -> Iterator[None]:
    """Meanwhile the heirs serve whoever comes to a slot: also for the half second that a new worker takes to start, in
    which the kernel goes on giving connections to it."""

    async def tend() -> None:
        while True:
            hand_down(bound(), heirs(), (number,))
            await asyncio.sleep(HAND_DOWN_SECONDS)

    tending = asyncio.get_running_loop().create_task(tend())
    try:
        yield
    finally:
        tending.cancel()
