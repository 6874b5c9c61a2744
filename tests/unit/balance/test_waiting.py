"""The queue of a pool: fair, exact, and nobody is forgotten."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from posthouse.balance.active_health import State
from posthouse.balance.backend import Backend
from posthouse.balance.health import NEVER
from posthouse.balance.pool import Pool
from posthouse.config.queue_spec import QueueSpec
from posthouse.config.specs import BreakerSpec, PassiveSpec
from posthouse.errors import FailureKind
from unit.balance.samples import Request, make_pool, pool_spec

FORGETS = PassiveSpec(fail_timeout=10.0)
ASKS = Request()


class Clock:
    now = 0.0


class Guest:
    """A waiter as the law has it: takes what it can, knows when it must look again."""

    is_passed = False

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self.pool = pool
        self.since = clock.now
        self.clock = clock
        self.backend: Backend | None = None
        self.is_told_no = False
        self.looks_at = NEVER

    def take(self) -> bool:
        now = self.clock.now
        self.backend = self.pool.select(ASKS, now)
        if self.backend is not None:
            self.pool.acquire(self.backend)
            return True
        self.is_told_no = self.pool.why_not(now) is not FailureKind.FULL
        self.looks_at = self.pool.changes_at
        return self.is_told_no

    def wait(self) -> Guest:
        assert self.pool.select(ASKS, self.clock.now) is None
        self.pool.queue.join(self)
        self.looks_at = self.pool.changes_at
        return self


def full_pool(hosts: str = "a", *, previous: Pool | None = None, passive: PassiveSpec = FORGETS) -> Pool:
    pool = make_pool(pool_spec(hosts, max_conns=1, passive=passive), previous=previous)
    for backend in pool.backends:
        if not backend.is_full:
            pool.acquire(backend)
    return pool


def test_who_came_first_is_served_first() -> None:
    pool, clock = full_pool(), Clock()
    (backend,) = pool.backends
    guests = [Guest(pool, clock).wait() for _ in range(3)]
    assert len(pool.queue) == 3 and pool.queue.first() is guests[0]
    for number in range(3):
        pool.release(backend)
        assert [guest.backend for guest in guests] == [backend] * (number + 1) + [None] * (2 - number)
        assert backend.in_flight == 1, "taken in the same breath"
    assert len(pool.queue) == 0 and pool.queue.first() is None
    pool.release(backend)
    assert backend.in_flight == 0


def test_who_leaves_is_not_asked() -> None:
    pool, clock = full_pool(), Clock()
    first, second = Guest(pool, clock).wait(), Guest(pool, clock).wait()
    pool.queue.leave(first)
    pool.release(pool.backends[0])
    assert (first.backend, second.backend) == (None, pool.backends[0])
    with pytest.raises(KeyError):
        pool.queue.leave(second)


def test_several_are_served_when_several_are_free() -> None:
    pool, clock = full_pool("abc"), Clock()
    guests = [Guest(pool, clock).wait() for _ in range(4)]
    make_pool(pool_spec("abc", max_conns=2), previous=pool)
    assert [guest.backend is not None for guest in guests] == [True, True, True, False]
    assert [backend.in_flight for backend in pool.backends] == [2, 2, 2]


def test_a_mark_that_falls_is_looked_for() -> None:
    pool, clock = full_pool("ab"), Clock()
    full, broken = pool.backends
    guest = Guest(pool, clock).wait()
    assert guest.looks_at == NEVER
    pool.fail(broken, 0.0)
    pool.release(broken)
    assert guest.backend is None and guest.looks_at == 10.0, "it is told of the mark, though nothing is free"
    clock.now = 10.0
    pool.queue.wake()
    assert guest.backend is broken and full.is_full


def test_who_is_first_from_now_on_learns_of_the_mark() -> None:
    pool, clock = full_pool("ab"), Clock()
    first, second = Guest(pool, clock).wait(), Guest(pool, clock).wait()
    pool.fail(pool.backends[1], 0.0)
    pool.release(pool.backends[1])
    assert (first.looks_at, second.looks_at) == (10.0, NEVER), "only who is first is asked"
    pool.queue.leave(first)
    assert second.looks_at == 10.0


def test_when_nothing_is_left_to_wait_for_everybody_is_told() -> None:
    pool, clock = full_pool(), Clock()
    guests = [Guest(pool, clock).wait() for _ in range(2)]
    pool.backends[0].believe(State.DOWN)
    assert [guest.is_told_no for guest in guests] == [True, True]


def test_somebody_new_who_finds_a_fallen_mark_is_behind_who_waits() -> None:
    """Nothing told the queue that the time has come: whoever looks first serves the others before."""
    pool, clock = full_pool("ab"), Clock()
    pool.fail(pool.backends[1], 0.0)
    pool.release(pool.backends[1])
    guest = Guest(pool, clock).wait()
    clock.now = 11.0
    assert pool.select(ASKS, 11.0) is None
    assert guest.backend is pool.backends[1]


def test_a_reload_keeps_the_order() -> None:
    old, clock = full_pool("ab"), Clock()
    a, b = old.backends
    first, second = Guest(old, clock).wait(), Guest(old, clock).wait()
    new = make_pool(pool_spec("ac", max_conns=1), previous=old)
    assert new.queue is old.queue
    new.acquire(new.backends[1])
    third = Guest(new, clock).wait()
    new.release(new.backends[1])
    assert third.backend is new.backends[1], "those before it know no such backend"
    fourth = Guest(new, clock).wait()
    old.release(a)
    assert (first.backend, second.backend, fourth.backend) == (a, None, None)
    old.release(b)
    assert (second.backend, fourth.backend) == (b, None)
    old.release(a)
    assert fourth.backend is a and len(new.queue) == 0


def test_a_full_queue_takes_nobody() -> None:
    pool = make_pool(pool_spec("a", max_conns=1, queue=QueueSpec(2, 1.0)))
    pool.acquire(pool.backends[0])
    clock = Clock()
    explained = []
    for _ in range(2):
        assert pool.can_queue()
        explained.append(pool.explain(FailureKind.FULL))
        Guest(pool, clock).wait()
    assert not pool.can_queue()
    assert set(explained) == {"every backend that is up is at max_conns"}
    assert pool.explain(FailureKind.FULL) == "every backend that is up is at max_conns, and 2 wait already"
    assert not make_pool(pool_spec("a", max_conns=1, queue=QueueSpec(0))).can_queue()
    assert repr(pool.queue) == "<Queue of 2>"


def test_nobody_is_told_while_nobody_waits() -> None:
    pool, clock = full_pool(), Clock()
    watch = pool._watch
    assert watch.on_change is None
    guest = Guest(pool, clock).wait()
    assert watch.on_change is not None
    pool.queue.leave(guest)
    assert watch.on_change is None


class Waiting(RuleBasedStateMachine):
    """Guests of a pool and of the pools that it was before; backends that fail, come back, and change their limits."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.waiting: list[Guest] = []
        self.held: list[tuple[Pool, Backend]] = []

    @initialize(hosts=st.sampled_from(["a", "ab", "abc"]), max_conns=st.integers(1, 2))
    def begin(self, hosts: str, max_conns: int) -> None:
        self.pool = make_pool(pool_spec(hosts, max_conns=max_conns, passive=FORGETS))

    @rule()
    def comes(self) -> None:
        guest = Guest(self.pool, self.clock)
        before = list(self.waiting)
        if guest.take():
            if guest.backend is not None:
                self.held.append((guest.pool, guest.backend))
        else:
            guest.wait()
            before.append(guest)
        self.waiting = before

    @precondition(lambda self: self.held)
    @rule(data=st.data(), has_failed=st.booleans())
    def ends(self, data: st.DataObject, has_failed: bool) -> None:
        pool, backend = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        if has_failed:
            pool.fail(backend, self.clock.now)
        pool.release(backend)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def hangs_up(self, data: st.DataObject) -> None:
        guest = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(guest)
        self.pool.queue.leave(guest)

    @rule(data=st.data(), state=st.sampled_from(State))
    def is_probed(self, data: st.DataObject, state: State) -> None:
        data.draw(st.sampled_from(self.pool.backends)).believe(state)

    @rule(seconds=st.sampled_from([0.5, 4.0, 10.0]))
    def time_passes(self, seconds: float) -> None:
        """As the waiters' timers have it: each looks when it said it would."""
        end = self.clock.now + seconds
        while (due := min((guest.looks_at for guest in self.waiting), default=NEVER)) <= end:
            self.clock.now = max(self.clock.now, due)
            for guest in self.waiting:
                if guest.looks_at <= self.clock.now:
                    guest.looks_at = NEVER
            self.pool.queue.wake()
            self.settle()
        self.clock.now = end

    @rule(hosts=st.sampled_from(["a", "ab", "bc", "c"]), max_conns=st.integers(0, 2))
    def reloads(self, hosts: str, max_conns: int) -> None:
        self.pool = make_pool(pool_spec(hosts, max_conns=max_conns, passive=FORGETS), previous=self.pool)

    def settle(self) -> None:
        """What has become of those who waited; per pool, nobody was served before who came before."""
        passed: set[Pool] = set()
        still = []
        for guest in self.waiting:
            if guest.backend is None and not guest.is_told_no:
                still.append(guest)
                passed.add(guest.pool)
            else:
                assert guest.pool not in passed, "somebody was passed over"
                if guest.backend is not None:
                    self.held.append((guest.pool, guest.backend))
        self.waiting = still

    @invariant()
    def the_laws_hold(self) -> None:
        if not hasattr(self, "pool"):
            return
        self.settle()
        assert len(self.pool.queue) == len(self.waiting), "somebody was forgotten"
        assert self.pool.queue.first() is (self.waiting[0] if self.waiting else None)
        counts = Counter(backend for _, backend in self.held)
        assert all(backend.in_flight == count for backend, count in counts.items())
        heads = {guest.pool: guest for guest in reversed(self.waiting)}
        for pool, guest in heads.items():
            usable = [one for one in pool.backends if one.is_usable]
            assert not usable, f"{guest!r} waits while {usable!r} is free"
            assert guest.looks_at <= pool.changes_at, "a mark will fall and nobody looks"
            assert pool.why_not(self.clock.now) is FailureKind.FULL, "there is nothing to wait for"

    @rule()
    def a_limit_holds(self) -> None:
        for backend in self.pool.backends:
            held = backend.in_flight
            if backend.is_full:
                with pytest.raises(RuntimeError):
                    backend.acquire()
            assert backend.in_flight == held


