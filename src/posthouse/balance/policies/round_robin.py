"""`policy round_robin`: one after the other, in the order of the file; who cannot be used is passed over.

O(1) while everything is usable, O(log n) otherwise. Where shares differ, by `turns`; where several workers take turns
together, by `rounds`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import ClassVar

from posthouse.balance.backend import Backend
from posthouse.balance.policy import Choice, Setting
from posthouse.balance.rounds import Rounds, can_go_round
from posthouse.balance.turns import Turns


class RoundRobin:
    """Remembers the place of the last one chosen, not a count: a count taken modulo a number that changes
    whenever a backend fills up or comes back would favour some of them."""

    __slots__ = ("_count", "_last", "_places", "_turns")
    usage: ClassVar[str] = "round_robin"
    arguments: ClassVar[tuple[int, int]] = (0, 0)

    def __init__(self, args: tuple[str, ...], setting: Setting) -> None:
        backends = setting.backends
        self._count = len(backends)
        # Not with the first: workers that all began there would make a wave of it.
        self._last = int(setting.begin * len(backends)) - 1
        self._places = {backend: place for place, backend in enumerate(backends)}
        self._turns = Turns(setting).next if setting.is_weighted else None
        if setting.take_number is not None and can_go_round(setting):
            self._turns = Rounds(setting, setting.take_number).next

    def select(
        self, usable: Sequence[Backend], choice: Choice, tried: Sequence[Backend], now: float
    ) -> Backend:
        if self._turns is not None:
            return self._turns(usable, tried)
        place = self._last + 1
        if len(usable) == self._count:
            if place == self._count:
                place = 0
            self._last = place
            return usable[place]
        index = bisect_right(usable, self._last, key=self._places.__getitem__)
        backend = usable[index if index < len(usable) else 0]
        self._last = self._places[backend]
        return backend
