"""The estimate of a response time: quick to believe the worse, slow to believe the better."""

from __future__ import annotations

from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.balance.peak_ewma import PeakEwma


def test_unknown_at_first() -> None:
    latency = PeakEwma()
    assert not latency.is_known and latency.estimate(5.0, 10.0) == 0.0
    assert repr(latency) == "<PeakEwma unknown>"
    latency.observe(0.0, 5.0, 10.0)
    assert latency.is_known and latency.estimate(5.0, 10.0) == 0.0


def test_a_peak_is_taken_over_at_once_and_forgotten_slowly() -> None:
    latency = PeakEwma()
    latency.observe(0.1, 0.0, 10.0)
    latency.observe(2.0, 1.0, 10.0)
    assert latency.estimate(1.0, 10.0) == 2.0
    latency.observe(0.1, 2.0, 10.0)
    left = exp(-0.1)
    assert latency.estimate(2.0, 10.0) == pytest.approx(2.0 * left + 0.1 * (1 - left))
    assert repr(latency).startswith("<PeakEwma 1.8")


def test_what_is_not_asked_is_forgiven() -> None:
    latency = PeakEwma()
    latency.observe(2.0, 0.0, 10.0)
    assert latency.estimate(10.0, 10.0) == pytest.approx(2.0 / 2.718281828)
    assert latency.estimate(1000.0, 10.0) < 1e-40
    assert latency.estimate(-5.0, 10.0) == 2.0, "time never goes back; if it does, nothing is made larger"


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 5)), min_size=1, max_size=30), st.floats(0.01, 60))
def test_never_above_the_largest_nor_below_the_last_decayed(
    seen: list[tuple[float, float]], decay: float
) -> None:
    latency, now = PeakEwma(), 0.0
    for seconds, gap in seen:
        now += gap
        latency.observe(seconds, now, decay)
        assert latency.estimate(now, decay) <= max(one for one, _ in seen) + 1e-9
        assert latency.estimate(now, decay) >= 0.0