Waiting.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
test_in_any_order = Waiting.TestCase


def test_those_who_wait_choose_from_new_members() -> None:
    pool, clock = full_pool("a"), Clock()
    guests = [Guest(pool, clock).wait() for _ in range(3)]
    grown = make_pool(pool_spec("ab", max_conns=1, passive=FORGETS), previous=pool)
    late = Guest(grown, clock)
    assert grown.queue is pool.queue and len(pool.queue) == 3
    grown.queue.hand_over(pool, grown)
    assert [guest.backend for guest in guests] == [grown.backends[1], None, None]
    assert {guest.pool for guest in guests[1:]} == {grown}
    late.wait()
    grown.release(grown.backends[1])
    assert (guests[1].backend, late.backend) == (grown.backends[1], None)
    grown.queue.hand_over(pool, grown)  # nobody is left who waits for it
    assert len(grown.queue) == 2


def test_places_are_kept_in_both_lines() -> None:
    pool, clock = full_pool("a"), Clock()
    first = Guest(pool, clock).wait()
    grown = make_pool(pool_spec("a", max_conns=1, passive=FORGETS), previous=pool)
    second = Guest(grown, clock).wait()
    third = Guest(pool, clock).wait()
    grown.queue.hand_over(pool, grown)
    order = []
    for _ in range(3):
        grown.release(grown.backends[0])
        order.append([guest.backend is not None for guest in (first, second, third)])
    assert order == [[True, False, False], [True, True, False], [True, True, True]]


