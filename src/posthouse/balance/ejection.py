"""Ejection: who is left out because of failures, where only a share of the pool may be (`max_ejected`).

Laws:
1. Of the backends that health checks let through, at most the share is left out, rounded down.
2. Who had to go first stays out first; when it comes back, the next that should go does.
3. One that health checks have taken out counts neither way: it is out already, whatever its failures are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Protocol


class Member(Protocol):
    """A backend, as far as this is concerned."""

    @property
    def is_up(self) -> bool:
        """Whether health checks let it through."""

    @property
    def has_failed(self) -> bool:
        """Whether its failures say that it should be left out."""

    def bar(self, is_barred: bool, /) -> None:
        """Leave it out, or take it back."""


def room(members: int, percent: float) -> int:
    """How many of so many may be left out."""
    return int(members * percent / 100)


class Ejections:
    """The members of one pool, and which of them are left out. A change costs O(n), nothing else costs anything."""

    __slots__ = ("_percent", "_waiting", "members")

    def __init__(self, members: Sequence[Member], percent: float) -> None:
        self.members = dict.fromkeys(members)
        self._percent = percent
        self._waiting: dict[Member, None] = {}
        """Those that should go, in the order in which they had to."""

    def __repr__(self) -> str:
        return f"<Ejections {len(self._waiting)} of {len(self.members)} want out, {self._percent:g}% may>"

    def review(self) -> None:
        """Somebody's health or failures have changed."""
        for member in self.members:
            if member.is_up and member.has_failed:
                self._waiting.setdefault(member)
            else:
                self._waiting.pop(member, None)
        ups = sum(member.is_up for member in self.members)
        out = set(islice(self._waiting, room(ups, self._percent)))
        for member in self.members:
            member.bar(member in out)
