"""A backend's live state, and what it tells the watch."""

from __future__ import annotations

import pytest

from posthouse.balance.active_health import State
from posthouse.balance.backend import Backend
from posthouse.balance.health import NEVER
from posthouse.balance.watch import Watch
from posthouse.config.specs import PassiveSpec
from unit.balance.samples import endpoint, make_backend

TWO_IN_A_SECOND = PassiveSpec(fail_timeout=1.0, max_fails=2)


def test_new_backend_is_usable() -> None:
    backend = make_backend()
    assert backend.is_up and backend.is_usable and backend.is_available(0.0)
    assert (backend.in_flight, backend.max_conns, backend.failures(0.0)) == (0, 0, 0)


def test_seed_depends_on_text_and_occurrence_alone() -> None:
    """Pinned: it decides where keys live, from release to release."""
    assert (
        Backend(endpoint("a"), 1, Watch()).seed
        == Backend(endpoint("a"), 1, Watch()).seed
        == 0xF5D9AE70246D9502
    )
    assert Backend(endpoint("a"), 2, Watch()).seed != Backend(endpoint("a"), 1, Watch()).seed


def test_names() -> None:
    assert Backend(endpoint("a"), 1, Watch()).name == "http://a:80"
    assert Backend(endpoint("a"), 2, Watch()).name == "http://a:80#2"


def test_full_at_max_conns_exactly() -> None:
    backend = make_backend(max_conns=2)
    backend.acquire()
    assert backend.is_usable and not backend.is_full
    backend.acquire()
    assert not backend.is_usable and backend.is_full and not backend.is_available(0.0)
    with pytest.raises(RuntimeError, match="full"):
        backend.acquire()
    assert backend.in_flight == 2
    backend.release()
    assert backend.is_usable and backend.in_flight == 1


def test_release_of_what_nobody_holds() -> None:
    backend = make_backend()
    with pytest.raises(RuntimeError, match="nobody holds"):
        backend.release()
    assert backend.in_flight == 0


def test_unlimited() -> None:
    backend = make_backend()
    for _ in range(1000):
        backend.acquire()
    assert backend.is_usable
    assert repr(backend) == "<Backend http://a:80 up in_flight=1000>"


def test_failures_mark_and_the_mark_falls() -> None:
    backend = make_backend(passive=TWO_IN_A_SECOND)
    backend.fail(0.0)
    assert backend.is_usable and backend.mark_falls() == -NEVER
    backend.fail(0.7)
    assert not backend.is_usable and not backend.is_available(0.9)
    assert backend.mark_falls() == 1.0
    assert backend.is_available(1.0)
    assert backend.failures(1.0) == 1


def test_without_fail_timeout_nothing_is_remembered() -> None:
    backend = make_backend()
    backend.fail(0.0)
    assert backend.failures(0.0) == 0 and backend.is_usable


def test_success_resets_nothing() -> None:
    backend = make_backend(passive=TWO_IN_A_SECOND)
    backend.fail(0.0)
    backend.acquire()
    backend.release()
    backend.fail(0.1)
    assert not backend.is_usable


def test_watch_knows_the_earliest_mark_and_lets_it_fall() -> None:
    watch = Watch()
    backends = [Backend(endpoint(name), 1, watch) for name in "ab"]
    for backend in backends:
        backend.configure(backend.endpoint, 0, PassiveSpec(fail_timeout=1.0))
    assert watch.expires == NEVER
    backends[0].fail(5.0)
    backends[1].fail(4.5)
    assert (watch.expires, watch.changes) == (5.5, 2)
    watch.expire(5.49)
    assert watch.changes == 2
    watch.expire(5.5)
    assert [backend.is_usable for backend in backends] == [False, True]
    assert (watch.expires, watch.changes) == (6.0, 3)
    watch.expire(100.0)
    assert watch.expires == NEVER and backends[0].is_usable
    assert repr(watch) == "<Watch changes=4 marked=0>"


