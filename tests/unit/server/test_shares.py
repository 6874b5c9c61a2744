"""Several workers with one pool: the limit, the bound of the queue and its order hold for all of them together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from posthouse.balance.active_health import State
from posthouse.balance.seniority import PATIENCE_SECONDS
from posthouse.config.queue_spec import QueueSpec
from posthouse.config.specs import PolicySpec, PoolSpec
from posthouse.errors import FailureKind
from unit.balance.samples import pool_spec
from unit.server.fellows import Fellows

POLICY = st.sampled_from(["round_robin", "least_conn", "random_choose", "first", "ewma"])
ONE_EACH: dict[str, Any] = {"max_conns": 1, "queue": QueueSpec(10, None)}


@pytest.fixture
def make() -> Iterator[Any]:
    made: list[Fellows] = []

    def fellows(hosts: str = "a", count: int = 3, **facts: Any) -> Fellows:
        made.append(Fellows(pool_spec(hosts, **{**ONE_EACH, **facts}), count))
        return made[-1]

    yield fellows
    for one in made:
        one.close()


class Group(RuleBasedStateMachine):
    """Everything that may happen to workers with one pool, in any order, against a model that counts."""

    @initialize(
        hosts=st.sampled_from(["a", "ab", "abc"]),
        policy=POLICY,
        limits=st.lists(st.sampled_from([None, 0, 1, 2]), min_size=3, max_size=3),
        max_conns=st.integers(0, 3),
        size=st.integers(0, 5),
    )
    def begin(self, hosts: str, policy: str, limits: list[int | None], max_conns: int, size: int) -> None:
        self.beliefs: dict[int, State] = {}
        self.group = Fellows(
            limited(pool_spec(hosts, policy, max_conns=max_conns, queue=QueueSpec(size, None)), limits)
        )

    @rule(number=st.integers(0, 2))
    def comes(self, number: int) -> None:
        waiting = len(self.group.waiting())
        guest = self.group[number].comes()
        if guest.refused is FailureKind.FULL:
            assert waiting == self.group.spec.queue.size, "there was room to wait"

    @precondition(lambda self: self.group.holding() or self.group.waiting())
    @rule(data=st.data())
    def goes(self, data: st.DataObject) -> None:
        guests = [*self.group.holding(), *self.group.waiting()]
        guest = guests[data.draw(st.integers(0, len(guests) - 1))]
        guest.fellow.goes(guest)

    @rule(number=st.integers(0, 2))
    def hears(self, number: int) -> None:
        self.group[number].hears()

    @rule(number=st.integers(0, 2))
    def dies(self, number: int) -> None:
        self.group.dies(number)
        self.tell_beliefs()

    @rule(data=st.data(), state=st.sampled_from([State.UP, State.DOWN]))
    def health_changes(self, data: st.DataObject, state: State) -> None:
        self.beliefs[data.draw(st.integers(0, len(self.group.spec.endpoints) - 1))] = state
        self.tell_beliefs()

    def tell_beliefs(self) -> None:
        for fellow in self.group:
            for place, state in self.beliefs.items():
                if fellow.pool.backends[place].state is not state:
                    fellow.pool.backends[place].believe(state)

    @precondition(lambda self: self.group.holding())
    @rule(data=st.data())
    def tries_again(self, data: st.DataObject) -> None:
        """With the pool that it began with, though that serves no longer."""
        guests = self.group.holding()
        guests[data.draw(st.integers(0, len(guests) - 1))].comes_again()

    @rule(
        first=st.integers(0, 2),
        policy=POLICY,
        limits=st.lists(st.sampled_from([None, 0, 1, 2, 3]), min_size=3, max_size=3),
        max_conns=st.integers(0, 3),
    )
    def reload(self, first: int, policy: str, limits: list[int | None], max_conns: int) -> None:
        """Limits come and go, and whether the policy asks for load. What is held then counts at once; a limit that
        falls below it is passed by it. One worker serves the new pool before the others."""
        self.group.spec = limited(
            replace(self.group.spec, policy=PolicySpec(policy, ()), max_conns=max_conns), limits
        )
        self.commits(first)

    @rule(number=st.integers(0, 2))
    def commits(self, number: int) -> None:
        fellow = self.group[number]
        if fellow.pool.spec != self.group.spec:
            fellow.build(self.group.spec, fellow.pool)

    @rule()
    def everything_is_delivered(self) -> None:
        for number in range(3):
            self.commits(number)
        self.group.settle()
        if not self.group.waiting():
            return
        held = {backend.key: self.group.held(backend.key) for backend in self.group[0].pool.backends}
        for guest in self.group.waiting():
            for backend in guest.pool.backends:
                assert not backend.is_up or 0 < backend.max_conns <= held[backend.key], (
                    f"{backend} is free, and {guest}"
                )

    @invariant()
    def nobody_is_passed_over(self) -> None:
        assert not self.group.unfair

    @invariant()
    def the_block_is_true(self) -> None:
        group = self.group
        assert len(group.waiting()) <= group.spec.queue.size
        for backend in group[0].pool.backends:
            row = group.rows.all[(group.spec.name, *backend.key)]
            assert sum(group.block.row(row)) == group.held(backend.key)
        assert group[0].pool.queue.length == len(group.waiting())

    def teardown(self) -> None:
        if hasattr(self, "group"):
            self.group.close()


def limited(spec: PoolSpec, limits: list[int | None]) -> PoolSpec:
    """With limits of their own for some of its backends."""
    pairs = zip(spec.endpoints, limits, strict=False)
    return replace(spec, endpoints=tuple([replace(one, max_conns=limit) for one, limit in pairs]))


TestGroup = Group.TestCase
TestGroup.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


def test_what_is_not_known_is_not_shared(make: Any) -> None:
    """Members that were found, but that have no row yet: the limit is then this worker's own."""
    fellows = make("ab")
    shares = fellows[0].shares
    name = fellows.spec.name
    assert shares.group(name, [("http://a:80", 1)]) is not None
    assert shares.group(name, [("http://a:80", 1), ("http://c:80", 1)]) is None
    assert shares.group("other", [("http://a:80", 1)]) is None
    assert shares.group(name, []) is None


