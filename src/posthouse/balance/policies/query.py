"""`policy query NAME`: requests with the same value of a query parameter stay with one backend.

The first parameter of that name counts. Absent or empty: round robin, of this pool alone. Cost as in
`rendezvous`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar
from urllib.parse import unquote_to_bytes

from posthouse.balance.backend import Backend
from posthouse.balance.policies.round_robin import RoundRobin
from posthouse.balance.policy import Choice, Setting
from posthouse.balance.rendezvous import place_on


class Query:
    __slots__ = ("_find", "_name", "_turns", "tally")
    usage: ClassVar[str] = "query NAME"
    arguments: ClassVar[tuple[int, int]] = (1, 1)
    is_hash: ClassVar[bool] = True

    def __init__(self, args: tuple[str, ...], setting: Setting) -> None:
        if not args[0]:
            raise ValueError("the name of the query parameter is empty")
        self._name = args[0].encode()
        placement = place_on(setting)
        self._find = placement.find
        self.tally = placement.tally
        self._turns = RoundRobin((), setting)

    def select(
        self, usable: Sequence[Backend], choice: Choice, tried: Sequence[Backend], now: float
    ) -> Backend:
        value = find_parameter(choice.target, self._name)
        if not value:
            return self._turns.select(usable, choice, tried, now)
        return self._find(value, usable, tried)


def find_parameter(target: bytes, name: bytes) -> bytes | None:
    """The decoded value of the first parameter of that (decoded) name in a request target's query.

    Decoded, so that `a%20b`, `a+b` and `a%20%62` are one value as they are for the application.
    """
    for pair in target.partition(b"?")[2].split(b"&"):
        key, _, value = pair.partition(b"=")
        if key == name or _decode(key) == name:
            return _decode(value)
    return None


def _decode(text: bytes) -> bytes:
    if b"+" in text:
        text = text.replace(b"+", b" ")
    return unquote_to_bytes(text) if b"%" in text else text
