"""Pump: every byte once and in order, never past the end, into buffers that nobody reads from any more."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
from typing import cast

import pytest

from posthouse.net.flow import PEER_FULL, Flow
from posthouse.net.pump import PUMP_FROM, Pump
from posthouse.net.reactor import PUMP_BYTES, Reactor
from posthouse.protocol.h1 import Codec
from unit.net.fakes import Told
from unit.net.wire import Stand, Wire


class Home(Told):
    """The connection that lends its transport, on a wire."""

    def __init__(self, wire_of: Stand) -> None:
        super().__init__()
        self.size = 0
        self.wire = Wire(wire_of.loop, self)

    def connection_made(self, transport: object) -> None:
        """The wire calls it."""

    def data_received(self, data: bytes) -> None:
        self.body(data)

    def on_pumped(self, size: int) -> None:
        assert size > 0
        self.size += size

    def on_pump_end(self) -> None:
        assert self.wire.protocol is self, "the transport is the home's again"
        self.add("pump end")

    def eof_received(self) -> None:
        self.add("eof")

    def connection_lost(self, exc: Exception | None) -> None:
        self.add("lost")

    def pause_writing(self) -> None:
        self.add("full")

    def resume_writing(self) -> None:
        self.add("ready")


def pumping(size: int) -> tuple[Home, Home, Pump, Reactor]:
    stand = Stand()
    source, target = Home(stand), Home(stand)
    pump = Pump(stand.reactor, source, source.wire, target.wire, size)
    pump.start()
    return source, target, pump, stand.reactor


def test_not_a_byte_past_the_end() -> None:
    """What follows the body is the home's, even in the same packet."""
    source, target, _, _ = pumping(10)
    source.wire.feed(b"0123456789next")
    assert target.wire.take() == b"0123456789"
    assert source.events == [("pump end",), ("body", b"next")]
    assert source.size == 10


def test_the_room_shrinks_with_what_is_left() -> None:
    _, _, pump, _ = pumping(PUMP_BYTES + 10)
    assert len(pump.get_buffer(-1)) == PUMP_BYTES
    pump.buffer_updated(PUMP_BYTES)
    assert len(pump.get_buffer(-1)) == pump.remaining == 10


def test_the_target_says_at_once_that_it_is_full() -> None:
    """As long as a byte is unsent the buffer is not read into; afterwards the marks are as before."""
    source, target, _, _ = pumping(10)
    assert target.wire.high_water == 0
    target.wire.stall()
    source.wire.feed(b"01234")
    assert target.names == ["full"]
    target.wire.read_on()
    assert target.names == ["full", "ready"]
    source.wire.feed(b"56789")
    assert target.wire.high_water == 64 * 1024


def test_the_buffer_goes_back_when_all_is_sent() -> None:
    source, _, _, reactor = pumping(10)
    source.wire.feed(b"0123456789")
    assert len(reactor._spare) == 1 and reactor._in_use == 0


def test_a_buffer_that_the_target_still_holds_is_not_lent_again() -> None:
    source, target, _, reactor = pumping(10)
    target.wire.stall()
    source.wire.feed(b"0123456789")
    assert reactor._spare == [] and reactor._in_use == 0


@pytest.mark.parametrize(("end", "told"), [("eof", ["eof", "lost"]), ("reset", ["lost"])])
def test_the_home_is_told_of_the_end(end: str, told: list[str]) -> None:
    source, target, _, reactor = pumping(10)
    source.wire.feed(b"0123")
    if end == "eof":
        source.wire.feed_eof()
    else:
        source.wire.lose(ConnectionResetError())
    source.wire._loop.turn()
    assert source.names == told
    assert target.wire.take() == b"0123" and target.wire.high_water == 64 * 1024
    assert reactor._in_use == 0


def test_the_home_is_told_of_its_own_writing() -> None:
    source, _, _, _ = pumping(10)
    source.wire.stall()
    source.wire.write(b"x" * 70_000)
    source.wire.read_on()
    assert source.names == ["full", "ready"]


