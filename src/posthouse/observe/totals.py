"""Totals: the sum over a group of processes, some of which have died.

Laws:
1. A counter never falls, in whatever order snapshots and burials come (but for `keep`, which moves what removed sites
   had to one row: the total over all sites does not fall then either).
2. What a process counted is in the sum once: while it lives as its last snapshot, afterwards in the base.
3. Gauges are those of the living.
"""

from __future__ import annotations

from collections.abc import Collection

from posthouse.observe.snapshot import Snapshot, fold_removed, lasting, merge


class _Seat:
    """Who is in a slot now, and who was buried there last."""

    __slots__ = ("buried", "last")

    def __init__(self) -> None:
        self.buried = -1
        self.last: Snapshot | None = None


class Totals:
    """Snapshots by worker slot.

    Processes of one slot are told apart by `Snapshot.born`. So a snapshot that comes after its process was buried is
    known as too late, and a successor's, should it come before the burial, buries the one before.
    """

    def __init__(self) -> None:
        self._base = Snapshot()
        self._seats: dict[int, _Seat] = {}

    def __repr__(self) -> str:
        living = sum(seat.last is not None for seat in self._seats.values())
        return f"<Totals living={living}>"

    def update(self, slot: int, snapshot: Snapshot) -> None:
        """What the process of a slot has counted so far; one that was overtaken by a later one is dropped."""
        seat = self._seats.setdefault(slot, _Seat())
        last = seat.last
        if snapshot.born <= seat.buried:
            return
        if last is not None:
            if (snapshot.born, snapshot.number) < (last.born, last.number):
                return
            if snapshot.born > last.born:
                self._bury(seat, last)
        seat.last = snapshot

    def bury(self, slot: int) -> None:
        """The process of a slot is dead: what it had counted stays."""
        seat = self._seats.get(slot)
        if seat is not None and seat.last is not None:
            self._bury(seat, seat.last)

    def keep(self, sites: Collection[str]) -> None:
        """A configuration has only these sites: what the dead had counted for others goes to one row."""
        self._base = fold_removed(self._base, sites)

    def sum(self) -> Snapshot:
        """The whole group, the dead included."""
        living = [seat.last for seat in self._seats.values() if seat.last is not None]
        return merge([self._base, *living])

    def _bury(self, seat: _Seat, last: Snapshot) -> None:
        self._base = merge([self._base, lasting(last)])
        seat.buried, seat.last = last.born, None
