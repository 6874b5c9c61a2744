"""Workers count, die and are replaced; what the group has counted never falls, and nothing is counted twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from posthouse.observe.families import NO_ROUTE, REMOVED_SITE
from posthouse.observe.snapshot import Labels, Snapshot
from posthouse.observe.totals import Totals
from unit.observe.snapshots import counted

EXCHANGES = "posthouse_exchanges_total"
A: Labels = ("a", "/", "GET", "200", "")
B: Labels = ("b", "/", "GET", "200", "")


def of(count: int, born: int = 1, number: int = 0, labels: Labels = A, workers: int = 1) -> Snapshot:
    return Snapshot({EXCHANGES: {labels: count}, "posthouse_workers": {(): workers}}, born, number)


def test_the_living_are_summed() -> None:
    totals = Totals()
    totals.update(0, of(3))
    totals.update(1, of(4))
    totals.update(1, of(6, number=1))
    assert totals.sum().value(EXCHANGES, *A) == 9
    assert totals.sum().value("posthouse_workers") == 2


def test_the_dead_stay_in_the_sum_without_their_gauges() -> None:
    totals = Totals()
    totals.update(0, of(3))
    totals.update(1, of(4))
    totals.bury(1)
    totals.bury(1)
    totals.bury(7)
    assert totals.sum().value(EXCHANGES, *A) == 7
    assert totals.sum().value("posthouse_workers") == 1
    totals.update(1, of(0, born=2))
    totals.update(1, of(2, born=2, number=1))
    assert totals.sum().value(EXCHANGES, *A) == 9
    assert totals.sum().value("posthouse_workers") == 2


def test_a_successor_buries_the_one_before() -> None:
    totals = Totals()
    totals.update(0, of(5))
    totals.update(0, of(1, born=2))
    assert totals.sum().value(EXCHANGES, *A) == 6


def test_what_comes_too_late_is_dropped() -> None:
    totals = Totals()
    totals.update(0, of(5, number=4))
    totals.update(0, of(3, number=3))
    assert totals.sum().value(EXCHANGES, *A) == 5
    totals.bury(0)
    totals.update(0, of(6, number=5))
    assert totals.sum().value(EXCHANGES, *A) == 5
    totals.update(0, of(1, born=2))
    totals.update(0, of(7, number=9))
    assert totals.sum().value(EXCHANGES, *A) == 6


def test_sites_that_are_gone_from_the_base_become_one_row() -> None:
    totals = Totals()
    totals.update(0, of(5, labels=B))
    totals.update(1, of(2))
    totals.bury(0)
    totals.keep({"a"})
    assert totals.sum().rows[EXCHANGES] == {(REMOVED_SITE, NO_ROUTE, *B[2:]): 5, A: 2}


class Group(RuleBasedStateMachine):
    """Any order of counting, telling, dying, burying and being replaced."""

    @initialize()
    def begin(self) -> None:
        self.totals = Totals()
        self.clock = 0
        self.workers = [self.born() for _ in range(2)]
        self.told: dict[int, int] = {}
        """By birth: what the group knows of a worker."""
        self.before: dict[tuple[str, Labels], tuple[float, ...]] = {}
        self.sent: list[tuple[int, Snapshot]] = []

    def born(self) -> list[int]:
        self.clock += 1
        return [self.clock, 0, 0]

    @rule(slot=st.integers(0, 1), count=st.integers(0, 5))
    def work(self, slot: int, count: int) -> None:
        self.workers[slot][1] += count

    @rule(slot=st.integers(0, 1))
    def tell(self, slot: int) -> None:
        worker = self.workers[slot]
        worker[2] += 1
        born, count, number = worker
        snapshot = of(count, born, number)
        self.totals.update(slot, snapshot)
        self.sent.append((slot, snapshot))
        self.told[born] = count

    @rule(slot=st.integers(0, 1))
    def die(self, slot: int) -> None:
        self.totals.bury(slot)
        self.workers[slot] = self.born()

    @rule(slot=st.integers(0, 1))
    def be_replaced_unnoticed(self, slot: int) -> None:
        self.workers[slot] = self.born()

    @rule(data=st.data())
    def tell_again(self, data: st.DataObject) -> None:
        if self.sent:
            slot, snapshot = data.draw(st.sampled_from(self.sent))
            self.totals.update(slot, snapshot)

    @invariant()
    def nothing_falls(self) -> None:
        now = counted(self.totals.sum())
        assert all(now[key] >= numbers for key, numbers in self.before.items())
        self.before = now

    @invariant()
    def each_is_counted_once(self) -> None:
        assert self.totals.sum().value(EXCHANGES, *A) == sum(self.told.values())


TestGroup = Group.TestCase


@given(st.lists(st.integers(0, 9)))
def test_repr_tells_how_many_live(slots: list[int]) -> None:
    totals = Totals()
    for slot in slots:
        totals.update(slot, of(1))
    assert repr(totals) == f"<Totals living={len(set(slots))}>"
