"""The retry rule: each line of its table, on both sides of each limit."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.balance.retry import (
    IDEMPOTENT_METHODS,
    LEAST_WAIT,
    STALE_RETRIES,
    Retry,
    RetryFacts,
    is_backend_fault,
    is_charged,
    is_idempotent,
    is_stale,
)
from posthouse.config.specs import RetrySpec
from posthouse.errors import Failure, FailureKind, Sent, Side

RETRY = Retry(RetrySpec(duration=5.0, interval=0.25))
OFF = Retry(RetrySpec())
FACTS = RetryFacts(
    attempts=1,
    elapsed=1.0,
    waits=0,
    stale_retries=0,
    is_idempotent=True,
    can_replay=True,
    has_budget=True,
    has_untried=True,
    is_response_sent=False,
    chance=0.5,
)
WAITING = replace(FACTS, has_untried=False)
REFUSED = Failure(FailureKind.CONNECT, Side.UPSTREAM, sent=Sent.NOTHING)
RESET = Failure(FailureKind.RESET, Side.UPSTREAM, sent=Sent.SOME)
STALE = replace(RESET, is_reused=True)
NOBODY = Failure(FailureKind.NO_BACKEND, Side.POSTHOUSE, sent=Sent.NOTHING)

UPSTREAM_KINDS = [
    FailureKind.DNS,
    FailureKind.CONNECT,
    FailureKind.CONNECT_TIMEOUT,
    FailureKind.TLS,
    FailureKind.RESET,
    FailureKind.RESPONSE_TIMEOUT,
    FailureKind.IDLE_TIMEOUT,
    FailureKind.MALFORMED,
    FailureKind.TRUNCATED,
]
FINAL_KINDS = sorted(set(FailureKind) - {*UPSTREAM_KINDS, FailureKind.NO_BACKEND})


@pytest.mark.parametrize("kind", UPSTREAM_KINDS)
def test_an_upstream_failure_is_tried_again_at_once_elsewhere(kind: FailureKind) -> None:
    assert RETRY.next(Failure(kind, Side.UPSTREAM), FACTS) == 0.0


@pytest.mark.parametrize("kind", FINAL_KINDS)
@pytest.mark.parametrize("sent", Sent)
def test_these_kinds_are_final(kind: FailureKind, sent: Sent) -> None:
    assert RETRY.next(Failure(kind, Side.POSTHOUSE, sent=sent), FACTS) is None


@pytest.mark.parametrize("kind", FailureKind)
def test_a_fault_of_the_client_is_final(kind: FailureKind) -> None:
    assert RETRY.next(Failure(kind, Side.DOWNSTREAM, sent=Sent.NOTHING), FACTS) is None


def test_nobody_free_is_waited_for() -> None:
    assert RETRY.next(NOBODY, replace(WAITING, is_idempotent=False)) == 0.25
    assert OFF.next(NOBODY, WAITING) is None


@pytest.mark.parametrize("kind", [FailureKind.FULL, FailureKind.QUEUE_TIMEOUT])
def test_who_did_not_get_a_place_is_not_told_to_come_again(kind: FailureKind) -> None:
    assert RETRY.next(replace(NOBODY, kind=kind), FACTS) is None


def test_nothing_after_a_byte_of_the_response_went_down() -> None:
    for failure in (REFUSED, RESET, STALE):
        assert RETRY.next(failure, replace(FACTS, is_response_sent=True)) is None


def test_a_response_that_began_and_was_not_passed_on_may_be_asked_for_again() -> None:
    malformed = Failure(FailureKind.MALFORMED, Side.UPSTREAM, is_response_started=True)
    assert RETRY.next(malformed, FACTS) == 0.0
    assert RETRY.next(malformed, replace(FACTS, is_idempotent=False)) is None


@pytest.mark.parametrize(
    ("sent", "is_idempotent", "answer"),
    [(Sent.NOTHING, True, 0.0), (Sent.NOTHING, False, 0.0), (Sent.SOME, True, 0.0), (Sent.SOME, False, None)],
)
@pytest.mark.parametrize("is_reused", [True, False])
def test_never_twice_what_may_have_been_done(
    sent: Sent, is_idempotent: bool, answer: float | None, is_reused: bool
) -> None:
    failure = replace(RESET, sent=sent, is_reused=is_reused)
    assert RETRY.next(failure, replace(FACTS, is_idempotent=is_idempotent)) == answer


@pytest.mark.parametrize("failure", [REFUSED, RESET, STALE, NOBODY])
def test_nothing_without_the_whole_body(failure: Failure) -> None:
    assert RETRY.next(failure, replace(FACTS, can_replay=False)) is None


# --- stale connections -----------------------------------------------------------------------------------


def test_stale_is_retried_at_once_even_with_retries_off() -> None:
    assert OFF.next(STALE, WAITING) == 0.0
    assert OFF.next(RESET, WAITING) is None


def test_stale_on_both_sides_of_its_limit() -> None:
    assert OFF.next(STALE, replace(WAITING, stale_retries=STALE_RETRIES - 1)) == 0.0
    assert OFF.next(STALE, replace(WAITING, stale_retries=STALE_RETRIES)) is None
    assert RETRY.next(STALE, replace(WAITING, stale_retries=STALE_RETRIES)) == 0.25


def test_stale_after_the_duration_is_over() -> None:
    assert RETRY.next(STALE, replace(WAITING, elapsed=60.0)) == 0.0


@pytest.mark.parametrize("kind", FailureKind)
def test_which_kinds_are_stale(kind: FailureKind) -> None:
    stale = kind in (FailureKind.RESET, FailureKind.TRUNCATED)
    assert is_stale(replace(STALE, kind=kind)) is stale


def test_not_stale_once_it_answered_nor_on_a_fresh_connection() -> None:
    assert not is_stale(replace(STALE, is_response_started=True))
    assert not is_stale(RESET)


# --- time ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("elapsed", "answer"), [(0.0, 0.0), (4.999, 0.0), (5.0, None), (7.0, None)])
def test_at_once_until_the_duration_is_over(elapsed: float, answer: float | None) -> None:
    assert RETRY.next(REFUSED, replace(FACTS, elapsed=elapsed)) == answer


def test_off_is_one_attempt() -> None:
    assert OFF.next(REFUSED, replace(FACTS, elapsed=0.0)) is None


def test_waits_grow_up_to_eight_times() -> None:
    patient = Retry(RetrySpec(duration=1000.0, interval=0.25))
    waits = [patient.next(REFUSED, replace(WAITING, waits=n)) for n in (0, 1, 2, 5, 6, 7, 10_000)]
    assert waits == [0.25, 0.375, 0.5625, 0.25 * 1.5**5, 2.0, 2.0, 2.0]


@pytest.mark.parametrize(("chance", "wait"), [(0.0, 0.2), (0.5, 0.25), (0.9999999, 0.3)])
def test_spread_by_a_fifth(chance: float, wait: float) -> None:
    assert RETRY.next(REFUSED, replace(WAITING, chance=chance)) == pytest.approx(wait)


def test_never_past_the_duration() -> None:
    assert RETRY.next(REFUSED, replace(WAITING, elapsed=4.75)) == 0.25
    assert RETRY.next(REFUSED, replace(WAITING, elapsed=4.875)) == 0.125
    assert RETRY.next(REFUSED, replace(WAITING, elapsed=5.0)) is None


def test_never_under_a_millisecond() -> None:
    spinning = Retry(RetrySpec(duration=5.0, interval=0.0))
    assert spinning.next(REFUSED, WAITING) == LEAST_WAIT
    assert spinning.next(REFUSED, replace(WAITING, elapsed=5.0 - 0.0011)) == LEAST_WAIT
    assert spinning.next(REFUSED, replace(WAITING, elapsed=5.0 - 0.0009)) is None


@given(
    st.floats(0, 10),
    st.floats(0, 2),
    st.floats(0, 12),
    st.integers(0, 100),
    st.floats(0, 1, exclude_max=True),
)
def test_every_wait_lies_within_its_bounds(
    duration: float, interval: float, elapsed: float, waits: int, chance: float
) -> None:
    facts = replace(WAITING, elapsed=elapsed, waits=waits, chance=chance)
    wait = Retry(RetrySpec(duration, interval)).next(REFUSED, facts)
    if wait is None:
        assert duration - elapsed < LEAST_WAIT
    else:
        assert LEAST_WAIT <= wait <= max(interval * 8 * 1.2, LEAST_WAIT)
        assert wait <= duration - elapsed


# --- whose fault, and which methods ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", UPSTREAM_KINDS)
def test_faults_of_the_backend_count(kind: FailureKind) -> None:
    assert is_backend_fault(Failure(kind, Side.UPSTREAM))


def test_a_response_broken_off_in_its_body_counts() -> None:
    broken = Failure(FailureKind.TRUNCATED, Side.UPSTREAM, is_reused=True, is_response_started=True)
    assert is_backend_fault(broken)


@pytest.mark.parametrize("side", [Side.DOWNSTREAM, Side.POSTHOUSE])
@pytest.mark.parametrize("kind", FailureKind)
def test_faults_of_others_do_not_count(kind: FailureKind, side: Side) -> None:
    assert not is_backend_fault(Failure(kind, side))


def test_stale_does_not_count() -> None:
    assert not is_backend_fault(STALE)
    assert not is_backend_fault(replace(STALE, sent=Sent.NOTHING))


@pytest.mark.parametrize("method", sorted(IDEMPOTENT_METHODS))
def test_idempotent(method: bytes) -> None:
    assert is_idempotent(method)
    assert not is_idempotent(method.lower())


@pytest.mark.parametrize("method", [b"POST", b"PATCH", b"CONNECT", b"PROPFIND", b""])
def test_not_idempotent(method: bytes) -> None:
    assert not is_idempotent(method)


def test_introduces_itself() -> None:
    assert repr(RETRY) == "<Retry for 5 s every 0.25 s>"


# --- what the site wrote ---------------------------------------------------------------------------------

KINDS_OF = {
    "connect": {FailureKind.DNS, FailureKind.CONNECT, FailureKind.CONNECT_TIMEOUT, FailureKind.TLS},
    "reset": {FailureKind.RESET, FailureKind.TRUNCATED, FailureKind.MALFORMED},
    "timeout": {FailureKind.RESPONSE_TIMEOUT, FailureKind.IDLE_TIMEOUT},
    "503": set(),
}


@pytest.mark.parametrize("kind", UPSTREAM_KINDS)
@pytest.mark.parametrize("word", KINDS_OF)
def test_only_what_retry_on_names(word: str, kind: FailureKind) -> None:
    retry = Retry(RetrySpec(duration=5.0, kinds=(word,)))  # type: ignore[arg-type]
    answer = 0.0 if kind in KINDS_OF[word] else None
    assert retry.next(Failure(kind, Side.UPSTREAM), FACTS) == answer


def test_every_failure_of_a_backend_has_its_word() -> None:
    assert set().union(*KINDS_OF.values()) == set(UPSTREAM_KINDS)


def test_neither_a_dead_connection_nor_a_free_backend_is_asked_for_by_a_word() -> None:
    retry = Retry(RetrySpec(duration=5.0, kinds=("503",)))
    assert retry.next(STALE, WAITING) == 0.0
    assert retry.next(NOBODY, WAITING) == 0.25


def test_a_status() -> None:
    retry = Retry(RetrySpec(duration=5.0, kinds=("503",)))
    assert retry.next(None, FACTS) == 0.0
    assert retry.next(None, WAITING) == 0.25
    assert retry.next(None, replace(FACTS, can_replay=False)) is None
    assert retry.next(None, replace(FACTS, is_idempotent=False)) is None
    assert retry.next(None, replace(FACTS, is_response_sent=True)) is None
    assert retry.next(None, replace(FACTS, elapsed=5.0)) is None
    assert OFF.next(None, FACTS) is None


def test_all_methods() -> None:
    retry = Retry(RetrySpec(duration=5.0, all_methods=True))
    post = replace(FACTS, is_idempotent=False)
    assert retry.next(RESET, post) == 0.0
    assert retry.next(None, post) == 0.0
    assert retry.next(RESET, replace(post, can_replay=False)) is None


@pytest.mark.parametrize(("attempts", "answer"), [(1, 0.0), (2, 0.0), (3, None), (4, None)])
@pytest.mark.parametrize("duration", [0.0, 5.0])
def test_try_count_on_both_sides(attempts: int, answer: float | None, duration: float) -> None:
    retry = Retry(RetrySpec(duration=duration, count=3))
    assert retry.next(REFUSED, replace(FACTS, attempts=attempts)) == answer
    assert retry.next(None, replace(FACTS, attempts=attempts)) == answer


def test_a_count_alone_has_no_end_in_time_and_waits_for_nobody() -> None:
    retry = Retry(RetrySpec(count=3))
    assert retry.next(REFUSED, replace(WAITING, elapsed=1e6)) == 0.25
    assert retry.next(NOBODY, WAITING) is None, "that wait would have no end"
    assert Retry(RetrySpec(duration=5.0, count=3)).next(NOBODY, replace(WAITING, attempts=3)) == 0.25


def test_one_attempt_is_one() -> None:
    retry = Retry(RetrySpec(count=1))
    assert retry.next(REFUSED, replace(FACTS, attempts=1)) is None
    assert retry.next(STALE, replace(FACTS, attempts=1)) == 0.0


def test_a_spent_budget_ends_it() -> None:
    spent = replace(FACTS, has_budget=False)
    assert RETRY.next(RESET, spent) is None
    assert RETRY.next(None, spent) is None
    assert RETRY.next(REFUSED, spent) == 0.0, "no application has seen it"
    assert RETRY.next(STALE, spent) == 0.0
    assert RETRY.next(NOBODY, replace(WAITING, has_budget=False)) == 0.25


def test_what_the_budget_pays_for() -> None:
    assert is_charged(RESET, FACTS) and is_charged(None, FACTS)
    assert not any(is_charged(one, FACTS) for one in (STALE, NOBODY, REFUSED))
    assert is_charged(STALE, replace(FACTS, stale_retries=STALE_RETRIES))
