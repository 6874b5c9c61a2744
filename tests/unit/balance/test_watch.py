"""What pools look at before they trust what they know to be ready."""

from __future__ import annotations

import pytest

from posthouse.balance.backend import Backend
from posthouse.balance.health import NEVER
from posthouse.balance.slow_start import FLOOR
from posthouse.balance.watch import REMEMBERED_CHANGES, Watch
from posthouse.config.specs import PassiveSpec
from unit.balance.samples import endpoint

A_SECOND = PassiveSpec(fail_timeout=1.0)


@pytest.fixture
def watch() -> Watch:
    return Watch()


def backend_of(watch: Watch, name: str = "a", slow_start: float = 0.0) -> Backend:
    backend = Backend(endpoint(name), 1, watch)
    backend.configure(endpoint(name), 0, A_SECOND, slow_start)
    return backend


def test_changes_are_counted_and_the_last_remembered(watch: Watch) -> None:
    first, *others = [backend_of(watch, f"h{number}") for number in range(REMEMBERED_CHANGES + 1)]
    before = watch.changes
    for backend in (first, *others):
        backend.is_up = False
    assert watch.changes == before + REMEMBERED_CHANGES + 1
    assert list(watch.changed) == others


def test_marks_fall_in_the_order_of_their_time(watch: Watch) -> None:
    a, b = backend_of(watch, "a"), backend_of(watch, "b")
    b.fail(1.0)
    a.fail(1.5)
    assert watch.expires == 2.0
    watch.expire(2.0)
    assert (b.is_usable, a.is_usable, watch.expires) == (True, False, 2.5)
    watch.expire(2.5)
    assert a.is_usable and watch.expires == NEVER


def test_a_slow_start_that_begins_as_a_mark_falls_goes_on(watch: Watch) -> None:
    backend = backend_of(watch, slow_start=10.0)
    backend.fail(1.0)
    watch.expire(2.0)
    assert backend.warmth == FLOOR and watch.expires < 3.0, repr(watch)
    watch.expire(12.5)
    assert backend.warmth == 1.0 and watch.expires == NEVER
    assert repr(watch) == "<Watch changes=2 marked=0>"


def test_who_is_still_left_out_for_failures_does_not_begin_its_slow_start(watch: Watch) -> None:
    backend = backend_of(watch, slow_start=10.0)
    backend.is_up = False
    backend.fail(1.0)
    backend.is_up = True
    assert (backend.warmth, backend.is_usable) == (1.0, False)
    watch.expire(2.0)
    assert (backend.warmth, backend.is_usable) == (FLOOR, True)


def test_who_left_is_known_as_long_as_it_is_held(watch: Watch) -> None:
    held, free, stays = backend_of(watch, "held"), backend_of(watch, "free"), backend_of(watch, "stays")
    for backend in (held, stays):
        backend.acquire()
    watch.serve((held, free, stays))
    assert watch.left(held.key) is None, "it has not left"
    watch.serve((stays,))
    assert watch.left(held.key) is held
    assert watch.left(free.key) is watch.left(stays.key) is None
    watch.serve((stays, free))
    assert watch.left(held.key) is held, "more than one change later"
    held.release()
    assert watch.left(held.key) is None
    held.acquire()
    watch.serve((held, stays))
    assert watch.left(held.key) is None, "it is back"


def test_nothing_is_known_after_the_end(watch: Watch) -> None:
    held = backend_of(watch)
    held.acquire()
    watch.serve((held,))
    watch.serve(())
    watch.end()
    assert watch.left(held.key) is None
