"""Heartbeat: looks without an answer are counted, not the time that passes."""

from __future__ import annotations

import pytest

from posthouse.server.heartbeat import Heartbeat, Verdict, period_of


def test_an_answer_starts_the_count_anew() -> None:
    beat = Heartbeat(3.0, 1.0)
    assert [beat.look() for _ in range(3)] == [Verdict.ASK, Verdict.WAIT, Verdict.WAIT]
    beat.answered()
    assert [beat.look() for _ in range(3)] == [Verdict.ASK, Verdict.WAIT, Verdict.WAIT]
    assert repr(beat) == "<Heartbeat missed=2 of 3>"
    assert beat.look() is Verdict.HUNG


def test_who_answers_is_asked_at_each_look() -> None:
    beat = Heartbeat(3.0, 1.0)
    for _ in range(20):
        assert beat.look() is Verdict.ASK
        beat.answered()


@pytest.mark.parametrize(("limit", "period"), [(0.5, 0.05), (10.0, 1.0), (30.0, 1.0)])
def test_looks_are_seldom_and_yet_ten_within_the_limit(limit: float, period: float) -> None:
    assert period_of(limit) == period
