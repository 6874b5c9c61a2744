"""`policy client_ip_hash`: a client's address stays with its backend. Cost as in `rendezvous`.

The address is the client's as seen through `trusted_proxies`; of a peer that is none of those it is its own, whatever
it claims."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from posthouse.balance.backend import Backend
from posthouse.balance.policy import Choice, Setting
from posthouse.balance.rendezvous import place_on


class ClientIpHash:
    __slots__ = ("_find", "tally")
    usage: ClassVar[str] = "client_ip_hash"
    arguments: ClassVar[tuple[int, int]] = (0, 0)
    is_hash: ClassVar[bool] = True

    def __init__(self, args: tuple[str, ...], setting: Setting) -> None:
        placement = place_on(setting)
        self._find = placement.find
        self.tally = placement.tally

    def select(
        self, usable: Sequence[Backend], choice: Choice, tried: Sequence[Backend], now: float
    ) -> Backend:
        return self._find(choice.client_ip.encode(), usable, tried)
