"""What heads of responses say about their backends."""

from __future__ import annotations

import pytest

from posthouse.balance.breaker import Phase
from posthouse.balance.judge import Judge
from posthouse.balance.pool import Pool
from posthouse.config.specs import BreakerSpec, PassiveSpec, PoolSpec, RetrySpec
from unit.balance.samples import make_pool, pool_spec

REMEMBERS = 60.0


def judged(passive: PassiveSpec, *answers: tuple[int, float | None]) -> Pool:
    """A pool of one after these answers: status, and seconds to the head."""
    pool = make_pool(pool_spec("a", passive=passive))
    judge = Judge(pool)
    for status, seconds in answers:
        judge.hear(pool.backends[0], status, seconds, None, 0.0)
    return pool


@pytest.mark.parametrize(
    ("status", "failures"), [(429, 1), (499, 0), (500, 1), (599, 1), (428, 0), (430, 0), (200, 0)]
)
def test_statuses(status: int, failures: int) -> None:
    passive = PassiveSpec(REMEMBERS, statuses=((500, 599), (429, 429)))
    pool = judged(passive, (status, 0.0))
    assert pool.backends[0].failures(0.0) == failures
    assert pool.backends[0].fault == (f"answered {status}" if failures else "")


@pytest.mark.parametrize(("seconds", "failures"), [(1.999, 0), (2.0, 1), (None, 0)])
def test_latency_on_both_sides(seconds: float | None, failures: int) -> None:
    pool = judged(PassiveSpec(REMEMBERS, latency=2.0), (200, seconds))
    assert pool.backends[0].failures(0.0) == failures
    assert pool.backends[0].fault == ("took 2s to answer" if failures else "")


@pytest.mark.parametrize(
    ("statuses", "answer", "phase"),
    [
        ((), 500, Phase.OPEN),  # without a word of the site these are errors
        ((), 499, Phase.CLOSED),
        (((429, 429),), 500, Phase.CLOSED),
        (((429, 429),), 429, Phase.OPEN),
    ],
)
def test_what_is_an_error_for_the_breaker(
    statuses: tuple[tuple[int, int], ...], answer: int, phase: Phase
) -> None:
    pool = judged(PassiveSpec(statuses=statuses, breaker=BreakerSpec(minimum=1)), (answer, 0.0))
    breaker = pool.backends[0].comeback.breaker
    assert breaker is not None and breaker.phase is phase
    assert pool.backends[0].failures(0.0) == 0, "nothing is remembered without `fail_timeout`"


def test_slow_answers_count_for_the_average_too() -> None:
    passive = PassiveSpec(latency=2.0, breaker=BreakerSpec(errors=None, latency=3.0, minimum=2))
    breaker = judged(passive, (200, 1.0), (200, 6.0)).backends[0].comeback.breaker
    assert breaker is not None and breaker.phase is Phase.OPEN


@pytest.mark.parametrize(
    ("passive", "retry", "needed", "brief"),
    [
        (PassiveSpec(), RetrySpec(), False, True),
        (PassiveSpec(REMEMBERS), RetrySpec(), True, True),
        (PassiveSpec(latency=1.0), RetrySpec(), True, False),
        (PassiveSpec(statuses=((500, 500),)), RetrySpec(), True, False),
        (PassiveSpec(breaker=BreakerSpec()), RetrySpec(), True, False),
        (PassiveSpec(), RetrySpec(duration=1.0), True, True),
        (PassiveSpec(), RetrySpec(count=2), True, True),
        (PassiveSpec(), RetrySpec(duration=1.0, budget=None), False, True),
        (PassiveSpec(), RetrySpec(duration=1.0, budget=None, kinds=("503",)), True, True),
        (PassiveSpec(), RetrySpec(kinds=("503",)), False, True),
    ],
)
def test_who_needs_it(passive: PassiveSpec, retry: RetrySpec, needed: bool, brief: bool) -> None:
    spec: PoolSpec = pool_spec("a", passive=passive, retry=retry)
    judge = Judge(make_pool(spec))
    assert (judge.is_needed, judge.is_brief) == (needed, brief)
    assert judge.statuses == (retry.statuses if retry.is_on else frozenset())
