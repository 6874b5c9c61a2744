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
from posthouse.config.queue_spec import QueueSpec
from posthouse.config.specs import PoolSpec
from posthouse.errors import FailureKind
from unit.balance.samples import pool_spec
from unit.server.fellows import Fellows

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
        policy=st.sampled_from(["round_robin", "least_conn", "random_choose", "first", "ewma"]),
        limits=st.lists(st.sampled_from([None, 0, 1, 2]), min_size=3, max_size=3),
        max_conns=st.integers(1, 3),
        size=st.integers(0, 5),
    )
    def begin(self, hosts: str, policy: str, limits: list[int | None], max_conns: int, size: int) -> None:
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

    @rule(data=st.data(), state=st.sampled_from([State.UP, State.DOWN]))
    def health_changes(self, data: st.DataObject, state: State) -> None:
        place = data.draw(st.integers(0, len(self.group.spec.endpoints) - 1))
        for fellow in self.group:
            fellow.pool.backends[place].believe(state)
        for fellow in self.group:  # a new one has not heard what was said before it came
            for backend, known in zip(fellow.pool.backends, self.group[0].pool.backends, strict=True):
                backend.believe(known.state)

    @rule(limits=st.lists(st.sampled_from([None, 1, 2, 3]), min_size=3, max_size=3))
    def reload(self, limits: list[int | None]) -> None:
        """Only with nobody there: a limit that falls below what is held is passed by what is held."""
        if self.group.holding() or self.group.waiting():
            return
        self.group.spec = limited(self.group.spec, limits)
        for fellow in self.group:
            fellow.build(self.group.spec, fellow.pool)

    @rule()
    def everything_is_delivered(self) -> None:
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
TestGroup.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
