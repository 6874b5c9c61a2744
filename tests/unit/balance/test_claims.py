"""How a pool chooses where others use the same backends. With many workers in any order: unit/server/test_shares.py."""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from posthouse.balance.breaker import Phase
from posthouse.balance.claims import LOOK_AT_ALL, LOOK_SECONDS
from posthouse.balance.policies import POLICIES
from posthouse.balance.pool import Pool, build_pool
from posthouse.balance.trials import Result
from posthouse.config.queue_spec import QueueSpec
from posthouse.config.specs import BreakerSpec, PassiveSpec, PolicySpec
from posthouse.errors import FailureKind
from posthouse.testing.check_policy import SampleChoice
from unit.balance.samples import make_pool, pool_spec
from unit.server.fellows import Fellows

Make = Callable[..., Fellows]
CHOICE = SampleChoice(1)


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Fellows] = []

    def fellows(hosts: Any = "ab", policy: str = "least_conn", **facts: Any) -> Fellows:
        made.append(Fellows(pool_spec(hosts, policy, **facts), 2))
        return made[-1]

    yield fellows
    for one in made:
        one.close()


def claim(pool: Pool, now: float = 1.0) -> Any:
    assert pool.claims is not None
    return pool.claims.claim(CHOICE, now)


@pytest.mark.parametrize("policy", ["least_conn", "random_choose", "ewma"])
def test_policies_that_go_by_load_know_that_of_others(make: Make, policy: str) -> None:
    here, there = make(policy=policy)
    for backend in (*here.pool.backends, *there.pool.backends):
        backend.latency.observe(0.1, 1.0, 10.0)
    busy, idle = there.pool.backends
    for _ in range(5):
        there.pool.acquire(busy)
    assert {claim(here.pool).key for _ in range(20)} == {idle.key}
    assert (here.pool.backends[0].in_flight, here.pool.backends[0].held) == (5, 0)


def test_a_bounded_load_counts_that_of_others(make: Make) -> None:
    here, there = make(policy="ip_hash", hash_balance=125)
    own = claim(here.pool)
    for _ in range(5):
        there.pool.acquire(next(one for one in there.pool.backends if one.key == own.key))
    assert claim(here.pool) is not own


def test_whoever_goes_by_load_says_so() -> None:
    """Else it would not be told what others hold."""
    assert {name for name, one in POLICIES.items() if getattr(one, "uses_load", False)} == {
        *("least_conn", "random_choose", "ewma")
    }


def test_others_fill_it(make: Make) -> None:
    here, there = make(max_conns=2)
    for backend in there.pool.backends:
        there.pool.acquire(backend)
        there.pool.acquire(backend)
    assert claim(here.pool) is None
    assert here.pool.why_not(1.0) is FailureKind.FULL
    there.pool.release(there.pool.backends[1])
    assert claim(here.pool) is here.pool.backends[1]


def test_a_large_pool_looks_now_and_then(make: Make) -> None:
    count = LOOK_AT_ALL + 1
    here, there = make([f"b{number}" for number in range(count)])
    assert claim(here.pool, 1.0) is not None
    for backend in there.pool.backends[1:]:
        there.pool.acquire(backend)
    assert {claim(here.pool, 0.99 + LOOK_SECONDS).key for _ in range(50)} != {("http://b0:80", 1)}
    assert {claim(here.pool, 1.0 + LOOK_SECONDS).key for _ in range(50)} == {("http://b0:80", 1)}


def test_a_pool_of_the_most_that_are_all_looked_at_looks_each_time(make: Make) -> None:
    here, there = make([f"b{number}" for number in range(LOOK_AT_ALL)])
    claim(here.pool, 1.0)
    for backend in there.pool.backends[1:]:
        there.pool.acquire(backend)
    assert {claim(here.pool, 1.0).key for _ in range(50)} == {("http://b0:80", 1)}


def test_a_large_pool_is_not_full_before_it_has_looked(make: Make) -> None:
    here, there = make([f"b{number}" for number in range(LOOK_AT_ALL + 1)], max_conns=1)
    for backend in there.pool.backends:
        there.pool.acquire(backend)
    assert claim(here.pool, 1.0) is None
    there.pool.release(there.pool.backends[7])
    assert claim(here.pool, 1.0) is here.pool.backends[7]


