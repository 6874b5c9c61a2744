"""`policy header NAME`: requests with the same value of a field stay with one backend.

Absent or empty: round robin, of this pool alone. Cost as in `rendezvous`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import ClassVar

from posthouse.balance.backend import Backend
from posthouse.balance.policies.round_robin import RoundRobin
from posthouse.balance.policy import Choice
from posthouse.balance.rendezvous import place_on

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110, 5.6.2."""


class Header:
    __slots__ = ("_find", "_name", "_turns")
    usage: ClassVar[str] = "header NAME"
    arguments: ClassVar[tuple[int, int]] = (1, 1)

    def __init__(self, args: tuple[str, ...], backends: Sequence[Backend], rng: random.Random) -> None:
        if not _TOKEN.fullmatch(args[0]):
            raise ValueError(f"{args[0]!r} is not the name of a header field")
        self._name = args[0].lower().encode()
        self._find = place_on(backends).find
        self._turns = RoundRobin((), backends, rng)

    def select(self, usable: Sequence[Backend], choice: Choice, tried: Sequence[Backend]) -> Backend:
        value = choice.field(self._name)
        if not value:
            return self._turns.select(usable, choice, tried)
        return self._find(value, usable, tried)
