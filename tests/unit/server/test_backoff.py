"""Back-off: a few deaths cost nothing, more and more cost time, and time forgives."""

from __future__ import annotations

from posthouse.server.backoff import FIRST_SECONDS, FREE_DEATHS, MOST_SECONDS, PERIOD_SECONDS, Backoff


def test_the_first_deaths_are_free_and_then_it_doubles_up_to_a_limit() -> None:
    backoff = Backoff()
    delays = [backoff.after_death(100.0 + number) for number in range(FREE_DEATHS + 10)]
    assert delays[:FREE_DEATHS] == [0.0] * FREE_DEATHS
    assert delays[FREE_DEATHS : FREE_DEATHS + 3] == [FIRST_SECONDS, 2 * FIRST_SECONDS, 4 * FIRST_SECONDS]
    assert delays[-1] == MOST_SECONDS
    assert repr(backoff) == f"<Backoff deaths={FREE_DEATHS + 10}>"


def test_time_forgives() -> None:
    backoff = Backoff()
    for _ in range(FREE_DEATHS):
        assert backoff.after_death(0.0) == 0.0
    assert backoff.after_death(PERIOD_SECONDS - 0.1) == FIRST_SECONDS
    assert backoff.after_death(PERIOD_SECONDS) == 0.0
