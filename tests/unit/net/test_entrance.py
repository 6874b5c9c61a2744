"""Entrance: who must introduce a client does, or gets no further; nobody else is asked or believed."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from posthouse.net.downstream_h1 import DownstreamH1
from posthouse.net.entrance import INTRODUCTION_SECONDS, Entrance, Introducers
from posthouse.net.listener import Listener
from posthouse.net.reactor import Reactor
from posthouse.protocol.h1 import Codec
from posthouse.protocol.proxy_protocol import V1_BYTES, Introduction, encode
from unit.net.fakes import OK, FakePlan
from unit.net.messages import GET
from unit.net.wire import Stand, Wire

PROXY = ("10.1.2.3", 40000)
CLIENT = Introduction(("203.0.113.9", 5123), ("198.51.100.1", 443))
LINE = encode("v1", CLIENT)


class Visit:
    """A peer that connects to an address where 10.0.0.0/8 and fd00::/8 introduce."""

    def __init__(self, peer: object = PROXY, plan: FakePlan | None = None) -> None:
        self.stand = Stand()
        self.plan = plan or FakePlan()
        self.plan.introducers = Introducers(("10.0.0.0/8", "fd00::/8"))
        self.listener = Listener(self.stand.reactor, self.plan)
        entrance = self.listener.connection()
        assert isinstance(entrance, Entrance)
        self.entrance = entrance
        self.wire = Wire(self.stand.loop, entrance, peer)

    def send(self, *pieces: bytes) -> bytes:
        for piece in pieces:
            if not self.wire.is_closed:
                self.wire.feed(piece)
            self.stand.turn()
        return self.wire.take()

    @property
    def connection(self) -> DownstreamH1:
        assert isinstance(self.wire.protocol, DownstreamH1)
        return self.wire.protocol

    def assert_refused(self, reason: str) -> None:
        self.stand.turn()
        assert self.plan.refused_peers == [("10.1.2.3", "10.0.0.0/8", reason)]
        assert self.wire.is_closed and self.wire.written == b"", "closed without a word"
        assert self.listener.connections == set() and not self.plan.exchanges and not self.plan.refused


@pytest.mark.parametrize("header", [LINE, encode("v2", CLIENT)])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_client_behind_a_peer(header: bytes, size: int) -> None:
    """However the bytes were cut: what is behind the header is HTTP's."""
    data = header + GET
    visit = Visit()
    assert visit.send(*(data[at : at + size] for at in range(0, len(data), size))) == OK
    connection = visit.connection
    assert (connection.peer, connection.peer_port) == ("203.0.113.9", 5123)
    assert connection.addressed == ("198.51.100.1", 443)
    assert visit.listener.connections == {connection}
    assert visit.send(GET) == OK, "only the first bytes are a header"


@pytest.mark.parametrize("header", [encode("v1", None), encode("v2", None)])
def test_a_connection_of_the_peers_own(header: bytes) -> None:
    visit = Visit()
    assert visit.send(header + GET) == OK
    assert (visit.connection.peer, visit.connection.peer_port) == PROXY


@pytest.mark.parametrize(
    "peer", [("192.0.2.7", 4711), ("::ffff:192.0.2.7", 4711), ("fe80::1%lo", 1, 0, 1), ""]
)
def test_nobody_else_is_asked(peer: object) -> None:
    visit = Visit(peer)
    assert visit.send(GET) == OK


@pytest.mark.parametrize("header", [LINE, encode("v1", None), encode("v2", CLIENT), encode("v2", None)])
def test_nobody_else_is_believed(header: bytes) -> None:
    """To all others it is a request line, and a broken one."""
    visit = Visit(("192.0.2.7", 4711))
    assert visit.send(header + GET).startswith(b"HTTP/1.1 400 ")
    assert visit.plan.exchanges == [] and visit.connection.peer == "192.0.2.7"
    visit = Visit()
    assert visit.send(LINE, header + GET).startswith(b"HTTP/1.1 400 "), "one header, not two"


