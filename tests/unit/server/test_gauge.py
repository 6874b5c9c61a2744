"""The rule of `--max-memory`, on both sides of each of its limits."""

from __future__ import annotations

import pytest

from posthouse.server.gauge import EXCHANGE_BYTES, Change, Gauge, share

LIMIT = 1000 * EXCHANGE_BYTES
TENTH = LIMIT // 10
MANY = 1000
"""Exchanges: enough to explain whatever is occupied."""


def over() -> Gauge:
    """A gauge that has begun to refuse."""
    gauge = Gauge(LIMIT)
    assert gauge.look(LIMIT + 1, MANY) is Change.REFUSE
    return gauge


@pytest.mark.parametrize(("resident", "change"), [(LIMIT, Change.NONE), (LIMIT + 1, Change.REFUSE)])
def test_above_the_limit_it_refuses(resident: int, change: Change) -> None:
    gauge = Gauge(LIMIT)
    assert gauge.look(resident, MANY) is change
    assert gauge.is_over == (change is Change.REFUSE)


@pytest.mark.parametrize(
    ("resident", "change"),
    [(LIMIT + 1, Change.NONE), (LIMIT - TENTH, Change.NONE), (LIMIT - TENTH - 1, Change.SERVE)],
)
def test_it_serves_again_when_a_tenth_is_free(resident: int, change: Change) -> None:
    gauge = over()
    assert gauge.look(resident, MANY) is change
    assert gauge.is_over == (change is Change.NONE)


@pytest.mark.parametrize(("in_flight", "change"), [(100, Change.SERVE_ANYWAY), (101, Change.NONE)])
def test_what_nobody_holds_is_not_waited_for(in_flight: int, change: Change) -> None:
    gauge = over()
    assert gauge.look(LIMIT + 5, in_flight) is change


def test_after_that_only_more_is_a_reason() -> None:
    gauge = over()
    assert gauge.look(LIMIT + 5, 0) is Change.SERVE_ANYWAY
    assert gauge.look(LIMIT + 5 + TENTH, 0) is Change.NONE
    assert gauge.look(LIMIT + 6 + TENTH, 0) is Change.REFUSE


def test_once_it_has_fallen_the_limit_counts_again() -> None:
    gauge = over()
    assert gauge.look(LIMIT + 5, 0) is Change.SERVE_ANYWAY
    assert gauge.look(LIMIT - TENTH - 1, 0) is Change.NONE
    assert gauge.look(LIMIT + 1, 0) is Change.REFUSE


def test_it_introduces_itself() -> None:
    gauge = Gauge(10)
    assert repr(gauge) == "<Gauge of 10 below>"
    gauge.look(11, 0)
    assert repr(gauge) == "<Gauge of 10 over>"


@pytest.mark.parametrize(("limit", "workers", "each"), [(100, 1, 100), (100, 3, 33), (0, 4, 0)])
def test_workers_share_evenly(limit: int, workers: int, each: int) -> None:
    assert share(limit, workers) == each
