"""The tally against a count: the least loaded usable one, whatever happens to the others."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from posthouse.balance.active_health import State
from posthouse.balance.backend import Backend
from posthouse.balance.policies.least_conn import LeastConn
from posthouse.balance.tally import COUNT_ABOVE, Tally
from unit.balance.samples import Request, make_pool, pool_spec

MANY = [f"b{number}" for number in range(COUNT_ABOVE + 1)]


class TallyMachine(RuleBasedStateMachine):
    """A large pool with few backends in play."""

    @initialize(weights=st.lists(st.integers(1, 9), max_size=8), fallbacks=st.integers(0, len(MANY)))
    def build(self, weights: list[int], fallbacks: int) -> None:
        spec = pool_spec(
            MANY, "least_conn", weights=weights, fallbacks=fallbacks, max_conns=3, slow_start=5.0
        )
        self.pool = make_pool(spec)
        self.now = 0.0
        self.held: list[Backend] = []

    @rule(number=st.integers(1, 40))
    def choose(self, number: int) -> None:
        for _ in range(number):
            backend = self.pool.select(Request(), self.now)
            usable = [one for one in self.pool.usable if one.is_usable]
            if backend is None:
                assert not usable
                return
            assert backend in usable
            loads = [one.in_flight / one.share for one in usable]
            assert backend.in_flight / backend.share == min(loads)
            self.pool.acquire(backend)
            self.held.append(backend)

    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        for _ in range(min(len(self.held), data.draw(st.integers(1, 9)))):
            self.pool.release(self.held.pop(data.draw(st.integers(0, len(self.held) - 1))))

    @rule(place=st.integers(0, len(MANY) - 1), state=st.sampled_from(list(State)))
    def believe(self, place: int, state: State) -> None:
        self.pool.backends[place].believe(state)

    @rule(pause=st.sampled_from([0.01, 1.0, 10.0]))
    def time_passes(self, pause: float) -> None:
        self.now += pause

    @invariant()
    def sums_agree(self) -> None:
        tally = self.pool._tally
        assert tally is not None
        roles = sorted({one.endpoint.role for one in self.pool.backends}, reverse=True)
        assert len(tally.held) == len(tally.shares) == len(roles)
        for tier, role in enumerate(roles):
            mine = [one for one in self.pool.backends if one.is_usable and one.endpoint.role == role]
            assert tally.held[tier] == sum(one.in_flight for one in mine)
            assert abs(tally.shares[tier] - sum(one.share for one in mine)) < 1e-6


TestTallyMachine = TallyMachine.TestCase
TestTallyMachine.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


def test_equals_are_as_likely_as_their_share() -> None:
    pool = make_pool(pool_spec(MANY, "least_conn", weights=[9] * 5))
    counts = Counter(pool.select(Request(), 0.0) for _ in range(4000))
    heavy = sum(counts[backend] for backend in pool.backends[:5])
    assert 0.35 < heavy / 4000 < 0.49, "45 of 105, a little less because a draw that goes on too long ends"


def test_a_retry_gets_the_least_loaded_that_was_not_tried() -> None:
    pool = make_pool(pool_spec(MANY, "least_conn"))
    for backend in pool.backends[2:]:
        pool.acquire(backend)
    a, b, c, *_ = pool.backends
    assert pool.select(Request(), 0.0, [a]) is b
    for _ in range(20):
        third = pool.select(Request(), 0.0, [a, b, c])
        assert third not in (None, a, b, c)


def test_small_pools_and_other_policies_have_none() -> None:
    assert make_pool(pool_spec(MANY[:-1], "least_conn"))._tally is None
    assert make_pool(pool_spec(MANY, "random"))._tally is None


def test_after_a_reload_the_old_one_stands_still_and_the_old_pool_counts() -> None:
    old = make_pool(pool_spec(MANY, "least_conn"))
    new = make_pool(pool_spec(["new", *MANY], "least_conn"), previous=old)
    assert old._tally is not None and new._tally is not None
    assert (old._tally.is_live, new._tally.is_live) == (False, True)
    for backend in old.backends[1:]:
        new.acquire(backend)
    assert old.select(Request(), 0.0) is old.backends[0]
    assert new.select(Request(), 0.0) in (new.backends[0], old.backends[0])
    plain = make_pool(pool_spec(MANY, "random"), previous=new)
    assert not new._tally.is_live
    for backend in old.backends[1:]:
        plain.release(backend)
    assert [backend.in_flight for backend in old.backends] == [0] * len(MANY)


def test_levels_do_not_pile_up() -> None:
    """Each weight makes levels of its own, which nobody visits while somebody is idle."""
    pool = make_pool(pool_spec(MANY, "least_conn", weights=range(1, 60)))
    tally = pool._tally
    assert isinstance(tally, Tally)
    for backend in pool.backends[:59]:
        for _ in range(20):
            pool.acquire(backend)
        for _ in range(20):
            pool.release(backend)
    assert len(tally._heap) <= 2 * len(MANY) + 1
    assert repr(tally) == f"<Tally of {len(MANY)} backends, {len(MANY)} usable, held=[0]>"


def test_nobody_usable() -> None:
    pool = make_pool(pool_spec(MANY, "least_conn"))
    for backend in pool.backends:
        backend.is_up = False
    assert pool.select(Request(), 0.0) is None
    assert pool._tally is not None and pool._tally.least(random.random) is None
    assert isinstance(pool._pick.__self__, LeastConn)  # type: ignore[union-attr]
