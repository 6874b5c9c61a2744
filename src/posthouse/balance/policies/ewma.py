"""`policy ewma [DECAY]`: of two drawn ones the one with the lesser expected wait.

That is its response time (a moving average over about DECAY, 10s, that rises at once and falls slowly:
`peak_ewma.PeakEwma`) times the exchanges it would then have in flight. Who has never answered is tried by one exchange
at a time. O(1), with weights O(log n).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from posthouse.balance.backend import Backend
from posthouse.balance.drawing import Draw
from posthouse.balance.peak_ewma import DECAY
from posthouse.balance.policy import Choice, Setting
from posthouse.config.units import parse_duration

LEAST_DECAY: Final = 0.001
_UNKNOWN_AND_BUSY: Final = 1e9
"""The cost of one that is being tried already: any other is better."""


class Ewma:
    """See above. decay: seconds, for the pool."""

    __slots__ = ("_draw", "_unit", "decay")
    usage: ClassVar[str] = "ewma [DECAY]"
    arguments: ClassVar[tuple[int, int]] = (0, 1)
    uses_load: ClassVar[bool] = True

    def __init__(self, args: tuple[str, ...], setting: Setting) -> None:
        try:
            self.decay = parse_duration(args[0]) if args else DECAY
        except ValueError as wrong:
            raise ValueError(f"expected a duration such as `10s`, found {args[0]!r}: {wrong}") from None
        if self.decay < LEAST_DECAY:
            raise ValueError(f"expected a duration of at least 1ms, found {args[0]!r}")
        self._draw = Draw(setting).several
        # Weights say how the load is shared, not how large it is: what counts is a weight's part of the average.
        self._unit = sum(setting.weights) / max(1, len(setting.weights))

    def select(
        self, usable: Sequence[Backend], choice: Choice, tried: Sequence[Backend], now: float
    ) -> Backend:
        best, *others = self._draw(2, usable, tried)
        for other in others:
            if self._cost(other, now) < self._cost(best, now):
                best = other
        return best

    def _cost(self, backend: Backend, now: float) -> float:
        held = backend.in_flight * self._unit / backend.share
        if not backend.latency.is_known:
            return _UNKNOWN_AND_BUSY * held
        return backend.latency.estimate(now, self.decay) * (held + 1.0)
