"""Listener: knows its connections, hands them the plan of the moment, drains."""

from __future__ import annotations

from posthouse.net.handler import DownstreamTimeouts
from posthouse.net.listener import Listener
from posthouse.net.timers import NEVER
from unit.net.fakes import OK, OK_CLOSE, Client, FakePlan, wait
from unit.net.messages import GET
from unit.net.wire import Stand, Wire


def clients(count: int, plan: FakePlan) -> tuple[Listener, list[Wire], Stand]:
    stand = Stand()
    listener = Listener(stand.reactor, plan)
    return listener, [Wire(stand.loop, listener.connection()) for _ in range(count)], stand


def test_it_knows_the_connections_that_live() -> None:
    listener, wires, stand = clients(3, FakePlan())
    assert len(listener.connections) == 3
    told: list[int] = []
    listener.on_closed = lambda: told.append(len(listener.connections))
    wires[0].feed_eof()
    wires[1].lose(ConnectionResetError())
    stand.turn()
    assert sorted(told) == [1, 2]
    assert "connections=1" in repr(listener)


def test_a_connection_that_never_came_counts_not() -> None:
    listener, _, _ = clients(0, FakePlan())
    listener.connection()
    assert listener.connections == set()


def test_scheme() -> None:
    listener, _, _ = clients(0, FakePlan())
    assert listener.speak().scheme == "http"
    assert Listener(listener.reactor, FakePlan(), "https").speak().scheme == "https"


def test_use_swaps_the_plan_of_connections_that_live() -> None:
    """And what they worked out with the old one is dropped."""
    client = Client(old := FakePlan())
    assert client.send(GET) == OK
    client.connection.memo = "worked out"
    client.listener.use(new := FakePlan())
    assert client.connection.memo is None
    assert client.send(GET) == OK
    assert (len(old.exchanges), len(new.exchanges)) == (1, 1)


def test_draining() -> None:
    """What runs ends with `close`, what is idle ends when its grace is over, nothing is cut."""
    plan = FakePlan(wait)
    listener, (busy, idle, begun), stand = clients(3, plan)
    busy.feed(GET)
    begun.feed(GET[:5])
    listener.drain()
    stand.turn()
    assert not any(wire.is_closed for wire in (busy, idle, begun))
    listener.close_idle()
    assert [wire.is_closed for wire in (busy, idle, begun)] == [False, True, False]
    plan.last.answer()
    assert busy.take() == OK_CLOSE
    begun.feed(GET[5:])
    plan.last.answer()
    assert begun.take() == OK_CLOSE
    stand.turn()
    assert listener.connections == set()


def test_abort_cuts_what_is_left_and_counts_it() -> None:
    plan = FakePlan(wait)
    listener, wires, stand = clients(3, plan)
    wires[0].feed(GET)
    assert listener.abort() == 3
    stand.turn()
    assert all(wire.is_aborted and wire.sock.options for wire in wires)
    assert plan.last.names == ["head", "end", "lost"]
    assert listener.abort() == 0


def test_refusing_goes_on_over_plans_until_it_serves_again() -> None:
    plan, successor = FakePlan(), FakePlan()
    listener = Listener(Stand().reactor, plan)
    listener.refuse(True)
    assert plan.is_refusing
    listener.use(successor)
    assert successor.is_refusing
    listener.refuse(False)
    assert not successor.is_refusing


def test_idle_ones_are_told_with_since_when() -> None:
    stand = Stand()
    client = Client(FakePlan(wait), stand)
    began = stand.loop.now
    listener = client.listener
    assert listener.idle(began - 0.001) == []
    assert listener.idle(began) == [(began, client.connection)], "silent since it came"
    stand.advance(1.0)
    client.send(GET[:-2])
    assert listener.idle(began + 9) == [], "a head has begun"
    client.send(GET[-2:])
    assert listener.idle(began + 9) == [], "an exchange runs"
    stand.advance(1.0)
    client.plan.last.answer()
    assert listener.idle(began + 1.9) == []
    assert listener.idle(began + 2.0) == [(began + 2.0, client.connection)]


def test_without_an_idle_timeout_it_is_not_known_since_when() -> None:
    client = Client(FakePlan(timeouts=DownstreamTimeouts(idle=NEVER)))
    client.send(GET)
    assert client.listener.idle(0.0) == [(0.0, client.connection)]
