"""Tunnels: two wires joined, the laws at the top of the module."""

from __future__ import annotations

import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.proxy.tunnel import FLUSH_SECONDS, NEVER, Tunnel, TunnelEnd
from unit.proxy.peers import Wire
from unit.proxy.world import World


class Joined:
    """A tunnel between two wires."""

    def __init__(self, idle: float = 60.0, early: bytes = b"", rest: bytes = b"") -> None:
        self.world = World()
        self.downstream, self.upstream = Wire(), Wire()
        self.ended: list[int] = []
        self.gone: list[str] = []
        ends = (self.ended.append, lambda: self.gone.append("gone"))
        self.tunnel = Tunnel(self.world.timers, self.world.clock, idle, ends)
        self.tunnel.join(self.downstream, self.upstream, early, rest)

    @property
    def client(self) -> TunnelEnd:
        """What the client's transport calls."""
        end: TunnelEnd = self.downstream.protocol
        return end

    @property
    def backend(self) -> TunnelEnd:
        end: TunnelEnd = self.upstream.protocol
        return end

    def is_open(self) -> bool:
        closed = {self.downstream.is_closed, self.upstream.is_closed, bool(self.ended)}
        assert len(closed) == 1, "both sides end together, and it is told"
        return not self.ended

    def flush(self) -> None:
        """What is written has gone out: the loop says of both closed transports that they are lost."""
        assert self.downstream.is_closed and self.upstream.is_closed
        self.client.connection_lost(None)
        self.backend.connection_lost(None)


def test_nothing_of_it_waits_for_the_garbage_collector() -> None:
    """It holds the stream and with it the exchange: 10 KB, and thousands of tunnels may end between collections."""

    class Stream:
        def tunnel_ended(self) -> None:
            pass

    world, wires, stream = World(), (Wire(), Wire()), Stream()
    is_alive = weakref.ref(stream)
    Tunnel(world.timers, world.clock, 60.0, (lambda _: None, stream.tunnel_ended)).join(*wires, b"", b"")
    gc.disable()
    try:
        del stream
        assert is_alive()
        for wire in wires:
            end, wire.protocol = wire.protocol, None  # as transports do when they are gone
            end.connection_lost(None)
            del end
        assert not is_alive()
    finally:
        gc.enable()


def test_bytes_go_both_ways() -> None:
    joined = Joined()
    joined.client.data_received(b"ping")
    joined.backend.data_received(b"pong")
    joined.client.data_received(b"!")
    assert (joined.upstream.data, joined.downstream.data) == (b"ping!", b"pong")
    joined.tunnel.close()
    assert joined.ended == [4], "the bytes to the client are counted, as a body's"


def test_what_came_before_the_join_goes_first() -> None:
    joined = Joined(early=b"hello", rest=b"welcome")
    joined.client.data_received(b"-1")
    joined.backend.data_received(b"-2")
    assert (joined.upstream.data, joined.downstream.data) == (b"hello-1", b"welcome-2")


def test_the_transports_get_new_protocols_without_a_connection_made() -> None:
    joined = Joined()
    assert joined.client is not joined.backend
    joined.client.connection_made(joined.downstream)
    assert joined.is_open()


def test_half_close() -> None:
    joined = Joined()
    assert joined.client.eof_received() is True, "the transport stays open for the other way"
    assert joined.upstream.is_ended and not joined.downstream.is_ended
    joined.backend.data_received(b"the rest")
    assert joined.downstream.data == b"the rest"
    assert joined.is_open()
    joined.backend.eof_received()
    assert joined.downstream.is_ended
    assert not joined.is_open()
    assert joined.ended == [8]


def test_a_second_end_of_one_side_changes_nothing() -> None:
    joined = Joined()
    joined.client.eof_received()
    assert joined.client.eof_received() is False
    assert joined.is_open() and joined.client.is_over and not joined.backend.is_over


@pytest.mark.parametrize("who", ["client", "backend"])
@pytest.mark.parametrize("error", [None, ConnectionResetError()])
def test_a_lost_connection_ends_both(who: str, error: Exception | None) -> None:
    joined = Joined()
    first, second = (joined.client, joined.backend) if who == "client" else (joined.backend, joined.client)
    first.connection_lost(error)
    assert (joined.downstream if who == "backend" else joined.upstream).is_closed
    assert joined.gone == [], "the other may still have bytes to take"
    second.connection_lost(None)
    assert (joined.ended, joined.gone) == ([0], ["gone"]), "each is told once"
    assert not joined.world.timers.members


def test_silence_ends_it_and_bytes_either_way_put_that_off() -> None:
    joined = Joined(idle=60.0)
    for end in (joined.client, joined.backend, joined.client):
        joined.world.pass_time(59.0)
        end.data_received(b".")
    joined.world.pass_time(59.0)
    assert joined.is_open()
    joined.world.pass_time(1.0)
    assert not joined.is_open()


