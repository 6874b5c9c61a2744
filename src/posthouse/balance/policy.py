"""What a policy is, and what it may ask of an exchange."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar, Protocol

from posthouse.balance.backend import Backend


class Choice(Protocol):
    """What a policy may ask of the exchange it chooses for. Cheap, or computed when asked."""

    @property
    def peer(self) -> str:
        """The IP text of the peer, without a port."""

    @property
    def target(self) -> bytes:
        """The raw request target as received, with its query."""

    def field(self, name: bytes) -> bytes | None:
        """The value of the request field of that lower-case name (b"host" too), None if absent."""


class Policy(Protocol):
    """Who is next. One object per pool; it keeps no belief about who is usable.

    usage      how it is written after `policy`, for messages: "round_robin", "header NAME"
    arguments  how many arguments it takes, least and most
    """

    usage: ClassVar[str]
    arguments: ClassVar[tuple[int, int]]

    def __init__(self, args: tuple[str, ...], backends: Sequence[Backend], rng: random.Random) -> None:
        """`args` are as many as `arguments` allows. Raises ValueError with what is wrong with one of them.

        backends  all of the pool, in the order of the file, usable or not
        """

    def select(self, usable: Sequence[Backend], choice: Choice, tried: Sequence[Backend]) -> Backend:
        """One of `usable`, which is never empty, is in the order of the file and holds no member of `tried`.

        tried  those left out of `usable`, although `is_usable`, because this exchange tried them more often.
               Only a policy that looks beyond `usable` (a table over all backends) has to ask for it.
        """
