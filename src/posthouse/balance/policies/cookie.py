"""`policy cookie NAME`: requests with the same value of a cookie stay with one backend.

The first cookie of that name counts; names are case-sensitive (RFC 6265). Absent or empty: round robin, of
this pool alone. Cost as in `rendezvous`.
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
"""RFC 6265, 4.1.1: cookie-name = token."""


class Cookie:
    __slots__ = ("_find", "_name", "_turns", "tally")
    usage: ClassVar[str] = "cookie NAME"
    arguments: ClassVar[tuple[int, int]] = (1, 1)
    is_hash: ClassVar[bool] = True

    def __init__(self, args: tuple[str, ...], setting: Setting) -> None:
        if not _TOKEN.fullmatch(args[0]):
            raise ValueError(f"{args[0]!r} is not the name of a cookie")
        self._name = args[0].encode()
        placement = place_on(setting)
        self._find = placement.find
        self.tally = placement.tally
        self._turns = RoundRobin((), setting)

    def select(
        self, usable: Sequence[Backend], choice: Choice, tried: Sequence[Backend], now: float
    ) -> Backend:
        value = find_cookie(choice.field(b"cookie") or b"", self._name)
        if not value:
            return self._turns.select(usable, choice, tried, now)
        return self._find(value, usable, tried)


def find_cookie(header: bytes, name: bytes) -> bytes | None:
    """The value of the first cookie of that name in a Cookie field, without blanks around it."""
    for pair in header.split(b";"):
        key, equals, value = pair.partition(b"=")
        if equals and key.strip(b" \t") == name:
            return value.strip(b" \t")
    return None
