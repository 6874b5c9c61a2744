"""The vocabulary of what can go wrong."""

from __future__ import annotations

import dataclasses
import pickle

import pytest

from posthouse.errors import (
    NOWHERE,
    ConfigError,
    Failure,
    FailureKind,
    Mistake,
    Notice,
    Place,
    ProtocolError,
    Sent,
    Side,
    StartError,
)


def test_the_words_for_failures_are_a_contract() -> None:
    """Logs, metrics and `{failure}` show them; people filter by them."""
    assert " ".join(FailureKind) == (
        "no_backend full queue_timeout dns connect connect_timeout tls reset response_timeout idle_timeout "
        "exchange_timeout malformed truncated client_gone client_timeout client_malformed"
    )
    assert f"{FailureKind.RESET}" == "reset" and FailureKind("full") is FailureKind.FULL


def test_a_failure_says_the_worst_unless_more_is_known() -> None:
    """Whoever forgets to say what was sent must not cause a POST to be sent twice."""
    failure = Failure(FailureKind.RESET, Side.UPSTREAM)
    assert failure.sent is Sent.SOME
    assert not failure.is_reused and not failure.is_response_started
    assert failure == Failure(FailureKind.RESET, Side.UPSTREAM)
    with pytest.raises(dataclasses.FrozenInstanceError):
        failure.sent = Sent.NOTHING  # type: ignore[misc]


def test_how_much_was_sent_can_be_compared() -> None:
    assert Sent.NOTHING < Sent.SOME and not Sent.NOTHING


def test_places_read_as_compilers_print_them_and_sort_as_they_are_written() -> None:
    assert str(Place("Caddyfile", 3, 14)) == "Caddyfile:3:14"
    places = [Place("a", 10, 1), Place("a", 2, 9), Place("a", 2, 10), Place("A", 99, 1)]
    assert sorted(places) == [Place("A", 99, 1), Place("a", 2, 9), Place("a", 2, 10), Place("a", 10, 1)]
    assert (NOWHERE.file, NOWHERE.line, NOWHERE.column) == ("", 0, 0)


def test_a_config_error_holds_one_mistake_or_many() -> None:
    one, two = Mistake(Place("f", 1, 1), "first"), Mistake(Place("f", 2, 1), "second", 5, "a hint")
    assert ConfigError(one).mistakes == (one,)
    error = ConfigError([one, two])
    assert error.mistakes == (one, two)
    assert str(error) == "f:1:1: first; f:2:1: second"


def test_a_protocol_error_keeps_its_reason_apart_from_its_status() -> None:
    error = ProtocolError(431, "head over 65536 bytes")
    assert (error.status, error.reason, str(error)) == (431, "head over 65536 bytes", "head over 65536 bytes")


def test_a_start_error_is_its_line() -> None:
    assert str(StartError("port 80 is taken")) == "port 80 is taken"


def test_two_notices_are_one_whatever_is_underlined() -> None:
    """So that the same warning from two directives is told once."""
    place = Place("f", 1, 1)
    assert Notice(place, "text", 3) == Notice(place, "text", 9) != Notice(place, "other", 3)
    assert len({Notice(place, "text", 3), Notice(place, "text", 9)}) == 1


@pytest.mark.parametrize(
    "value",
    [
        Place("f", 1, 2),
        Mistake(Place("f", 1, 2), "m", 3, "h"),
        Notice(Place("f", 1, 2), "n"),
        Failure(FailureKind.TLS, Side.POSTHOUSE, "r", Sent.NOTHING, is_reused=True),
    ],
)
def test_values_can_go_to_another_process(value: object) -> None:
    assert pickle.loads(pickle.dumps(value)) == value
    assert hash(value) == hash(pickle.loads(pickle.dumps(value)))
