"""`policy uri_hash`: a request target stays with its backend. Cost as in `rendezvous`.

The target is taken raw, as received, with its query, before any rewriting."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar

from posthouse.balance.backend import Backend
from posthouse.balance.policy import Choice
from posthouse.balance.rendezvous import place_on


class UriHash:
    __slots__ = ("_find",)
    usage: ClassVar[str] = "uri_hash"
    arguments: ClassVar[tuple[int, int]] = (0, 0)

    def __init__(self, args: tuple[str, ...], backends: Sequence[Backend], rng: random.Random) -> None:
        self._find = place_on(backends).find

    def select(self, usable: Sequence[Backend], choice: Choice, tried: Sequence[Backend]) -> Backend:
        return self._find(choice.target, usable, tried)