def test_who_lost_the_race_takes_another(make: Make) -> None:
    here, there = make([f"b{number}" for number in range(LOOK_AT_ALL + 1)], "first", max_conns=1)
    assert claim(here.pool, 1.0) is here.pool.backends[0]
    here.pool.acquire(here.pool.backends[0])
    there.pool.acquire(there.pool.backends[1])
    assert here.pool.select(CHOICE, 1.0) is here.pool.backends[1], "it does not know yet"
    assert claim(here.pool, 1.0) is here.pool.backends[2]
    assert here.pool.backends[1].in_flight == 1, "now it does"


def test_who_comes_does_not_pass_those_who_wait_elsewhere(make: Make) -> None:
    fellows = make("a", max_conns=1, queue=QueueSpec(2, None))
    first = fellows[0].comes()
    waits = fellows[1].comes()
    fellows[0].goes(first)
    comes = fellows[0].comes()
    assert comes.is_waiting and fellows[0].pool.claims.is_deferring  # type: ignore[union-attr]
    assert fellows.settle() >= 1
    assert waits.backend is not None and comes.is_waiting
    assert fellows[0].comes().refused is None and fellows[0].comes().refused is FailureKind.FULL


def test_alone_there_is_none() -> None:
    assert make_pool(pool_spec("ab")).claims is None


def test_a_limit_counts_from_its_first_moment_what_others_hold_without_one(make: Make) -> None:
    """Of a reload that adds `max_conns` one worker is the first to serve it."""
    fellows = make("a", "round_robin", queue=QueueSpec(0, None))
    early, late = fellows
    for _ in range(3):
        assert late.comes().backend is not None
    early.build(replace(fellows.spec, max_conns=4), early.pool)
    assert early.comes().backend is not None
    assert early.comes().refused is FailureKind.FULL
    assert late.comes().backend is not None, "it has no limit yet"
    late.build(replace(fellows.spec, max_conns=4), late.pool)
    assert late.comes().refused is FailureKind.FULL


def test_who_began_before_a_limit_came_claims_as_well(make: Make) -> None:
    """A retry goes on with the pool that its exchange began with."""
    fellows = make("a", "round_robin", queue=QueueSpec(0, None))
    here, there = fellows
    began = here.comes()
    for fellow in fellows:
        fellow.build(replace(fellows.spec, max_conns=1), fellow.pool)
    backend, began.backend = began.backend, None
    assert backend is not None
    here.pool.release(backend)
    assert there.comes().backend is not None
    assert claim(began.pool) is None and backend.in_flight == 1


def test_who_waits_for_a_place_that_was_unlimited_elsewhere_is_woken(make: Make) -> None:
    """It was given back by a worker that did not know yet of a limit."""
    fellows = make("a", "round_robin")
    early, late = fellows
    holds = late.comes()
    early.build(replace(fellows.spec, max_conns=1, queue=QueueSpec(1, None)), early.pool)
    waits = early.comes()
    assert waits.is_waiting
    late.goes(holds)
    late.build(early.pool.spec, late.pool)
    fellows.settle()
    assert waits.backend is not None


def test_where_nobody_asks_any_more_nothing_old_is_remembered_of_others(make: Make) -> None:
    fellows = make("a", "least_conn")
    here, there = fellows
    held = there.comes()
    here.goes(here.comes())
    (backend,) = here.pool.backends
    assert (backend.in_flight, backend.held) == (1, 0)
    here.build(replace(fellows.spec, policy=PolicySpec("round_robin", ())), here.pool)
    there.goes(held)
    assert (backend.in_flight, backend.held) == (0, 0)


def test_what_is_held_of_a_backend_that_was_replaced_does_not_spoil_the_count(make: Make) -> None:
    """Another `tls_server_name` makes it another one, at the same place."""
    fellows = make("a", "round_robin")
    here, there = fellows
    before = here.comes()
    (one,) = fellows.spec.endpoints
    renamed = replace(fellows.spec, endpoints=(replace(one, server_name="b"),))
    here.build(renamed, here.pool)
    here.comes()
    here.comes()
    here.goes(before)
    assert there.pool.claims is not None and list(there.pool.claims.group.others()) == [2]