def test_half_closed_tunnels_have_the_same_limit() -> None:
    joined = Joined(idle=60.0)
    joined.client.eof_received()
    joined.world.pass_time(60.0)
    assert not joined.is_open()


def test_the_last_bytes_have_a_little_time_to_go_out() -> None:
    joined = Joined()
    joined.backend.data_received(b"much")
    joined.client.pause_writing()
    joined.backend.connection_lost(None)
    assert joined.ended == [4] and not joined.downstream.is_aborted
    joined.world.pass_time(FLUSH_SECONDS - 0.1)
    assert not joined.downstream.is_aborted
    joined.client.connection_lost(None)
    assert joined.gone == ["gone"]


def test_a_peer_that_does_not_read_can_not_keep_it_open() -> None:
    joined = Joined(idle=60.0)
    joined.backend.data_received(b"much")
    joined.client.pause_writing()
    joined.world.pass_time(60.0)
    assert not joined.is_open()
    joined.world.pass_time(FLUSH_SECONDS)
    assert joined.downstream.is_aborted and joined.upstream.is_aborted
    joined.flush()
    assert (joined.ended, joined.gone) == ([4], ["gone"])
    assert not joined.world.timers.members


def test_without_a_limit_there_is_no_deadline() -> None:
    joined = Joined(idle=NEVER)
    joined.client.data_received(b".")
    assert not joined.world.timers.members
    joined.world.pass_time(1e9)
    assert joined.is_open()


def test_who_reads_too_slowly_pauses_the_other_side() -> None:
    joined = Joined()
    joined.client.pause_writing()
    assert joined.upstream.is_paused and not joined.downstream.is_paused
    joined.client.resume_writing()
    assert not joined.upstream.is_paused
    joined.backend.pause_writing()
    assert joined.downstream.is_paused
    joined.backend.resume_writing()
    assert not joined.downstream.is_paused


def test_late_calls_touch_no_closed_transport() -> None:
    joined = Joined()
    joined.tunnel.close()
    for end in (joined.client, joined.backend):
        end.data_received(b"late")
        end.pause_writing()
        end.resume_writing()
        end.eof_received()
    joined.tunnel.close()
    assert joined.downstream.data == joined.upstream.data == b""
    assert not joined.upstream.is_paused and not joined.upstream.is_ended
    joined.flush()
    assert not joined.world.timers.members


def test_a_client_that_went_at_the_last_moment() -> None:
    """Its transport is closing when the 101 comes; the backend's bytes have nowhere to go."""
    world = World()
    downstream, upstream = Wire(), Wire()
    downstream.close()
    ended: list[int] = []
    tunnel = Tunnel(world.timers, world.clock, 60.0, (ended.append, lambda: ended.append(-1)))
    tunnel.join(downstream, upstream, b"", b"rest")
    downstream.protocol.connection_lost(None)
    assert upstream.is_closed and ended == [0]
    upstream.protocol.connection_lost(None)
    assert ended == [0, -1]
    assert not world.timers.members


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["client", "backend"]), st.binary(min_size=1, max_size=4)),
        st.tuples(
            st.sampled_from(["client", "backend"]), st.sampled_from(["eof", "lost", "pause", "resume"])
        ),
        st.tuples(st.just("time"), st.floats(0.0, 80.0)),
    ),
    max_size=20,
)


@given(STEPS, st.binary(max_size=3), st.binary(max_size=3))
def test_any_order(steps: list[tuple[str, bytes | str | float]], early: bytes, rest: bytes) -> None:
    """Bytes arrive whole and in order while it is open; it ends once, is gone once, and leaves no deadline."""
    joined = Joined(early=early, rest=rest)
    sent = {"client": early, "backend": rest}
    over: set[str] = set()
    lost: set[str] = set()
    for who, what in steps:
        if who == "time":
            joined.world.pass_time(float(what))
            continue
        end: TunnelEnd = getattr(joined, who)
        if isinstance(what, bytes):
            if who not in over and joined.is_open():
                sent[who] += what
                end.data_received(what)
        elif what == "eof":
            if joined.is_open():
                over.add(who)
                end.eof_received()
        elif what == "lost":
            if who not in lost:
                lost.add(who)
                end.connection_lost(None)
        elif what == "pause":
            end.pause_writing()
        else:
            end.resume_writing()
        assert joined.upstream.data == sent["client"]
        assert joined.downstream.data == sent["backend"]
    joined.tunnel.close()
    joined.world.pass_time(FLUSH_SECONDS)
    for who in {"client", "backend"} - lost:
        getattr(joined, who).connection_lost(None)
    assert joined.ended == [len(sent["backend"])]
    assert joined.gone == ["gone"]
    assert not joined.world.timers.members