def test_one_that_never_hears_is_not_waited_for(make: Any) -> None:
    fellows = make("a")
    first = fellows[0].comes()
    deaf = fellows[1].comes()
    third = fellows[2].comes()
    assert deaf.is_waiting and third.is_waiting
    fellows[0].goes(first)
    assert fellows[2].hears() == 0, "only the oldest is woken"
    newcomer = fellows[0].comes()
    assert newcomer.is_waiting and newcomer.pool.changes_at == fellows.clock.now + PATIENCE_SECONDS
    fellows.clock.now += PATIENCE_SECONDS
    fellows[0].pool.queue.wake()  # which its timer does
    assert newcomer.is_waiting and fellows[2].hears() >= 1, "there is one before it"
    assert third.is_waiting, "who gives the deaf one its time too"
    fellows.clock.now += PATIENCE_SECONDS
    fellows[2].pool.queue.wake()
    assert third.backend is not None and newcomer.is_waiting
    fellows[2].goes(third)
    fellows[0].hears()
    assert newcomer.backend is not None, "for this one it need not wait again"
    fellows[0].goes(newcomer)
    fellows.settle()
    assert deaf.backend is not None, "it hears again"


def test_a_new_pool_goes_on_with_what_is_held_and_who_waits(make: Any) -> None:
    fellows = make("ab")
    held = [fellows[0].comes(), fellows[0].comes()]
    waits = fellows[1].comes()
    for fellow in fellows:
        fellow.build(replace(fellows.spec, endpoints=fellows.spec.endpoints[:1]), fellow.pool)
    assert fellows[2].comes().is_waiting, "one is full, the other gone"
    gone = next(guest for guest in held if guest.backend.key[0] == "http://b:80")
    fellows[0].goes(gone)
    fellows.settle()
    assert waits.backend is not None and waits.backend.key[0] == "http://b:80", "it began when that was there"


def test_freed_rows_are_forgotten(make: Any) -> None:
    fellows = make("ab")
    shares, name = fellows[0].shares, fellows.spec.name
    before = shares.group(name, [("http://a:80", 1)])
    shares.know({(name, "http://c:80", 1): 2}, fellows.rows.size, [(name, "http://a:80", 1)])
    assert shares.group(name, [("http://a:80", 1)]) is None
    after = shares.group(name, [("http://c:80", 1)])
    assert after.places[0] is not before.places[0] and after.line is before.line
