"""How many hold a backend, and what others are told of it. Several workers in any order: unit/server/test_shares.py."""

from __future__ import annotations

import pytest

from posthouse.config.specs import BreakerSpec, PassiveSpec
from unit.balance.samples import endpoint, make_backend, sheets

BREAKER = PassiveSpec(breaker=BreakerSpec(errors=50.0, minimum=1, trials=2))


class Place:
    """Of two workers the one, and what it sees of the other."""

    def __init__(self) -> None:
        self.cells = [7, 7, 7]
        self.at = 1
        self.elsewhere = 0
        self.sheet = sheets(2)[0]
        self.calls: list[str] = []

    def publish(self, held: int) -> None:
        self.calls.append("publish")
        self.cells[self.at] = held

    def give_back(self, held: int) -> int:
        self.calls.append("give_back")
        self.cells[self.at] = held
        return self.elsewhere

    def others(self) -> int:
        return self.elsewhere

    def claim(self, held: int, limit: int) -> bool:
        self.calls.append("claim")
        return held + self.elsewhere < limit


def test_alone_nobody_is_told() -> None:
    backend = make_backend()
    assert backend.claim() and backend.acquire() is None
    assert (backend.held, backend.others, backend.in_flight) == (1, 0, 1)
    backend.release()
    assert backend.held == 0 and not backend.is_full and backend.max_conns == 0


def test_whoever_joins_tells_what_it_holds_already() -> None:
    backend, place = make_backend(), Place()
    backend.acquire()
    backend.join(place)
    assert place.cells == [7, 1, 7]


def test_without_a_limit_only_its_own_cell_is_written_and_nobody_is_called() -> None:
    backend, place = make_backend(), Place()
    backend.join(place)
    place.calls.clear()
    backend.see(5)
    for _ in range(3):
        assert backend.claim() and backend.acquire() is None
    assert place.cells == [7, 3, 7] and backend.in_flight == 8
    backend.release()
    assert place.cells == [7, 2, 7] and (backend.held, backend.others) == (2, 5)
    assert place.calls == []


def test_what_others_hold_cannot_be_given_back() -> None:
    backend, place = make_backend(), Place()
    backend.join(place)
    backend.see(2)
    backend.acquire()
    backend.release()
    with pytest.raises(RuntimeError, match="nobody holds"):
        backend.release()
    assert (backend.held, backend.in_flight, place.cells) == (0, 2, [7, 0, 7])


def test_with_a_limit_it_is_claimed_and_what_others_hold_is_looked_up_when_it_is_given_back() -> None:
    backend, place = make_backend(max_conns=2), Place()
    woken: list[int] = []
    backend._watch.on_release = lambda: woken.append(backend.in_flight)
    backend.join(place)
    place.elsewhere = 1
    assert backend.claim()
    backend.acquire()
    assert not backend.claim() and backend.is_full and not backend.is_usable
    place.elsewhere = 0
    backend.release()
    assert woken == [0] and backend.is_usable and place.cells == [7, 0, 7]
    assert place.calls == ["publish", "claim", "publish", "claim", "give_back"]


def test_a_limit_that_comes_counts_and_one_that_goes_is_gone() -> None:
    backend, place = make_backend(), Place()
    backend.join(place)
    backend.acquire()
    backend.acquire()
    backend.configure(endpoint("a"), 2, PassiveSpec())
    assert backend.is_full and backend.max_conns == 2
    with pytest.raises(RuntimeError, match="full"):
        backend.acquire()
    assert place.cells == [7, 2, 7]
    backend.configure(endpoint("a"), 0, PassiveSpec())
    backend.acquire()
    assert place.cells == [7, 3, 7] and not backend.is_full


def test_trials_are_counted_and_told_as_well() -> None:
    backend, place = make_backend(passive=BREAKER), Place()
    backend.join(place)
    backend.acquire()
    backend.fail(0.0)
    backend.release()
    breaker = backend.comeback.breaker
    assert breaker is not None and breaker.until is not None
    backend._watch.expire(breaker.until)
    trial = backend.acquire()
    assert trial is not None and trial.running == 1 and place.cells == [7, 1, 7]
    backend.succeed(breaker.until or 0.0, None, trial)
    backend.release()
    assert place.cells == [7, 0, 7]
