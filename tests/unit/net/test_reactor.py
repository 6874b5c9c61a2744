"""Reactor: read buffers are lent, returned and bounded."""

from __future__ import annotations

from posthouse.net import reactor as module
from posthouse.net.reactor import CROWDED_PUMP_BYTES, MANY_PUMPS, PUMP_BYTES
from unit.net.wire import Stand


def test_a_buffer_comes_back() -> None:
    reactor = Stand().reactor
    first = reactor.take_buffer()
    assert len(first) == PUMP_BYTES
    second = reactor.take_buffer()
    assert second is not first
    reactor.give_buffer(first, is_free=True)
    assert reactor.take_buffer() is first


def test_a_buffer_that_a_transport_still_holds_is_not_lent_again() -> None:
    reactor = Stand().reactor
    first = reactor.take_buffer()
    reactor.give_buffer(first, is_free=False)
    assert reactor.take_buffer() is not first


def test_only_some_are_kept() -> None:
    reactor = Stand().reactor
    buffers = [reactor.take_buffer() for _ in range(20)]
    for buffer in buffers:
        reactor.give_buffer(buffer, is_free=True)
    again = [reactor.take_buffer() for _ in range(20)]
    assert sum(any(one is other for other in buffers) for one in again) == module._SPARE_BUFFERS


def test_a_crowd_gets_small_buffers() -> None:
    reactor = Stand().reactor
    sizes = [len(reactor.take_buffer()) for _ in range(MANY_PUMPS + 2)]
    assert sizes == [PUMP_BYTES] * MANY_PUMPS + [CROWDED_PUMP_BYTES] * 2
    small = reactor.take_buffer()
    reactor.give_buffer(small, is_free=True)
    assert all(len(spare) == PUMP_BYTES for spare in reactor._spare)


def test_when_the_crowd_has_gone_buffers_are_large_again() -> None:
    reactor = Stand().reactor
    buffers = [reactor.take_buffer() for _ in range(MANY_PUMPS + 5)]
    for buffer in buffers:
        reactor.give_buffer(buffer, is_free=True)
    assert len(reactor.take_buffer()) == PUMP_BYTES


def test_what_a_reactor_holds() -> None:
    stand = Stand()
    assert stand.reactor.codec is stand.codec
    assert stand.reactor.clock() == stand.loop.now


def test_tls_connections_share_their_scratch() -> None:
    reactor = Stand().reactor
    assert reactor.scratch is reactor.scratch
