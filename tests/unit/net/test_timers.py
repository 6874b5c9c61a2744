"""Deadlines: never early, at most one TICK late, gone when forgotten, and the wheel itself costs one call."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from posthouse.net.timers import NEVER, TICK, Timers
from unit.net.wire import FakeLoop

LATE = TICK + 0.0011
"""The wheel never asks for less than a millisecond."""


class Sleeper:
    """Something with a deadline, which remembers when it was called."""

    def __init__(self) -> None:
        self.deadline = NEVER
        self.bucket = 0
        self.wake = NEVER
        self.woken: list[float] = []

    def on_deadline(self, now: float) -> None:
        assert self.deadline == NEVER
        self.woken.append(now)


class Wheel:
    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.timers = Timers(self.loop, self.loop.time)

    def sleeper(self, seconds: float) -> Sleeper:
        sleeper = Sleeper()
        self.timers.set(sleeper, self.loop.now + seconds)
        return sleeper


@pytest.fixture
def wheel() -> Wheel:
    return Wheel()


@pytest.mark.parametrize(
    "seconds", [0.0, 0.001, TICK / 2, TICK, TICK * 3, 0.123456, 1.0, 10.0, 300.0, 86_400.0]
)
@pytest.mark.parametrize("start", [0.0, 0.0123, 0.049999])
def test_in_time(wheel: Wheel, seconds: float, start: float) -> None:
    wheel.loop.advance(start)
    due = wheel.loop.now + seconds
    sleeper = wheel.sleeper(seconds)
    wheel.loop.advance(seconds + LATE)
    (woken,) = sleeper.woken
    assert due <= woken <= due + LATE


def test_not_a_moment_early(wheel: Wheel) -> None:
    sleeper = wheel.sleeper(10.0)
    wheel.loop.advance(9.999)
    assert not sleeper.woken


def test_called_once(wheel: Wheel) -> None:
    sleeper = wheel.sleeper(1.0)
    wheel.loop.advance(100.0)
    assert len(sleeper.woken) == 1
    assert sleeper.deadline == NEVER


def test_moved_later_by_hand(wheel: Wheel) -> None:
    """The quick way: the attribute alone, since the bucket comes first anyway."""
    sleeper = wheel.sleeper(1.0)
    for _ in range(20):
        wheel.loop.advance(0.9)
        sleeper.deadline = wheel.loop.now + 1.0
        assert not sleeper.woken
    due = sleeper.deadline
    wheel.loop.advance(2.0)
    (woken,) = sleeper.woken
    assert due <= woken <= due + LATE


def test_moved_earlier(wheel: Wheel) -> None:
    sleeper = wheel.sleeper(300.0)
    wheel.timers.set(sleeper, wheel.loop.now + 1.0)
    wheel.loop.advance(1.0 + LATE)
    assert len(sleeper.woken) == 1
    wheel.loop.advance(400.0)
    assert len(sleeper.woken) == 1


def test_called_off_by_hand(wheel: Wheel) -> None:
    """NEVER by the quick way; and a deadline set again afterwards is kept."""
    sleeper = wheel.sleeper(1.0)
    sleeper.deadline = NEVER
    wheel.loop.advance(10.0)
    assert not sleeper.woken
    wheel.timers.set(sleeper, wheel.loop.now + 1.0)
    wheel.loop.advance(1.0 + LATE)
    assert len(sleeper.woken) == 1


def test_never_needs_no_bucket(wheel: Wheel) -> None:
    wheel.timers.set(sleeper := Sleeper(), NEVER)
    assert (sleeper.bucket, wheel.loop.waiting) == (0, 0)


def test_forgotten(wheel: Wheel) -> None:
    kept, gone = wheel.sleeper(1.0), wheel.sleeper(1.0)
    wheel.timers.forget(gone)
    wheel.timers.forget(gone)
    assert not any(gone in bucket for bucket in wheel.timers._buckets.values())
    wheel.loop.advance(2.0)
    assert (len(kept.woken), gone.woken) == (1, [])


def test_what_is_forgotten_leaves_nothing_behind(wheel: Wheel) -> None:
    """A bucket of an hour hence must not wait for its hour: twenty a second would be made by tunnels that end."""
    kept = wheel.sleeper(3600.0)
    for _ in range(1000):
        wheel.loop.advance(TICK)
        wheel.timers.forget(wheel.sleeper(3600.0))
        wheel.timers.set(kept, wheel.loop.now + 3600.0)
    moved = wheel.sleeper(7200.0)
    wheel.timers.set(moved, wheel.loop.now + 1.0)
    assert sum(len(bucket) for bucket in wheel.timers._buckets.values()) == len(wheel.timers._buckets) == 2
    wheel.loop.advance(7200.0)
    assert (len(kept.woken), len(moved.woken), wheel.timers._buckets) == (1, 1, {})


def test_set_to_the_past_during_a_tick_is_due_at_the_next(wheel: Wheel) -> None:
    class Late(Sleeper):
        def on_deadline(self, now: float) -> None:
            super().on_deadline(now)
            wheel.timers.set(other, now - TICK)

    other = Sleeper()
    sleepers = [Late(), Sleeper()]
    for sleeper in sleepers:
        wheel.timers.set(sleeper, wheel.loop.now + 1.0)
    wheel.loop.advance(1.0 + LATE + LATE)
    assert [len(sleeper.woken) for sleeper in (*sleepers, other)] == [1, 1, 1]


def test_forgotten_by_a_neighbour_in_the_same_tick(wheel: Wheel) -> None:
    """One deadline may end another connection whose deadline is due at the same time."""

    class Ender(Sleeper):
        def on_deadline(self, now: float) -> None:
            super().on_deadline(now)
            for sleeper in neighbours:
                wheel.timers.forget(sleeper)

    neighbours: list[Sleeper] = [Ender() for _ in range(8)]
    for sleeper in neighbours:
        wheel.timers.set(sleeper, wheel.loop.now + 1.0)
    wheel.loop.advance(2.0)
    assert sum(len(sleeper.woken) for sleeper in neighbours) == 1


def test_set_again_by_its_own_call(wheel: Wheel) -> None:
    class Again(Sleeper):
        def on_deadline(self, now: float) -> None:
            super().on_deadline(now)
            wheel.timers.set(self, now + 0.1)

    wheel.timers.set(sleeper := Again(), wheel.loop.now + 0.1)
    start = wheel.loop.now
    wheel.loop.advance(10.0)
    assert len(sleeper.woken) >= 10.0 / (0.1 + LATE) - 1
    assert sleeper.woken == sorted(sleeper.woken)
    assert sleeper.woken[0] >= start + 0.1


def test_deadlines_in_the_past_are_due_at_the_next_tick(wheel: Wheel) -> None:
    sleeper = wheel.sleeper(-5.0)
    wheel.loop.advance(LATE)
    assert len(sleeper.woken) == 1


def test_the_wheel_stands_on_one_call(wheel: Wheel) -> None:
    """Whatever is set, moved and due: the loop is asked for one call at a time, and for none when nothing waits."""
    idle = wheel.sleeper(3600.0)
    for i in range(100):
        wheel.sleeper(10.0)
        if i % 3 == 0:
            wheel.sleeper(1.0)
        assert wheel.loop.waiting == 1
        wheel.loop.advance(11.0)
        assert wheel.loop.waiting == 1
    wheel.loop.advance(3600.0)
    assert len(idle.woken) == 1
    assert (wheel.loop.waiting, wheel.timers._buckets) == (0, {})


def test_a_loop_that_comes_late(wheel: Wheel) -> None:
    """After a long turn of the loop everything due is called at once, in the order of the deadlines."""
    order: list[int] = []

    class Numbered(Sleeper):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

        def on_deadline(self, now: float) -> None:
            order.append(self.number)

    for number in (3, 1, 2, 5, 4):
        wheel.timers.set(Numbered(number), wheel.loop.now + number)
    late = wheel.loop.now + 100.0
    wheel.timers._clock = lambda: late
    wheel.loop.advance(1.1)
    assert order == [1, 2, 3, 4, 5]


def test_many_deadlines_in_one_bucket(wheel: Wheel) -> None:
    sleepers = [wheel.sleeper(5.0) for _ in range(1000)]
    assert wheel.loop.waiting == 1
    wheel.loop.advance(5.0 + LATE)
    assert all(len(sleeper.woken) == 1 for sleeper in sleepers)


SECONDS = st.floats(0.0, 20.0, allow_nan=False)


class AnyUse(RuleBasedStateMachine):
    """Deadlines set, moved, called off and forgotten in any order, against what was promised."""

    sleepers = Bundle("sleepers")

    @initialize()
    def start(self) -> None:
        self.wheel = Wheel()
        self.promised: dict[Sleeper, float] = {}
        self.seen: dict[Sleeper, int] = {}

    @rule(target=sleepers, seconds=SECONDS)
    def new(self, seconds: float) -> Sleeper:
        sleeper = self.wheel.sleeper(seconds)
        self.promised[sleeper] = sleeper.deadline
        self.seen[sleeper] = 0
        return sleeper

    @rule(sleeper=sleepers, seconds=SECONDS)
    def set(self, sleeper: Sleeper, seconds: float) -> None:
        self.promised[sleeper] = self.wheel.loop.now + seconds
        self.wheel.timers.set(sleeper, self.promised[sleeper])

    @rule(sleeper=sleepers, seconds=SECONDS)
    def move_by_hand(self, sleeper: Sleeper, seconds: float) -> None:
        """As connections do it."""
        self.promised[sleeper] = sleeper.deadline = deadline = self.wheel.loop.now + seconds
        if deadline < sleeper.wake:
            self.wheel.timers.put(sleeper)

    @rule(sleeper=sleepers)
    def call_off_by_hand(self, sleeper: Sleeper) -> None:
        sleeper.deadline = self.promised[sleeper] = NEVER

    @rule(sleeper=sleepers)
    def forget(self, sleeper: Sleeper) -> None:
        self.wheel.timers.forget(sleeper)
        self.promised[sleeper] = NEVER
        assert not any(sleeper in bucket for bucket in self.wheel.timers._buckets.values())

    @rule(seconds=SECONDS)
    def advance(self, seconds: float) -> None:
        self.wheel.loop.advance(seconds)
        now = self.wheel.loop.now
        for sleeper, due in self.promised.items():
            if len(sleeper.woken) > self.seen[sleeper]:
                assert len(sleeper.woken) == self.seen[sleeper] + 1
                assert due <= sleeper.woken[-1] <= max(due, now - seconds) + LATE
                self.seen[sleeper] += 1
                self.promised[sleeper] = NEVER
            else:
                assert due > now - LATE

    @invariant()
    def one_call(self) -> None:
        assert self.wheel.loop.waiting <= 1

    @invariant()
    def no_empty_bucket(self) -> None:
        assert all(self.wheel.timers._buckets.values())


TestAnyUse = AnyUse.TestCase
TestAnyUse.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)


class Broken(Sleeper):
    """Its deadline raises."""

    def on_deadline(self, now: float) -> None:
        raise ValueError("on purpose")


def test_a_deadline_that_raises_takes_no_other_with_it(wheel: Wheel) -> None:
    sleepers = [wheel.sleeper(1.0) for _ in range(20)]
    wheel.timers.set(Broken(), wheel.loop.now + 1.0)
    sleepers += [wheel.sleeper(2.0) for _ in range(5)]
    with pytest.raises(ValueError, match="on purpose"):
        wheel.loop.advance(1.5)
    wheel.loop.advance(2.0)
    assert all(len(sleeper.woken) == 1 for sleeper in sleepers)
    late = wheel.sleeper(1.0)
    wheel.loop.advance(1.5)
    assert late.woken
