"""Slot: a place in the group, whoever fills it; and what is done for those who come to one that nobody fills."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from posthouse.server.backoff import Backoff
from posthouse.server.bindings import Bound
from posthouse.server.child import Child
from posthouse.server.control import Empty
from posthouse.server.heartbeat import Heartbeat


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
