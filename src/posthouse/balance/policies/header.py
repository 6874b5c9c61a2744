"""`policy header NAME`: requests with the same value of a field stay with one backend.

Absent or empty: round robin, of this pool alone. Cost as in `rendezvous`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from posthouse.balance.backend import Backend
from posthouse.balance.policies.round_robin import RoundRobin
from posthouse.balance.policy import Choice, Setting
from posthouse.balance.rendezvous import place_on

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110, 5.6.2."""


class Header:
    __slots__ = ("_find", "_name", "_turns", "tally")
    usage: ClassVar[str] = "header NAME"
    arguments: ClassVar[tuple[int, int]] = (1, 1)
    is_hash: ClassVar[bool] = True

    def __init__(self, args: tuple[str, ...], setting: Setting) -> None:
        if not _TOKEN.fullmatch(args[0]):
            raise ValueError(f"{args[0]!r} is not the name of a header field")
        self._name = args[0].lower().encode()
        placement = place_on(setting)
        self._find = placement.find
        self.tally = placement.tally
        self._turns = RoundRobin((), setting)

    def select(
        self, usable: Sequence[Backend], choice: Choice, tried: Sequence[Backend], now: float
    ) -> Backend:
        value = choice.field(self._name)
        if not value:
            return self._turns.select(usable, choice, tried, now)
        return self._find(value, usable, tried)