def test_who_may_only_be_passed_is_passed() -> None:
    """Sessions of a draining backend: nobody else can have it."""
    pool, clock = full_pool("ab"), Clock()
    a, b = pool.backends

    class WithSession(Guest):
        def take(self) -> bool:
            if a.is_full:
                return False
            self.backend = a
            self.pool.acquire(a)
            return True

    first = Guest(pool, clock).wait()
    behind = WithSession(pool, clock).wait()
    a.believe(State.DRAINING)
    pool.release(a)
    assert behind.backend is None, "the first says that it is not passed"
    pool.acquire(a)
    first.is_passed = True
    pool.release(a)
    assert [first.backend, behind.backend] == [None, a]
    assert len(pool.queue) == 1
    pool.release(b)
    assert first.backend is b


def test_one_that_may_not_be_left_out_is_waited_for() -> None:
    """`max_ejected`: as many failures as with one that is left out, but only full."""
    passive = PassiveSpec(fail_timeout=10.0, max_ejected=50)
    pool = full_pool("ab", passive=passive)
    for backend in pool.backends:
        pool.fail(backend, 0.0)
    assert pool.select(ASKS, 0.0) is None
    assert pool.why_not(0.0) is FailureKind.FULL
    clock = Clock()
    guest = Guest(pool, clock).wait()
    pool.release(pool.backends[0])
    assert guest.backend is None, "that is the one that is left out"
    pool.release(pool.backends[1])
    assert guest.backend is pool.backends[1]


def test_with_panic_a_full_pool_is_waited_for() -> None:
    pool = full_pool("ab", passive=PassiveSpec(fail_timeout=10.0, panic=True))
    for backend in pool.backends:
        pool.fail(backend, 0.0)
    assert pool.why_not(0.0) is FailureKind.FULL
    guest = Guest(pool, Clock()).wait()
    pool.release(pool.backends[0])
    assert guest.backend is pool.backends[0]
    pool.backends[1].believe(State.DRAINING)
    pool.release(pool.backends[0])
    pool.backends[0].believe(State.DRAINING)
    assert pool.select(ASKS, 0.0) is None
    assert pool.why_not(0.0) is FailureKind.NO_BACKEND


def test_who_comes_back_alone_gets_one_of_those_who_wait() -> None:
    """A breaker's trial is waited for, as it is at the only place; meanwhile the mark of the other one falls."""
    breaker = BreakerSpec(minimum=2, open=5.0, trials=2)
    spec = pool_spec("ab", passive=PassiveSpec(fail_timeout=1.0, breaker=breaker))
    spec = replace(spec, endpoints=(replace(spec.endpoints[0], max_conns=1), spec.endpoints[1]))
    pool, clock = make_pool(spec), Clock()
    a, b = pool.backends
    for _ in range(2):
        a.succeed(0.0, 0.1, None, "answered 500")
    pool.fail(b, 4.5)
    clock.now = 5.0
    assert pool.select(ASKS, clock.now) is a
    assert pool.acquire(a) is not None
    guests = [Guest(pool, clock).wait() for _ in range(3)]
    clock.now = 5.6
    assert pool.select(ASKS, clock.now) is None
    assert [guest.backend for guest in guests] == [b, None, None]
    assert b.in_flight == 1
