"""Entrance: the first protocol of a connection whose peer may have to say which client it stands in for.

It stands below everything else that is spoken on the connection: once it is known who is there, the connection is
handed on with whatever followed the header. Addresses that ask nobody for a header have none of this.

Laws:
1. Who has to begin with a PROXY header is decided by the peer's real address alone. Such a peer's connection gets no
   further without one, and nobody else's is looked at.
2. A refused connection is closed without a word: to a proxy an answer in HTTP would look like the application's.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from posthouse.errors import ProtocolError
from posthouse.net.timers import NEVER
from posthouse.protocol import proxy_protocol
from posthouse.protocol.proxy_protocol import Introduction

if TYPE_CHECKING:
    from posthouse.net.listener import Listener

INTRODUCTION_SECONDS: Final = 5.0
"""For the whole header. It comes in one piece, so this is room for a segment that was lost and sent again (the
specification asks for at least 3 s)."""


class Introducers:
    """The peers that have to introduce their clients.

    ranges  networks in CIDR form
    """

    __slots__ = ("_networks",)

    def __init__(self, ranges: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(text) for text in ranges]

    def find(self, peer: str) -> str:
        """The network that a peer is one of, "" for none."""
        try:
            address = ipaddress.ip_address(peer.partition("%")[0])
        except ValueError:
            return ""
        for network in self._networks:
            if network.version == address.version and address in network:
                return str(network)
        return ""


class Entrance:
    """One connection until its header is there. The listener counts it like any other."""

    __slots__ = (
        *("_buffer", "_listener", "_network", "bucket", "deadline", "memo", "peer", "transport", "wake"),
    )

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._buffer = b""
        self._network = ""
        self.peer = ""
        self.memo: object = None
        self.deadline = NEVER
        self.bucket = 0
        self.wake = NEVER

    def __repr__(self) -> str:
        return f"<Entrance {self.peer} bytes={len(self._buffer)}>"

    # -- asyncio's side ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:
        """A peer connected: one of those who introduce, or a client itself."""
        self.transport = transport
        self.peer = peer_of(transport)[0]
        introducers = self._listener.plan.introducers
        self._network = introducers.find(self.peer) if introducers is not None else ""
        if not self._network:
            self._hand_on(None, b"")
            return
        self._listener.connections.add(self)
        reactor = self._listener.reactor
        reactor.timers.set(self, reactor.clock() + INTRODUCTION_SECONDS)

    def data_received(self, data: bytes) -> None:
        """Bytes of the header, and perhaps more."""
        if self.transport.is_closing():
            return
        self._buffer = data = self._buffer + data
        try:
            parsed = proxy_protocol.parse(data)
        except ProtocolError as error:
            self._refuse(error.reason)
            return
        if parsed is not None:
            self._listener.reactor.timers.forget(self)
            self._listener.connections.discard(self)
            self._hand_on(parsed.introduction, data[parsed.size :])

    def eof_received(self) -> bool:
        """The peer sends no more. Without a single byte that is how balancers check a port: nothing to report."""
        if self._buffer and not self.transport.is_closing():
            self._refuse("closed within its PROXY protocol header")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is no more."""
        self._listener.reactor.timers.forget(self)
        self._listener.forget(self)

    def pause_writing(self) -> None:
        """Nothing is written."""

    def resume_writing(self) -> None:
        """Nothing is written."""

    # -- the way on ----------------------------------------------------------------------------------------------

    def _hand_on(self, introduction: Introduction | None, rest: bytes) -> None:
        connection = self._listener.speak()
        if introduction is not None:
            connection.introduce(introduction)
        self.transport.set_protocol(connection)  # type: ignore[arg-type]
        connection.connection_made(self.transport)
        if rest:
            connection.data_received(rest)

    def _refuse(self, reason: str) -> None:
        self._listener.plan.refuse_peer(self.peer, self._network, reason)
        self.transport.abort()

    def on_deadline(self, now: float) -> None:
        """No header in time."""
        self._refuse(f"no PROXY protocol header within {INTRODUCTION_SECONDS:g} s")

    # -- as the listener's other connections -----------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether no request runs."""
        return True

    @property
    def idle_since(self) -> float:
        """NEVER: who has to introduce somebody has its own time, and is not closed for others."""
        return NEVER

    def close_if_idle(self) -> None:
        """Close it: nothing has begun."""
        self.transport.abort()

    def cut(self) -> None:
        """Close it: nothing has begun."""
        self.transport.abort()


def peer_of(transport: asyncio.BaseTransport) -> tuple[str, int]:
    """The address of the peer as the socket has it; ("", 0) if it has none."""
    return _plain(transport.get_extra_info("peername"))


def own_address_of(transport: asyncio.BaseTransport) -> tuple[str, int]:
    """Our own address on that connection; ("", 0) if it has none."""
    return _plain(transport.get_extra_info("sockname"))


def _plain(name: object) -> tuple[str, int]:
    """An IPv4 client of a socket for both families is an IPv4 client."""
    return (name[0].removeprefix("::ffff:"), name[1]) if isinstance(name, tuple) else ("", 0)
