"""Everything that may happen to a pool, in any order, against a naive model of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from posthouse.balance.active_health import State
from posthouse.balance.backend import Backend
from posthouse.balance.orders import Kind, Order
from posthouse.balance.policies import POLICIES
from posthouse.balance.pool import Pool
from posthouse.balance.slow_start import FLOOR
from posthouse.config.specs import PassiveSpec
from posthouse.errors import FailureKind
from posthouse.testing.check_policy import SampleChoice
from unit.balance.samples import make_pool, pool_spec

HOSTS = "abcdefg"
SPECS = st.fixed_dictionaries(
    {
        "hosts": st.lists(st.sampled_from(HOSTS), min_size=1, max_size=5),
        "weights": st.lists(st.integers(1, 9), max_size=5),
        "limits": st.lists(st.sampled_from([None, 0, 1, 2]), max_size=5),
        "fallbacks": st.integers(0, 5),
        "max_conns": st.integers(0, 3),
        "passive": st.builds(PassiveSpec, st.sampled_from([0.0, 1.0, 5.0]), st.integers(1, 3)),
        "slow_start": st.sampled_from([0.0, 2.0]),
        "hash_balance": st.sampled_from([0, 100, 150]),
    }
)


class PoolMachine(RuleBasedStateMachine):
    """Everything that may happen to a pool, in any order, against a naive model of it."""

    @initialize(policy=st.sampled_from(sorted(POLICIES)), spec=SPECS)
    def build(self, policy: str, spec: dict[str, Any]) -> None:
        self.policy = policy
        self.now = 0.0
        self.held: list[tuple[Pool, Backend]] = []
        self.failures: dict[Backend, list[float]] = {}
        self.down: set[Backend] = set()
        self.ordered: set[Backend] = set()
        self.count = 0
        self.pool: Pool | None = None
        self.rebuild(spec)

    def rebuild(self, facts: dict[str, Any]) -> None:
        args = ("key",) if self.policy in ("header", "query", "cookie") else ()
        facts = dict(facts)
        hosts, limits = facts.pop("hosts"), facts.pop("limits")
        balance = facts.pop("hash_balance") if getattr(POLICIES[self.policy], "is_hash", False) else 0
        facts["fallbacks"] = min(facts["fallbacks"], len(hosts))
        facts["weights"] = facts["weights"][: len(hosts)]
        spec = pool_spec(hosts, self.policy, *args, **{**facts, "hash_balance": balance})
        endpoints = list(spec.endpoints)
        for place, limit in enumerate(limits[: len(hosts)]):
            endpoints[place] = replace(endpoints[place], max_conns=limit)
        self.pool = make_pool(replace(spec, endpoints=tuple(endpoints)), previous=self.pool)
        if spec.passive.fail_timeout == 0:
            for backend in self.pool.backends:
                self.failures.pop(backend, None)

    @property
    def current(self) -> Pool:
        assert self.pool is not None
        return self.pool

    def expected(self) -> list[Backend]:
        """The usable backends, counted the slow way."""
        spec = self.current.spec
        held = Counter(backend for _, backend in self.held)
        return [
            backend
            for backend in self.current.backends
            if backend not in self.down | self.ordered
            and (self.limit(backend) == 0 or held[backend] < self.limit(backend))
            and sum(expiry > self.now for expiry in self.failures.get(backend, ())) < spec.passive.max_fails
        ]

    def limit(self, backend: Backend) -> int:
        own = backend.endpoint.max_conns
        return self.current.spec.max_conns if own is None else own

    @staticmethod
    def first_tier(backends: Iterable[Backend]) -> list[Backend]:
        usable = list(backends)
        return [backend for backend in usable if backend.endpoint.role == "primary"] or usable

    @rule(data=st.data())
    def choose_and_hold(self, data: st.DataObject) -> None:
        usable = self.expected()
        tried = data.draw(st.lists(st.sampled_from(self.current.backends), max_size=8))
        self.count += 1
        backend = self.current.select(SampleChoice(self.count), self.now, tried)
        if not usable:
            assert backend is None
            self.check_why_not()
            return
        attempts = Counter(tried)
        assert backend in usable
        least = min(attempts[candidate] for candidate in usable)
        assert backend in self.first_tier(one for one in usable if attempts[one] == least)
        trial = self.current.acquire(backend)
        if trial is not None:  # whoever comes back alone; test_comeback.py has the rest
            backend.succeed(self.now, None, trial)
        self.held.append((self.current, backend))

    def check_why_not(self) -> None:
        held = Counter(backend for _, backend in self.held)
        spec = self.current.spec
        full = any(
            backend not in self.down | self.ordered
            and 0 < self.limit(backend) <= held[backend]
            and sum(expiry > self.now for expiry in self.failures.get(backend, ())) < spec.passive.max_fails
            for backend in self.current.backends
        )
        assert self.current.why_not(self.now) is (FailureKind.FULL if full else FailureKind.NO_BACKEND)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        pool, backend = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        pool.release(backend)

    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        backend = data.draw(st.sampled_from(self.current.backends))
        self.current.fail(backend, self.now)
        memory = self.current.spec.passive.fail_timeout
        if memory:
            self.failures.setdefault(backend, []).append(self.now + memory)

    @rule(data=st.data(), state=st.sampled_from(list(State)))
    def probe(self, data: st.DataObject, state: State) -> None:
        backend = data.draw(st.sampled_from(self.current.backends))
        backend.believe(state)
        (self.down.discard if state is State.UP else self.down.add)(backend)

    @rule(data=st.data(), kind=st.sampled_from([None, *Kind]))
    def order(self, data: st.DataObject, kind: Kind | None) -> None:
        backend = data.draw(st.sampled_from(self.current.backends))
        backend.obey(Order(kind, self.now))
        (self.ordered.add if kind else self.ordered.discard)(backend)

    @rule(pause=st.sampled_from([0.1, 0.5, 1.0, 4.0]))
    def time_passes(self, pause: float) -> None:
        self.now += pause

    @rule(spec=SPECS)
    def reload(self, spec: dict[str, Any]) -> None:
        self.rebuild(spec)

    @invariant()
    def counts_agree(self) -> None:
        held = Counter(backend for _, backend in self.held)
        for backend in self.current.backends:
            assert backend.in_flight == held[backend] >= 0
            assert backend.is_available(self.now) == (backend in self.expected())

    @invariant()
    def ready_tuple_is_true(self) -> None:
        self.current.select(SampleChoice(0), self.now)
        assert list(self.current.usable) == self.first_tier(self.expected())

    @invariant()
    def shares_are_true(self) -> None:
        for backend in self.current.backends:
            assert backend.share == backend.weight * backend.warmth
            assert FLOOR <= backend.warmth <= 1.0
            assert backend.warmth == 1.0 or self.current.spec.slow_start
            assert backend.warmth == 1.0 or self.current._watch.expires <= self.now + 2.0, "it goes on"

    @invariant()
    def everyone_is_reachable(self) -> None:
        """By being the only one that was not tried, whatever the policy."""
        usable = self.expected()
        for backend in usable:
            others = [other for other in self.current.backends if other is not backend]
            assert self.current.select(SampleChoice(1), self.now, others) is backend

    @invariant()
    def retry_after_is_true(self) -> None:
        wait = self.current.retry_after(self.now)
        marked = [
            backend
            for backend in self.current.backends
            if backend not in self.down | self.ordered and backend.is_marked(self.now)
        ]
        assert (wait is not None) == bool(marked)
        if wait is not None:
            assert wait > 0
            assert any(not backend.is_marked(self.now + wait + 1e-9) for backend in marked)


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)
