"""Slot: a place in the group, whoever fills it; and what is done for those who come to one that nobody fills."""

from __future__ import annotations

import asyncio
import select
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


def where_somebody_waits(bound: Bound, number: int) -> Bound:
    """The addresses at whose socket of this slot there is a connection to accept."""
    looking = select.poll()
    for listening in bound.values():
        looking.register(listening[number], select.POLLIN)
    ready = {descriptor for descriptor, _ in looking.poll(0)}
    return {key: listening for key, listening in bound.items() if listening[number].fileno() in ready}


@contextmanager
def tended(number: int, bound: Callable[[], Bound], heirs: Callable[[], Sequence[Child]]) -> Iterator[None]:
    """Meanwhile the heirs serve whoever comes to a slot: also for the half second that a new worker takes to start, in
    which the kernel goes on giving connections to it.

    They take turns, for one of them may hang; and one that has not read what it was told already is told nothing more:
    each message holds a descriptor of ours until it is read.
    """

    async def tend() -> None:
        turn = number
        while True:
            waited = where_somebody_waits(bound(), number)
            able = [heir for heir in heirs() if heir.is_reading] if waited else []
            if able:
                turn += 1
                hand_down(waited, [able[turn % len(able)]], (number,))
            await asyncio.sleep(HAND_DOWN_SECONDS)

    tending = asyncio.get_running_loop().create_task(tend())
    try:
        yield
    finally:
        tending.cancel()