def test_stopped_it_takes_nothing_more() -> None:
    source, target, pump, reactor = pumping(10)
    source.wire.feed(b"0123")
    pump.stop()
    pump.stop()
    pump.buffer_updated(3)
    assert target.wire.take() == b"0123"
    assert reactor._in_use == 0 and source.names == []


def test_stopped_for_a_target_that_is_closing() -> None:
    source, target, pump, _ = pumping(10)
    source.wire.feed(b"0123")
    target.wire.close()
    pump.stop()
    assert source.size == 4


def test_for_a_target_that_is_gone_it_drops_the_rest() -> None:
    source, target, _, reactor = pumping(10)
    source.wire.feed(b"0123")
    target.wire.close()
    source.wire.feed(b"456789")
    assert target.wire.take() == b"0123"
    assert source.size == 10 and source.names == ["pump end"]
    assert reactor._in_use == 0


def test_a_pump_pays_for_bodies_longer_than_a_read() -> None:
    assert PUMP_FROM <= PUMP_BYTES


# -- on sockets: what the event loops do with a view of a buffer that is used again


class End(asyncio.Protocol):
    """One end of a relay; pauses its source while it is full."""

    def __init__(self) -> None:
        self.flow: Flow | None = None
        self.ended = asyncio.Event()
        self.early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.early += data

    def pause_writing(self) -> None:
        assert self.flow is not None
        self.flow.block(PEER_FULL)

    def resume_writing(self) -> None:
        assert self.flow is not None
        self.flow.unblock(PEER_FULL)

    def on_pumped(self, size: int) -> None:
        """Nothing to count."""

    def on_pump_end(self) -> None:
        self.ended.set()


def small_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends with small buffers, so that writes are often short."""
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        sock.setblocking(False)
    return ours, theirs


async def send_all(loop: asyncio.AbstractEventLoop, sock: socket.socket, data: bytes) -> None:
    view = memoryview(data)
    while view:
        await loop.sock_sendall(sock, view[:50_000])
        view = view[50_000:]


async def read_slowly(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, size: int, chance: random.Random
) -> bytes:
    digest, got = hashlib.sha256(), 0
    while got < size:
        data = await loop.sock_recv(sock, chance.choice((3_000, 10_000, 60_000)))
        assert data
        digest.update(data)
        got += len(data)
        for _ in range(chance.choice((0, 0, 1, 3))):
            await asyncio.sleep(0)
    return digest.digest()


async def relay(reactor: Reactor, bodies: list[bytes], chance: random.Random) -> list[bytes]:
    """Pump each body over one pair of connections to a slow reader; answers the digests of what it read."""
    loop = reactor.loop
    (source_sock, feeder), (target_sock, reader) = small_pair(), small_pair()
    with source_sock, feeder, target_sock, reader:
        source, target = End(), End()
        for end, sock in ((source, source_sock), (target, target_sock)):
            await loop.create_unix_connection(lambda end=end: end, sock=sock)  # type: ignore[misc]
        target.flow = Flow(source.transport)
        digests = []
        for body in bodies:
            source.ended.clear()
            pump = Pump(reactor, source, source.transport, target.transport, len(body))
            pump.start()
            feeding = asyncio.ensure_future(send_all(loop, feeder, body))
            digests.append(await read_slowly(loop, reader, len(body), chance))
            await source.ended.wait()
            await feeding
            assert source.early == b""
        source.transport.abort()
        target.transport.abort()
        await asyncio.sleep(0)
        return digests


def test_byte_exact_to_slow_readers(loop: asyncio.AbstractEventLoop) -> None:
    """Several bodies on each of several connections at once, with shared buffers."""
    chance = random.Random(7)
    reactor = Reactor(loop, Codec())
    bodies = [[chance.randbytes(3_000_000), chance.randbytes(900_001)] for _ in range(3)]

    async def all_at_once() -> list[list[bytes]]:
        return await asyncio.gather(*(relay(reactor, pair, random.Random(9)) for pair in bodies))

    digests = loop.run_until_complete(asyncio.wait_for(all_at_once(), 30))
    assert digests == [[hashlib.sha256(body).digest() for body in pair] for pair in bodies]
    assert reactor._in_use == 0