def test_a_mark_that_was_renewed_stays() -> None:
    watch = Watch()
    backend = Backend(endpoint("a"), 1, watch)
    backend.configure(backend.endpoint, 0, PassiveSpec(fail_timeout=1.0))
    backend.fail(0.0)
    backend.fail(0.5)
    assert repr(watch) == "<Watch changes=1 marked=1>", "one entry, however often it fails"
    watch.expire(1.0)
    assert not backend.is_usable and watch.expires == 1.5
    assert watch.changes == 1, "nothing changed: no pool has to look"
    watch.expire(1.5)
    assert backend.is_usable


def test_changes_are_counted_only_when_something_changed() -> None:
    watch = Watch()
    backend = Backend(endpoint("a"), 1, watch)
    backend.configure(backend.endpoint, 2, PassiveSpec())
    backend.is_up = True
    backend.acquire()
    backend.release()
    assert watch.changes == 0
    backend.is_up = False
    backend.acquire()
    backend.acquire()
    backend.release()
    assert watch.changes == 1, "down is down, full or not"
    assert not backend.is_available(0.0)
    backend.is_up = True
    assert watch.changes == 2


def test_lower_limit_while_more_are_in_flight() -> None:
    backend = make_backend(max_conns=5)
    for _ in range(4):
        backend.acquire()
    backend.configure(backend.endpoint, 2, PassiveSpec())
    assert not backend.is_usable
    for usable in (False, False, True):
        backend.release()
        assert backend.is_usable is usable
    assert backend.in_flight == 1


def test_new_settings_judge_the_failures_that_are_remembered() -> None:
    backend = make_backend(passive=PassiveSpec(fail_timeout=10.0, max_fails=1))
    backend.fail(0.0)
    backend.configure(backend.endpoint, 0, PassiveSpec(fail_timeout=10.0, max_fails=2))
    assert backend.is_usable and backend.failures(0.0) == 1
    backend.configure(backend.endpoint, 0, PassiveSpec(fail_timeout=10.0, max_fails=1))
    assert not backend.is_usable
    backend.configure(backend.endpoint, 0, PassiveSpec())
    assert backend.is_usable and backend.failures(0.0) == 0


@pytest.mark.parametrize(
    ("is_up", "fails", "shown"), [(True, False, "up"), (False, True, "down"), (True, True, "marked")]
)
def test_introduces_itself(is_up: bool, fails: bool, shown: str) -> None:
    backend = make_backend(max_conns=3, passive=PassiveSpec(fail_timeout=1.0))
    backend.is_up = is_up
    if fails:
        backend.fail(0.0)
    assert repr(backend) == f"<Backend http://a:80 {shown} in_flight=0/3>"


def test_what_checks_believe_is_told_in_one_call() -> None:
    backend = make_backend()
    assert (backend.state, backend.reason, backend.since) == (State.UP, "", None)
    backend.believe(State.DRAINING, "status 503", 4.0)
    assert not backend.is_up and not backend.is_usable and not backend.is_available(5.0)
    assert (backend.state, backend.reason, backend.since) == (State.DRAINING, "status 503", 4.0)
    assert repr(backend) == "<Backend http://a:80 draining in_flight=0>"
    backend.believe(State.UP, "status 200", 6.0)
    assert backend.is_up and backend.is_usable


def test_checks_and_failed_requests_are_counted_apart() -> None:
    backend = make_backend(passive=PassiveSpec(fail_timeout=10.0))
    backend.fail(0.0)
    backend.believe(State.DOWN)
    backend.believe(State.UP)
    assert not backend.is_usable, "an answer to a check forgives nothing"
    backend.believe(State.DOWN)
    assert backend.is_marked(9.9) and not backend.is_marked(10.0)
    assert not backend.is_available(10.0), "and time forgives no check"


def test_who_holds_a_backend_keeps_it_while_it_drains() -> None:
    backend = make_backend(max_conns=1)
    backend.acquire()
    backend.believe(State.DRAINING)
    backend.release()
    assert backend.in_flight == 0 and not backend.is_usable
