"""One word for how a backend is."""

from __future__ import annotations

from posthouse.balance.active_health import State
from posthouse.balance.orders import NO_ORDER, Kind, Order
from posthouse.balance.standing import Standing, standing, why_out
from posthouse.config.specs import BreakerSpec, PassiveSpec
from unit.balance.samples import Request, make_pool, pool_spec


def test_what_weighs_most_comes_first() -> None:
    passive = PassiveSpec(fail_timeout=10.0, max_fails=2, breaker=BreakerSpec(minimum=3, open=5.0))
    pool = make_pool(pool_spec("a", passive=passive))
    a = pool.backends[0]
    assert standing(a, 0.0) == Standing("up", "", None)
    pool.fail(a, 1.0, "connect: refused")
    pool.fail(a, 2.0, "reset: gone")
    assert standing(a, 3.0) == Standing("failing", "reset: gone", 2.0)
    pool.fail(a, 3.0, "reset: gone")
    assert standing(a, 3.0) == Standing("open", "3 of 3 answers in 10s were errors", 3.0)
    a.believe(State.DOWN, "answered 500", 4.0)
    assert standing(a, 4.0) == Standing("down", "answered 500", 4.0)
    a.believe(State.UP, "answered 200", 5.0)
    pool.select(Request(), 8.0)
    assert standing(a, 8.0) == Standing("half_open", "5s are over", 8.0)
    pool.select(Request(), 13.0)
    trial = a.acquire()
    assert trial is not None
    a.succeed(13.0, 0.1, trial)
    assert standing(a, 13.0) == Standing("up", "answered 200", 5.0)


def test_a_mark_moves_on_and_its_beginning_stays() -> None:
    pool = make_pool(pool_spec("a", passive=PassiveSpec(fail_timeout=2.0)))
    a = pool.backends[0]
    pool.fail(a, 0.0, "first")
    pool.fail(a, 1.0, "second")
    pool.select(Request(), 2.5)
    assert standing(a, 2.5) == Standing("failing", "second", 0.0)
    pool.select(Request(), 3.0)
    assert standing(a, 3.0) == Standing("up", "", None)


def test_an_order_weighs_more_than_checks() -> None:
    pool = make_pool(pool_spec("a"))
    (a,) = pool.backends
    a.obey(Order(Kind.DRAIN, 3.0))
    assert standing(a, 4.0) == Standing("draining", "by order", 3.0)
    a.believe(State.DOWN, "status 503", 5.0)
    assert standing(a, 6.0) == Standing("draining", "by order; health checks: down, status 503", 3.0)
    a.obey(Order(Kind.DISABLE, 7.0))
    assert standing(a, 8.0).state == "disabled"
    a.obey(NO_ORDER)
    assert standing(a, 9.0) == Standing("down", "status 503", 5.0)


def test_what_keeps_all_of_them_out() -> None:
    a, b, c, d = make_pool(pool_spec("abcd")).backends
    a.obey(Order(Kind.DISABLE, 0.0))
    assert why_out([a]) == "disabled (by order)"
    b.obey(Order(Kind.DRAIN, 0.0))
    b.believe(State.DOWN)
    assert why_out([a, b]) == "disabled or draining (by order)"
    c.believe(State.DOWN)
    assert why_out([c]) == "down (health checks)"
    assert (
        why_out([a, c, d]) == "disabled (by order), or down (health checks), or left out because of failures"
    )
    assert why_out([d]) == "left out because of failures"
    d.try_alone(0.0)
    assert why_out([d]) == "left out because of failures, or being tried again"
