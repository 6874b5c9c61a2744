"""Bounded load: how much a backend may hold at most, so that a key which everybody asks for can't drown its backend.

Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads" (2016): nobody holds more than the average
times a factor above 1; a key whose backend is at that goes to its next best. Few keys move, and only while it lasts.
"""

from __future__ import annotations

from collections.abc import Sequence

from posthouse.balance.backend import Backend
from posthouse.balance.policy import Setting
from posthouse.balance.tally import COUNT_ABOVE, Tally


class Bound:
    """The bound of one pool.

    tally  counts for a large pool, else None
    """

    __slots__ = ("_factor", "_tier_of", "tally")

    def __init__(self, setting: Setting) -> None:
        self._factor = setting.hash_balance
        self._tier_of = setting.tier_of
        self.tally = Tally(setting) if len(setting.backends) > COUNT_ABOVE else None

    def per_share(self, usable: Sequence[Backend]) -> float:
        """What one of `usable` (not empty) may hold for each unit of its share, the exchange to come included.

        Who holds less than that may take one more: so much, rounded up, is the most that it ever holds.
        """
        if self.tally is not None and self.tally.is_live:
            tier = self._tier_of.get(usable[0], 0)
            held, shares = self.tally.held[tier], self.tally.shares[tier]
        else:
            held = sum([backend.in_flight for backend in usable])
            shares = sum([backend.share for backend in usable])
        return self._factor * (held + 1) / shares
