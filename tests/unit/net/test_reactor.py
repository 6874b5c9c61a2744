"""Reactor: read buffers are lent, returned and bounded."""

from __future__ import annotations

import mmap

from posthouse.net.reactor import (
    CROWDED_PUMP_BYTES,
    MANY_PUMPS,
    PUMP_BYTES,
    SPARE_BUFFERS,
    SPARE_SECONDS,
    Buffer,
    Reactor,
)
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


def lend(reactor: Reactor, number: int) -> list[Buffer]:
    """Buffers that were in use all at once, and are free again."""
    buffers = [reactor.take_buffer() for _ in range(number)]
    for buffer in buffers:
        reactor.give_buffer(buffer, is_free=True)
    return buffers


def kept(reactor: Reactor, buffers: list[Buffer]) -> int:
    """How many of these buffers are lent again."""
    again = [reactor.take_buffer() for _ in buffers]
    return sum(any(one is other for other in buffers) for one in again)


def test_a_load_that_goes_on_has_its_buffers_again() -> None:
    stand = Stand()
    buffers = lend(stand.reactor, MANY_PUMPS)
    stand.advance(SPARE_SECONDS - 0.1)
    assert kept(stand.reactor, buffers) == MANY_PUMPS


def test_only_some_are_kept_for_good() -> None:
    stand = Stand()
    for _ in range(2):
        buffers = lend(stand.reactor, SPARE_BUFFERS + 5)
        stand.advance(SPARE_SECONDS)
        assert len(stand.reactor._spare) == SPARE_BUFFERS
    assert kept(stand.reactor, buffers) == SPARE_BUFFERS


def test_few_buffers_need_no_look_at_them() -> None:
    stand = Stand()
    lend(stand.reactor, SPARE_BUFFERS)
    assert stand.loop.waiting == 0


def test_large_buffers_leave_no_holes_in_the_heap() -> None:
    assert isinstance(Stand().reactor.take_buffer(), mmap.mmap)


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
