"""Flow: several reasons to pause, one pause; and what the kernel says of a peer that is not read."""

from __future__ import annotations

import socket
import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.net.flow import NO_PEER, PEER_FULL, PIPELINED, Flow, has_hung_up

REASONS = (PEER_FULL, NO_PEER, PIPELINED)


class Reading:
    """A transport that holds its user to pausing once and resuming once."""

    def __init__(self) -> None:
        self.is_paused = False
        self.is_closed = False

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        assert not self.is_paused and not self.is_closed
        self.is_paused = True

    def resume_reading(self) -> None:
        assert self.is_paused and not self.is_closed
        self.is_paused = False


def test_reasons_differ() -> None:
    assert len(set(REASONS)) == 3
    assert all(bin(reason).count("1") == 1 for reason in REASONS)


def test_pauses_at_the_first_and_resumes_at_the_last() -> None:
    transport = Reading()
    flow = Flow(transport)
    flow.block(PEER_FULL)
    flow.block(PIPELINED)
    flow.block(PEER_FULL)
    flow.unblock(PEER_FULL)
    assert transport.is_paused and flow.is_paused
    flow.unblock(PIPELINED)
    assert not transport.is_paused and not flow.is_paused


def test_all_reasons_at_once() -> None:
    transport = Reading()
    flow = Flow(transport)
    flow.unblock(-1)
    for reason in REASONS:
        flow.block(reason)
    flow.unblock(-1)
    assert not transport.is_paused


def test_a_closing_transport_is_left_alone() -> None:
    transport = Reading()
    flow = Flow(transport)
    flow.block(PEER_FULL)
    transport.is_closed = True
    flow.unblock(PEER_FULL)
    flow.block(PEER_FULL)
    assert flow.is_paused


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(REASONS))))
def test_any_order(steps: list[tuple[bool, int]]) -> None:
    """Paused exactly while somebody blocks."""
    transport = Reading()
    flow = Flow(transport)
    blocking: set[int] = set()
    for is_block, reason in steps:
        if is_block:
            flow.block(reason)
            blocking.add(reason)
        else:
            flow.unblock(reason)
            blocking.discard(reason)
        assert flow.is_paused == transport.is_paused == bool(blocking)


def connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        return client, server.accept()[0]


def test_a_peer_that_lives_has_not_hung_up() -> None:
    client, ours = connected()
    with client, ours:
        assert not has_hung_up(ours.fileno())
        client.sendall(b"unread")
        assert not has_hung_up(ours.fileno())


def test_a_peer_that_closed_has_hung_up_whatever_waits_unread() -> None:
    client, ours = connected()
    with ours:
        client.sendall(b"unread")
        client.close()
        assert has_hung_up(ours.fileno())


def test_a_peer_that_reset_has_hung_up() -> None:
    client, ours = connected()
    with ours:
        client.sendall(b"unread")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        assert has_hung_up(ours.fileno())
