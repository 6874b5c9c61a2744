"""Coming back: breakers and lone trials of backends and pools, with a clock in the test's hand."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from posthouse.balance.backend import Backend
from posthouse.balance.breaker import Phase
from posthouse.balance.comeback import TRIAL_SECONDS, Comeback
from posthouse.balance.pool import Pool
from posthouse.balance.trials import Trials
from posthouse.config.specs import BreakerSpec, PassiveSpec
from posthouse.errors import FailureKind
from posthouse.testing.check_policy import SampleChoice
from unit.balance.samples import Request, make_pool, pool_spec

A_SECOND = PassiveSpec(fail_timeout=1.0)
QUICK = PassiveSpec(breaker=BreakerSpec(minimum=2, open=5.0, trials=1))


def host(pool: Pool, now: float, *tried: Backend) -> str | None:
    backend = pool.select(Request(), now, tried)
    return None if backend is None else backend.endpoint.host


def hold(backend: Backend) -> Trials:
    trial = backend.acquire()
    assert trial is not None
    return trial


# --- the lone trial --------------------------------------------------------------------------------------


def test_where_all_were_out_one_goes_first() -> None:
    pool = make_pool(pool_spec("a", passive=A_SECOND))
    a = pool.backends[0]
    pool.fail(a, 0.0)
    assert host(pool, 0.999) is None
    assert host(pool, 1.0) == "a"
    trial = hold(a)
    assert host(pool, 1.1) is None, "the others wait for the first"
    assert pool.why_not(1.1) is FailureKind.NO_BACKEND
    assert "being tried again" in pool.explain(FailureKind.NO_BACKEND)
    assert pool.retry_after(1.1) is not None
    a.succeed(1.2, 0.1, trial)
    assert host(pool, 1.2) == "a"
    assert a.acquire() is None


def test_a_trial_that_fails_marks_it_again() -> None:
    pool = make_pool(pool_spec("a", passive=A_SECOND))
    a = pool.backends[0]
    pool.fail(a, 0.0)
    host(pool, 1.0)
    pool.fail(a, 1.1, "reset", hold(a))
    assert [host(pool, now) for now in (1.1, 2.05, 2.1)] == [None, None, "a"]


def test_a_client_that_leaves_makes_room_for_another() -> None:
    pool = make_pool(pool_spec("a", passive=A_SECOND))
    a = pool.backends[0]
    pool.fail(a, 0.0)
    host(pool, 1.0)
    a.abandon(hold(a), 1.1)
    assert host(pool, 1.1) == "a"
    hold(a)
    assert host(pool, 1.1) is None


def test_a_slow_trial_keeps_nobody_back_for_long() -> None:
    pool = make_pool(pool_spec("a", passive=A_SECOND))
    a = pool.backends[0]
    pool.fail(a, 0.0)
    host(pool, 1.0)
    hold(a)
    assert [host(pool, 1.0 + TRIAL_SECONDS - 0.01), host(pool, 1.0 + TRIAL_SECONDS)] == [None, "a"]


def test_where_another_lives_there_is_no_trial() -> None:
    pool = make_pool(pool_spec("ab", passive=A_SECOND))
    a = pool.backends[0]
    pool.fail(a, 0.0)
    assert [host(pool, 0.5), host(pool, 1.0)] == ["b", "a"]
    assert a.acquire() is None


def test_every_one_of_them_gets_its_own() -> None:
    pool = make_pool(pool_spec("ab", passive=A_SECOND))
    for backend in pool.backends:
        pool.fail(backend, 0.0)
    assert host(pool, 1.0) == "a"
    hold(pool.backends[0])
    assert host(pool, 1.0) == "b"
    hold(pool.backends[1])
    assert host(pool, 1.0) is None


# --- the breaker -----------------------------------------------------------------------------------------


def test_an_open_breaker_leaves_it_out_and_trials_bring_it_back() -> None:
    told: list[tuple[str, Phase, Phase]] = []
    pool = make_pool(pool_spec("ab", passive=QUICK))
    pool.tell(lambda backend, was: told.append((backend.name, was, phase(backend))))
    a = pool.backends[0]
    pool.fail(a, 0.0, "reset")
    assert host(pool, 0.0) == "a"
    pool.fail(a, 0.0, "reset")
    assert [host(pool, 0.0), host(pool, 4.99), host(pool, 5.0)] == ["b", "b", "a"]
    trial = hold(a)
    assert host(pool, 5.0) == "b", "one at a time"
    a.succeed(5.1, 0.1, trial)
    assert host(pool, 5.1) == "a"
    name = "http://a:80"
    assert told == [
        (name, Phase.CLOSED, Phase.OPEN),
        (name, Phase.OPEN, Phase.HALF_OPEN),
        (name, Phase.HALF_OPEN, Phase.CLOSED),
    ]


def phase(backend: Backend) -> Phase:
    assert backend.comeback.breaker is not None
    return backend.comeback.breaker.phase


def test_a_trial_that_is_an_error_opens_it_again() -> None:
    pool = make_pool(pool_spec("a", passive=QUICK))
    a = pool.backends[0]
    for _ in range(2):
        a.succeed(0.0, 0.1, None, "answered 500")
    assert host(pool, 0.0) is None
    assert pool.retry_after(0.0) == 5.0
    host(pool, 5.0)
    a.succeed(6.0, 0.1, hold(a), "answered 500")
    assert [host(pool, 10.99), host(pool, 11.0)] == [None, "a"]


def test_a_hanging_trial_is_replaced_and_its_end_counts_for_nothing() -> None:
    pool = make_pool(pool_spec("a", passive=QUICK))
    a = pool.backends[0]
    for _ in range(2):
        pool.fail(a, 0.0)
    host(pool, 5.0)
    old = hold(a)
    assert [host(pool, 9.9), host(pool, 10.0)] == [None, "a"]
    pool.fail(a, 10.1, "timeout", old)
    assert host(pool, 10.1) == "a" and phase(a) is Phase.HALF_OPEN


def test_a_breaker_stays_over_a_reload_unless_it_is_another() -> None:
    old = make_pool(pool_spec("a", passive=QUICK))
    for _ in range(2):
        old.fail(old.backends[0], 0.0)
    same = make_pool(pool_spec("ab", passive=QUICK), previous=old)
    assert host(same, 1.0) == "b"
    other = PassiveSpec(breaker=BreakerSpec(minimum=3))
    assert host(make_pool(pool_spec("ab", passive=other), previous=same), 1.0) == "a"
    assert host(make_pool(pool_spec("ab"), previous=same), 1.0) == "a"


def test_marks_and_breaker_both_have_to_go() -> None:
    both = PassiveSpec(fail_timeout=8.0, breaker=QUICK.breaker)
    pool = make_pool(pool_spec("ab", passive=both))
    a = pool.backends[0]
    for _ in range(2):
        pool.fail(a, 0.0)
    assert [host(pool, 5.0), host(pool, 7.9), host(pool, 8.0)] == ["b", "b", "a"]
    assert repr(Comeback()) == "<Comeback None lone=None>"


# --- max_ejected and panic -------------------------------------------------------------------------------


def test_no_more_are_out_than_may_be() -> None:
    pool = make_pool(pool_spec("abc", passive=PassiveSpec(fail_timeout=1.0, max_ejected=67)))
    a, b, c = pool.backends
    for backend in (a, b, c):
        pool.fail(backend, 0.0)
    assert host(pool, 0.0) == "c"
    a.is_up = False
    assert host(pool, 0.0, b) == "c" and host(pool, 0.0, c) == "c", "b is out, a is down"
    c.is_up = False
    assert host(pool, 0.0) == "b", "67% of the one that is left is none"


def test_panic_tries_those_that_are_out_or_down() -> None:
    calm = make_pool(pool_spec("ab", passive=A_SECOND))
    panicky = make_pool(pool_spec("ab", passive=PassiveSpec(fail_timeout=1.0, panic=True)))
    for pool in (calm, panicky):
        pool.fail(pool.backends[0], 0.0)
        pool.backends[1].is_up = False
    assert host(calm, 0.0) is None
    assert host(panicky, 0.0) == "a"
    assert host(panicky, 0.0, panicky.backends[0]) == "b"
    assert panicky.has_untried(0.0, (panicky.backends[0],)) and not calm.has_untried(0.0, ())
    panicky.backends[1].is_up = True
    assert host(panicky, 0.0, panicky.backends[0]) == "b" and host(panicky, 0.0) == "b", "b can be used again"


def test_panic_never_overfills() -> None:
    passive = PassiveSpec(fail_timeout=1.0, panic=True)
    pool = make_pool(pool_spec("a", max_conns=1, passive=passive))
    pool.fail(pool.backends[0], 0.0)
    pool.acquire(pool.backends[0])
    assert host(pool, 0.0) is None


# --- anything in any order -------------------------------------------------------------------------------


class ComebackMachine(RuleBasedStateMachine):
    """A pool with everything on, and exchanges that end in every way."""

    @initialize(
        hosts=st.integers(1, 4),
        fail_timeout=st.sampled_from([0.0, 1.0]),
        breaker=st.sampled_from([None, BreakerSpec(minimum=2, open=2.0, trials=2, window=4.0)]),
        max_ejected=st.sampled_from([50.0, 100.0]),
        panic=st.booleans(),
    )
    def build(
        self,
        hosts: int,
        fail_timeout: float,
        breaker: BreakerSpec | None,
        max_ejected: float,
        panic: bool,
    ) -> None:
        passive = PassiveSpec(fail_timeout, max_ejected=max_ejected, panic=panic, breaker=breaker)
        self.passive = passive
        self.now = 0.0
        self.pool = make_pool(pool_spec("abcd"[:hosts], "round_robin", max_conns=3, passive=passive))
        self.held: list[tuple[Backend, Trials | None]] = []

    @rule(number=st.integers(0, 100))
    def begin(self, number: int) -> None:
        backend = self.pool.select(SampleChoice(number), self.now)
        if backend is not None:
            self.held.append((backend, self.pool.acquire(backend)))

    @precondition(lambda self: self.held)
    @rule(how=st.sampled_from(["good", "error", "fault", "left"]), data=st.data())
    def end(self, how: str, data: st.DataObject) -> None:
        backend, trial = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        if how == "fault":
            self.pool.fail(backend, self.now, "x", trial)
        elif how != "left":
            backend.succeed(self.now, 0.1, trial, "answered 500" if how == "error" else "")
        elif trial is not None:
            backend.abandon(trial, self.now)
        self.pool.release(backend)

    @rule(data=st.data(), is_up=st.booleans())
    def probe(self, data: st.DataObject, is_up: bool) -> None:
        data.draw(st.sampled_from(self.pool.backends)).is_up = is_up

    @rule(pause=st.sampled_from([0.1, 0.9, 2.0, 9.0]))
    def time_passes(self, pause: float) -> None:
        self.now += pause

    @rule()
    def all_is_well_in_the_end(self) -> None:
        """Whatever was: when nothing fails any more, everybody is back."""
        for backend, trial in self.held:
            if trial is not None:
                backend.abandon(trial, self.now)
            self.pool.release(backend)
        self.held.clear()
        for backend in self.pool.backends:
            backend.is_up = True
        for _ in range(12):
            self.now += 1.0
            for _ in self.pool.backends:
                found = self.pool.select(SampleChoice(1), self.now)
                if found is not None:
                    found_trial = self.pool.acquire(found)
                    found.succeed(self.now, 0.1, found_trial)
                    self.pool.release(found)
        self.pool.select(SampleChoice(1), self.now)
        assert len(self.pool.usable) == len(self.pool.backends)

    @invariant()
    def nobody_is_chosen_who_should_not_be(self) -> None:
        pool = self.pool
        backend = pool.select(SampleChoice(1), self.now)
        ups = [one for one in pool.backends if one.is_up]
        if backend is None:
            assert not pool.usable
            assert not self.passive.panic or all(one.is_full for one in pool.backends)
            return
        assert not backend.is_full
        if not backend.is_usable:
            assert self.passive.panic and not pool.usable
            return
        assert backend.is_up
        may_be_out = int(len(ups) * self.passive.max_ejected / 100)
        if backend.has_failed and not (backend.comeback.trials or backend.is_marked(self.now)):
            assert sum(one.has_failed for one in ups) > may_be_out

    @invariant()
    def trials_are_few(self) -> None:
        for backend in self.pool.backends:
            trials = backend.comeback.trials
            if trials is not None and not self.passive.panic and self.passive.max_ejected == 100:
                assert trials.running + trials.passed <= 2


TestComebackMachine = ComebackMachine.TestCase