def test_peers_are_known_by_their_real_address() -> None:
    """In whichever form the socket shows it; what a header claims gives no right to send another."""
    assert Visit(("::ffff:10.0.0.1", 1, 0, 0)).send(LINE + GET) == OK
    assert Visit(("fd00::1", 1, 0, 0)).send(LINE + GET) == OK
    visit = Visit()
    visit.send(encode("v1", Introduction(("10.9.9.9", 1), ("10.0.0.1", 2))) + GET)
    assert visit.connection.peer == "10.9.9.9" and visit.plan.refused_peers == []


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        ([GET], "not a PROXY protocol header"),
        ([b"PROXY TCP4 1.1.1.1 2.2.2.2 1 99999\r\n" + GET], "PROXY line with a port over 65535"),
        ([b"PROXY UNKNOWN", b"x" * V1_BYTES], "PROXY line over 107 bytes"),
    ],
)
def test_what_is_no_header_ends_the_connection(pieces: list[bytes], reason: str) -> None:
    visit = Visit()
    visit.send(*pieces)
    visit.assert_refused(reason)


@pytest.mark.parametrize("begun", [b"", LINE[:-1]])
def test_a_header_has_five_seconds(begun: bytes) -> None:
    visit = Visit()
    visit.send(begun) if begun else None
    visit.stand.advance(INTRODUCTION_SECONDS - 0.1)
    assert not visit.wire.is_closed and visit.listener.connections == {visit.entrance}
    visit.stand.advance(0.2)
    visit.assert_refused("no PROXY protocol header within 5 s")


def test_within_five_seconds_is_in_time() -> None:
    visit = Visit()
    visit.send(LINE[:9])
    visit.stand.advance(INTRODUCTION_SECONDS - 0.1)
    assert visit.send(LINE[9:]) == b""
    visit.stand.advance(0.2)
    assert visit.send(GET) == OK and visit.plan.refused_peers == []


def test_a_peer_that_leaves() -> None:
    """Within its header that is broken; without a byte it only looked whether the port is open."""
    visit = Visit()
    visit.wire.feed_eof()
    visit.stand.turn()
    assert visit.plan.refused_peers == [] and visit.listener.connections == set()
    visit = Visit()
    visit.send(LINE[:5])
    visit.wire.feed_eof()
    visit.assert_refused("closed within its PROXY protocol header")


def test_it_is_idle_while_it_waits() -> None:
    """A worker that drains, or has too little memory, closes it; a worker that stops cuts it."""
    for close in (Listener.close_idle, Listener.abort):
        visit = Visit()
        assert visit.entrance.is_idle and "10.1.2.3" in repr(visit.entrance)
        visit.listener.use(visit.plan)
        close(visit.listener)
        visit.stand.turn()
        assert visit.wire.is_closed and visit.listener.connections == set()


def test_without_the_directive_there_is_no_entrance() -> None:
    listener = Listener(Stand().reactor, FakePlan())
    assert isinstance(listener.connection(), DownstreamH1)


@pytest.mark.parametrize(
    ("own", "sent"), [("127.0.0.2", LINE + GET), ("127.0.0.2", encode("v2", None) + GET), ("127.0.0.3", GET)]
)
def test_on_real_sockets(loop: asyncio.AbstractEventLoop, own: str, sent: bytes) -> None:
    """Transports change their protocol within `connection_made` and `data_received`: with either event loop."""

    async def conversation() -> None:
        plan = FakePlan()
        plan.introducers = Introducers(("127.0.0.2",))
        listener = Listener(Reactor(loop, Codec()), plan)
        server = await loop.create_server(cast(Any, listener.connection), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(own, 0))
        for data in (sent, GET):
            writer.write(data)
            assert await asyncio.wait_for(reader.readexactly(len(OK)), 5) == OK
        [connection] = listener.connections
        expected = "203.0.113.9" if sent.startswith(LINE) else own
        assert isinstance(connection, DownstreamH1) and connection.peer == expected
        assert connection.addressed == (CLIENT.destination if sent.startswith(LINE) else ("127.0.0.1", port))
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    loop.run_until_complete(conversation())


def test_a_reload_changes_who_introduces() -> None:
    """For connections from then on; one that waits for its header goes on waiting."""
    visit = Visit()
    visit.listener.use(FakePlan())
    assert isinstance(visit.listener.connection(), DownstreamH1)
    assert visit.send(LINE + GET) == OK
    visit.listener.use(visit.plan)
    assert isinstance(visit.listener.connection(), Entrance)