def serving(here: Any, before: Pool | None = None) -> Pool:
    """A pool that has begun to serve in the group of this fellow."""
    pool = build_pool(pool_spec("ab", "least_conn", max_conns=1), random.Random(1), before)
    pool.share(here.pool.claims.group)
    pool.start()
    assert claim(pool) is not None
    return pool


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collector")
def test_a_pool_that_another_one_follows_is_free_at_once(make: Make) -> None:
    here, _ = make(max_conns=1)
    pools = [serving(here)]
    pools.append(serving(here, pools[0]))
    former = weakref.ref(pools.pop(0))
    assert former() is None


@pytest.mark.usefixtures("without_collector")
def test_a_pool_that_nobody_follows_is_free_at_once(make: Make) -> None:
    here, _ = make(max_conns=1)
    pools = [serving(here)]
    pools[0].end()
    last = weakref.ref(pools.pop())
    assert last() is None


TRIES = PassiveSpec(breaker=BreakerSpec(errors=50.0, minimum=1, open=10.0, trials=2))


def half_open(make: Make, **facts: Any) -> Fellows:
    """Backend a of two, in both workers; both know that its time is over."""
    fellows = make("ab", "first", passive=TRIES, **facts)
    here, there = fellows
    here.pool.backends[0].fail(1.0, "down")
    breaker = here.pool.backends[0].comeback.breaker
    assert breaker is not None and breaker.since is not None
    there.pool.backends[0].follow(breaker.phase, "down", breaker.since, breaker.until)
    for fellow in fellows:
        assert fellow.pool.select(CHOICE, 2.0) is fellow.pool.backends[1]
    return fellows


def begin(pool: Pool, now: float = 20.0) -> tuple[Any, Any]:
    backend = claim(pool, now)
    return backend, backend.acquire()


@pytest.mark.parametrize("facts", [{}, {"max_conns": 50}])
def test_trials_of_all_workers_are_as_many_as_one_has(make: Make, facts: dict[str, int]) -> None:
    here, there = half_open(make, **facts)
    first, one = begin(here.pool)
    second, two = begin(there.pool)
    assert first.key == second.key == here.pool.backends[0].key and one is not None and two is not None
    for fellow in (here, there):
        backend, trial = begin(fellow.pool)
        assert backend is fellow.pool.backends[1] and trial is None
    first.release()
    first.abandon(one, 20.0)
    backend, trial = begin(there.pool)
    assert backend is second and trial is two, "there is room again, and the other worker sees it"


@pytest.mark.parametrize("facts", [{}, {"max_conns": 50}])
def test_who_lost_the_race_for_a_trial_takes_another(make: Make, facts: dict[str, int]) -> None:
    here, there = half_open(make, **facts)
    for fellow in (here, there):
        assert fellow.pool.select(CHOICE, 20.0) is fellow.pool.backends[0]
    for _ in range(2):
        assert begin(there.pool)[0] is there.pool.backends[0]
    assert here.pool.backends[0].is_usable, "it has not looked"
    assert begin(here.pool) == (here.pool.backends[1], None)


def test_a_trial_that_finds_no_place_is_none(make: Make) -> None:
    here, there = half_open(make, max_conns=1)
    backend = here.pool.select(CHOICE, 20.0)
    assert backend is here.pool.backends[0] and begin(there.pool)[0] is there.pool.backends[0]
    there.pool.backends[0].comeback.trials.end(Result.UNDECIDED)
    assert not backend.claim() and backend.comeback.trials is not None
    assert (backend.comeback.trials.running, backend.comeback.trials.has_room) == (0, True)
    assert backend.is_full, "now it knows"


def test_with_panic_what_is_full_of_trials_is_tried_all_the_same(make: Make) -> None:
    fellows = make("a", "first", passive=replace(TRIES, panic=True))
    for fellow in fellows:
        fellow.pool.backends[0].fail(1.0, "down")
    for _ in range(3):
        for fellow in fellows:
            assert begin(fellow.pool)[0] is fellow.pool.backends[0]


def test_what_is_not_tried_any_more_is_not_looked_at(make: Make) -> None:
    here, _ = half_open(make)
    claim(here.pool, 20.0)
    assert list(here.pool.backends[0]._watch.trying) == [here.pool.backends[0]]
    here.pool.backends[0].follow(Phase.CLOSED, "2 of 2", 21.0, None)
    assert not here.pool.backends[0]._watch.trying
