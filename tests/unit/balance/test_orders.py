"""Orders: values, what they make of a pool, and that nothing new goes where it must not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.balance.active_health import State
from posthouse.balance.backend import Backend
from posthouse.balance.orders import NO_ORDER, UNDOES, Kind, Order, Orders, may_finish, names_of
from posthouse.balance.policies import POLICIES
from posthouse.balance.pool import Pool
from posthouse.config.specs import PassiveSpec, PoolSpec, SourceSpec
from posthouse.errors import NOWHERE, FailureKind
from posthouse.testing.check_policy import SampleChoice
from unit.balance.samples import endpoint, make_pool, pool_spec

DISABLED, DRAINING = Order(Kind.DISABLE, 1.0), Order(Kind.DRAIN, 1.0)
HEAVY = Order(weight=7, in_place_of=1)


def weights(spec: PoolSpec) -> list[int]:
    return [one.weight for one in spec.endpoints]


def test_words() -> None:
    assert [(kind, kind.state, kind.undone_by) for kind in Kind] == [
        ("drain", "draining", "undrain"),
        ("disable", "disabled", "enable"),
    ]
    assert UNDOES == {"undrain": Kind.DRAIN, "enable": Kind.DISABLE}
    assert list(names_of([endpoint("a"), endpoint("a")])) == ["http://a:80", "http://a:80#2"]


def test_orders_are_values() -> None:
    none = Orders()
    one = none.given("p", "a", DISABLED)
    two = one.given("p", "b", DRAINING).given("q", "a", HEAVY)
    assert not list(none.all()) and list(one.all()) == [("p", "a", DISABLED)]
    assert (two.of("p", "a"), two.of("q", "a"), two.of("q", "b")) == (DISABLED, HEAVY, NO_ORDER)
    assert two.given("p", "b", NO_ORDER).given("q", "a", NO_ORDER) == one
    assert one.given("p", "a", Order()) == none, "a pool without orders is not there"


@pytest.mark.parametrize("state", list(State))
def test_who_may_go_on_with_its_sessions(state: State) -> None:
    assert may_finish(None, state) == (state is State.DRAINING)
    assert may_finish(Kind.DRAIN, state) == (state is not State.DOWN)
    assert not may_finish(Kind.DISABLE, state)


def test_weights_in_place_of_the_configurations() -> None:
    spec = replace(pool_spec("aab", weights=[1, 2, 1]), name="p")
    orders = (
        Orders().given("p", "http://a:80#2", Order(weight=9, in_place_of=2)).given("p", "http://b:80", HEAVY)
    )
    assert weights(orders.weighed(spec)) == [1, 9, 7]
    assert orders.weighed(orders.weighed(spec)).endpoints[0] is spec.endpoints[0]
    changed = replace(spec, endpoints=(*spec.endpoints[:2], replace(spec.endpoints[2], weight=3)))
    assert weights(orders.weighed(changed)) == [1, 9, 3], "the file says something else meanwhile"
    other = replace(spec, name="q")
    assert orders.weighed(other) is other
    found = Orders().given("p", "http://b:80", Order(weight=7))
    assert weights(found.weighed(changed)) == [1, 2, 7], (
        "what was found while we ran has no weight in the file"
    )


def test_what_a_reload_leaves() -> None:
    both = Order(Kind.DRAIN, 1.0, weight=7, in_place_of=1)
    orders = Orders()
    for pool, backend, order in (
        ("p", "http://a:80", both),
        ("p", "http://b:80", HEAVY),
        ("p", "http://gone:80", DISABLED),
        ("gone", "http://a:80", DISABLED),
        ("found", "http://gone:80", DISABLED),
    ):
        orders = orders.given(pool, backend, order)
    p = replace(pool_spec("ab", weights=[2, 1]), name="p")
    sources = (SourceSpec("dns", "dns://x:80", "x", endpoint("x"), 0, NOWHERE),)
    found = replace(pool_spec("a"), name="found", sources=sources)
    assert list(orders.kept([p, found]).all()) == [
        ("p", "http://a:80", DRAINING),
        ("p", "http://b:80", HEAVY),
        ("found", "http://gone:80", DISABLED),
    ]
    assert orders.kept([p, found]).kept([p, found]) == orders.kept([p, found])
    assert orders.kept([]) == Orders()


def test_a_backend_obeys() -> None:
    pool = make_pool(pool_spec("ab", slow_start=10.0))
    a, b = pool.backends
    pool.start()
    a.obey(DISABLED)
    assert not a.is_up and not a.is_usable and pool.select(SampleChoice(1), 0.0) is b
    a.believe(State.DOWN)
    a.believe(State.UP)
    assert not a.is_usable, "whatever health checks say"
    assert a.warmth == 1.0
    a.obey(NO_ORDER)
    assert a.is_usable and a.warmth < 1.0, "it comes back, as from anything else"


def test_weight_alone_keeps_nobody_back() -> None:
    pool = make_pool(pool_spec("a", slow_start=10.0))
    pool.backends[0].obey(HEAVY)
    assert pool.backends[0].is_usable and pool.backends[0].warmth == 1.0


def test_panic_does_not_break_orders() -> None:
    pool = make_pool(pool_spec("ab", passive=PassiveSpec(fail_timeout=5.0, panic=True)))
    a, b = pool.backends
    a.obey(DISABLED)
    pool.fail(b, 0.0)
    assert [pool.select(SampleChoice(number), 0.0) for number in range(9)] == [b] * 9
    b.obey(DRAINING)
    assert pool.select(SampleChoice(1), 0.0) is None


def test_nobody_waits_for_what_must_not_be_had() -> None:
    for is_panicking in (False, True):
        pool = make_pool(pool_spec("a", max_conns=1, passive=PassiveSpec(panic=is_panicking)))
        pool.start()
        (a,) = pool.backends
        a.acquire()
        assert pool.why_not(0.0) is FailureKind.FULL
        a.obey(DISABLED)
        assert pool.why_not(0.0) is FailureKind.NO_BACKEND


def test_sessions_wait_where_they_may_go_on() -> None:
    pool = make_pool(pool_spec("a", "sticky", max_conns=1))
    pool.start()
    (a,) = pool.backends
    a.obey(DRAINING)
    assert pool.has_room_for_sessions
    a.obey(DISABLED)
    assert not pool.has_room_for_sessions


def test_who_waits_is_told() -> None:
    pool = make_pool(pool_spec("a", max_conns=1))
    told: list[bool] = []
    (a,) = pool.backends
    a.obey(DISABLED)
    a._watch.on_change = lambda: told.append(a.is_usable)
    a.obey(NO_ORDER)
    assert told and told[-1]


ARGS = {"header": ("key",), "query": ("key",), "cookie": ("key",)}
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["order", "checks", "fail", "hold", "give back", "reload"]),
        st.integers(0, 1),
        st.sampled_from([None, *Kind]),
        st.sampled_from(list(State)),
    ),
    max_size=25,
)


class Session:
    """A request that comes with the cookie of its session."""

    def __init__(self, pool: Pool, home: Backend) -> None:
        self.first = SampleChoice(1)
        self.peer = self.client_ip = "10.0.0.1"
        self.target, self.is_secure, self.wall = b"/", False, 0.0
        assert pool.sessions is not None
        line = pool.sessions.cookie(self.first, home)
        self.value = line.partition(b": ")[2].partition(b";")[0]

    def field(self, name: bytes) -> bytes | None:
        return self.value if name == b"cookie" else None


@settings(deadline=None)
@given(policy=st.sampled_from(sorted(POLICIES)), is_panicking=st.booleans(), steps=STEPS)
def test_no_order_lets_anything_new_through(policy: str, is_panicking: bool, steps: Sequence[Any]) -> None:
    """Whatever happens, with or without panic, for first attempts, retries and sessions."""
    passive = PassiveSpec(fail_timeout=5.0, panic=is_panicking)
    spec = pool_spec("ab", policy, *ARGS.get(policy, ()), passive=passive, max_conns=2)
    pool = make_pool(spec)
    if pool.sessions is not None:
        pool.sessions.use_key(b"k")
    held: list[Backend] = []
    for now, (what, place, kind, state) in enumerate(steps):
        backend = pool.backends[place]
        if what == "order":
            backend.obey(Order(kind, float(now)))
        elif what == "checks":
            backend.believe(state)
        elif what == "fail":
            pool.fail(backend, float(now))
        elif what == "hold" and not backend.is_full and backend.comeback.trials is None:
            backend.acquire()
            held.append(backend)
        elif what == "give back" and held:
            held.pop().release()
        elif what == "reload":
            pool = make_pool(spec, previous=pool)
            pool.start()
            if pool.sessions is not None:
                pool.sessions.use_key(b"k")
        for tried in ((), [pool.backends[place]], list(pool.backends)):
            chosen = pool.select(SampleChoice(now), float(now), tried)
            assert chosen is None or chosen.order.kind is None
        for home in pool.backends if pool.sessions is not None else ():
            chosen = pool.select(Session(pool, home), float(now))
            assert chosen is None or chosen.order.kind is not Kind.DISABLE
            assert chosen is None or chosen is home or chosen.order.kind is None
