"""`policy random_choose [N]`: of N drawn ones (2) the one with the fewest exchanges in flight for its weight.

The power of two choices (Mitzenmacher, 1996): nearly as even as `least_conn`, without the herd that many proxies make
which all see the same least loaded backend. O(N); with weights each draw is O(log n).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from posthouse.balance.backend import Backend
from posthouse.balance.drawing import Draw
from posthouse.balance.policy import Choice, Setting

MOST_CHOICES: Final = 64
"""More would be `least_conn`, but slower."""


class RandomChoose:
    __slots__ = ("_count", "_draw")
    usage: ClassVar[str] = "random_choose [N]"
    arguments: ClassVar[tuple[int, int]] = (0, 1)
    uses_load: ClassVar[bool] = True

    def __init__(self, args: tuple[str, ...], setting: Setting) -> None:
        written = args[0] if args else "2"
        if not (written.isascii() and written.isdigit()) or not 2 <= int(written) <= MOST_CHOICES:
            raise ValueError(f"expected how many to choose from, 2 to {MOST_CHOICES}, found {written!r}")
        self._count = int(written)
        self._draw = Draw(setting).several

    def select(
        self, usable: Sequence[Backend], choice: Choice, tried: Sequence[Backend], now: float
    ) -> Backend:
        # The first drawn wins a tie: it was drawn by weight.
        return min(self._draw(self._count, usable, tried), key=_load)


def _load(backend: Backend) -> float:
    return backend.in_flight / backend.share
