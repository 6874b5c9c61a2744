"""Ejection: never more than the share, and first come, first out."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from posthouse.balance.ejection import Ejections, room


@dataclass(eq=False)
class Member:
    is_up: bool = True
    has_failed: bool = False
    is_barred: bool = False

    def bar(self, is_barred: bool) -> None:
        self.is_barred = is_barred


def out(members: list[Member]) -> list[int]:
    return [number for number, member in enumerate(members) if member.is_barred]


@pytest.mark.parametrize(
    ("members", "percent", "count"), [(3, 33, 0), (3, 34, 1), (3, 67, 2), (2, 50, 1), (10, 99, 9), (4, 0, 0)]
)
def test_rounded_down(members: int, percent: float, count: int) -> None:
    assert room(members, percent) == count


def test_who_failed_first_is_out_and_the_next_follows_when_it_comes_back() -> None:
    members = [Member() for _ in range(3)]
    ejections = Ejections(members, 34)
    for number in (2, 0):
        members[number].has_failed = True
        ejections.review()
    assert out(members) == [2]
    members[2].has_failed = False
    ejections.review()
    assert out(members) == [0]


def test_those_that_checks_have_taken_out_do_not_count() -> None:
    members = [Member() for _ in range(4)]
    ejections = Ejections(members, 50)
    for member in members[:3]:
        member.has_failed = True
    ejections.review()
    assert out(members) == [0, 1]
    members[0].is_up = members[1].is_up = False
    ejections.review()
    assert out(members) == [2], "half of the two that are up"


class EjectionMachine(RuleBasedStateMachine):
    """Health and failures come and go."""

    @initialize(count=st.integers(1, 6), percent=st.sampled_from([0.0, 25.0, 50.0, 99.0]))
    def build(self, count: int, percent: float) -> None:
        self.percent = percent
        self.members = [Member() for _ in range(count)]
        self.ejections = Ejections(self.members, percent)

    @rule(data=st.data(), has_failed=st.booleans(), is_up=st.booleans())
    def change(self, data: st.DataObject, has_failed: bool, is_up: bool) -> None:
        before = [one for one in self.members if one.is_barred]
        member = data.draw(st.sampled_from(self.members))
        ups = sum(one.is_up for one in self.members)
        member.has_failed, member.is_up = has_failed, is_up
        self.ejections.review()
        if sum(one.is_up for one in self.members) >= ups:
            for one in before:
                assert one.is_barred or one is member, "who is out stays out while there is room"

    @invariant()
    def the_share_is_kept_and_used(self) -> None:
        ups = [one for one in self.members if one.is_up]
        failed = [one for one in ups if one.has_failed]
        barred = [one for one in self.members if one.is_barred]
        assert len(barred) == min(len(failed), int(len(ups) * self.percent / 100))
        assert set(barred) <= set(failed)


TestEjectionMachine = EjectionMachine.TestCase
