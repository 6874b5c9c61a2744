"""The other side of a TLS connection for tests, a blocking socket, and protocols that write down what they are told."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from kit.certificates import client_context, server_context
from posthouse.net.tls_engine import Scratch, TLSEngine
from posthouse.net.tls_transport import TLSTransport

T = TypeVar("T")
NAME = "backend.test"


class Above(asyncio.Protocol):
    """The protocol above."""

    def __init__(self, *, keeps_open: bool = False) -> None:
        self.keeps_open = keeps_open
        self.events: list[str] = []
        self.data = bytearray()
        self.pieces = 0
        self.lost: Exception | None = None
        self.transport: Any = None
        self.on_data: Callable[[], None] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.events.append("made")

    def data_received(self, data: bytes) -> None:
        assert data
        self.data += data
        self.pieces += 1
        if self.on_data is not None:
            self.on_data()

    def eof_received(self) -> bool:
        self.events.append("eof")
        return self.keeps_open

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = exc
        self.events.append("lost")

    def pause_writing(self) -> None:
        self.events.append("full")

    def resume_writing(self) -> None:
        self.events.append("ready")


class Into(asyncio.BufferedProtocol):
    """A protocol that offers a buffer of its own of `size` bytes."""

    def __init__(self, above: Above, size: int) -> None:
        self.above = above
        self.buffer = bytearray(size)

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self.buffer)

    def buffer_updated(self, nbytes: int) -> None:
        self.above.data_received(bytes(self.buffer[:nbytes]))


class Stage:
    """A loop with what TLS transports of one worker share."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.scratch = Scratch()
        self.told: list[Any] = []
        self.transports: list[TLSTransport] = []

    def run(self, until: Callable[[], Any], timeout: float = 10.0) -> None:
        """Let the loop turn until something holds."""

        async def wait() -> None:
            async with asyncio.timeout(timeout):
                while not until():  # noqa: ASYNC110
                    await asyncio.sleep(0.001)

        self.loop.run_until_complete(wait())

    def turn(self, seconds: float = 0.02) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def blocking(self, call: Callable[[], T]) -> T:
        """What a peer does on its blocking socket while the loop turns."""
        return self.loop.run_until_complete(asyncio.wait_for(self.loop.run_in_executor(None, call), 15))

    def transport(self, above: Any, sock: socket.socket, engine: TLSEngine | None = None) -> TLSTransport:
        """TLS over a connected socket; the handshake has begun."""
        engine = engine or TLSEngine(client_context(), name=NAME)
        made = TLSTransport(self.loop, self.scratch, engine, above, self.told.append)
        self.transports.append(made)
        sock.setblocking(False)
        self.loop.run_until_complete(self.loop.create_connection(lambda: made, sock=sock))
        return made

    def connect(
        self, above: Any, peer_context: ssl.SSLContext | None = None, engine: TLSEngine | None = None
    ) -> tuple[TLSTransport, ssl.SSLSocket]:
        """A connection whose handshake is complete, and the peer's end of it, a blocking socket."""
        return self._connected(socket.socketpair(), above, peer_context, engine)

    def connect_tcp(self, above: Any) -> tuple[TLSTransport, ssl.SSLSocket]:
        """The same over TCP, where an end with unread bytes is a reset."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            ours = socket.create_connection(server.getsockname())
            theirs, _ = server.accept()
        theirs.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._connected((ours, theirs), above, None, None)

    def _connected(
        self,
        ends: tuple[socket.socket, socket.socket],
        above: Any,
        peer_context: ssl.SSLContext | None,
        engine: TLSEngine | None,
    ) -> tuple[TLSTransport, ssl.SSLSocket]:
        ours, theirs = ends
        context = peer_context or server_context(NAME)
        is_server = context.protocol == ssl.PROTOCOL_TLS_SERVER
        transport = self.transport(above, ours, engine)
        theirs.settimeout(10)
        name = None if is_server else NAME
        peer = self.blocking(
            lambda: context.wrap_socket(
                theirs, server_side=is_server, server_hostname=name, suppress_ragged_eofs=False
            )
        )
        self.run(lambda: self.told)
        return transport, peer

    def close(self) -> None:
        for transport in self.transports:
            transport.abort()
        self.turn()


@contextlib.contextmanager
def staged(loop: asyncio.AbstractEventLoop) -> Iterator[Stage]:
    stage = Stage(loop)
    try:
        yield stage
    finally:
        stage.close()
