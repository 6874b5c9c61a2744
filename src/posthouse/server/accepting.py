"""Accepting connections: an `Acceptor` per listening address, and `Admission`, which pauses them at a limit.

Laws
- The socket that was bound stays open for as long as the address is served. The event loop listens on a
  duplicate, so that accepting can stop and go on while the kernel keeps the queue of waiting clients.
- Past a limit nobody is refused or cut: accepting pauses, and goes on when a sixteenth of the limit is free.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sized
from typing import Any, Protocol

from posthouse.server import sockets
from posthouse.server.sockets import ListenKey

BURST = 64
"""Connections that asyncio's own loop accepts in one turn: how far one listener can shoot past the limit."""

LOOK_AGAIN_SECONDS = 0.05
"""How often a paused acceptor looks whether there is room again. Only while paused."""

WARN_SECONDS = 60.0
"""At most one warning a minute: at the limit, pausing and resuming alternate quickly."""

ProtocolFactory = Callable[[], asyncio.BaseProtocol]


class Listener(Protocol):
    """What accepting needs of `net.listener.Listener`: its connections, and its own limit (0 = none)."""

    plan: Any
    limit: int

    @property
    def connections(self) -> Sized: ...

    def connection(self) -> asyncio.BaseProtocol: ...


class Warner(Protocol):
    def warn(self, what: str, **fields: object) -> None: ...


class Acceptor:
    """One listening address: the socket that was bound, and who makes a connection of what it accepts."""

    __slots__ = ("_factory", "_is_wanted", "_loop", "_server", "key", "listener", "socket")

    def __init__(
        self,
        key: ListenKey,
        listening: socket.socket,
        listener: Listener,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.key = key
        self.socket = listening
        self.listener = listener
        self._loop = loop
        self._factory: ProtocolFactory = listener.connection
        self._server: asyncio.AbstractServer | None = None
        self._is_wanted = False

    def __repr__(self) -> str:
        state = "accepting" if self.is_accepting else "paused"
        return f"<Acceptor {sockets.show(self.key)} {state} connections={len(self.listener.connections)}>"

    @property
    def is_accepting(self) -> bool:
        return self._is_wanted

    async def accept(self, factory: ProtocolFactory | None = None) -> None:
        """Start or go on accepting; with `factory` making the connections from now on."""
        self._factory = factory or self._factory
        if self._is_wanted:
            return
        self._is_wanted = True
        duplicate = self.socket.dup()
        duplicate.setblocking(False)
        server = await self._loop.create_server(self._factory, sock=duplicate, backlog=BURST)
        # The loop has called listen(BURST) on what is the same kernel socket.
        self.socket.listen(sockets.BACKLOG)
        if self._is_wanted and self._server is None:
            self._server = server
        else:  # paused while the server was made
            server.close()

    def pause(self) -> None:
        """Stop accepting; clients that connect wait in the kernel's queue."""
        self._is_wanted = False
        if self._server is not None:
            self._server.close()
            self._server = None

    async def close(self) -> None:
        """Stop listening for good. Who has already connected is still served: the queue is emptied first."""
        self.pause()
        waiting = sockets.take_waiting(self.socket)
        self.socket.close()
        for connection in waiting:
            try:
                await self._loop.connect_accepted_socket(self.listener.connection, connection)
            except OSError:  # the client left while it waited
                connection.close()


class Admission:
    """Holds the number of downstream connections at the limits, by pausing acceptors.

    limit  connections of the whole worker; each listener may have a lower one of its own
    """

    __slots__ = ("_acceptors", "_is_looking", "_log", "_loop", "_warned", "limit")

    def __init__(self, limit: int, loop: asyncio.AbstractEventLoop, log: Warner) -> None:
        self.limit = limit
        self._acceptors: dict[ListenKey, Acceptor] = {}
        self._loop = loop
        self._log = log
        self._warned = -WARN_SECONDS
        self._is_looking = False

    def count(self) -> int:
        """Downstream connections that are open now."""
        return sum(len(acceptor.listener.connections) for acceptor in self._acceptors.values())

    async def admit(self, acceptor: Acceptor) -> None:
        """Begin to accept there, within the limits."""
        self._acceptors[acceptor.key] = acceptor
        connection = acceptor.listener.connection

        def counted() -> asyncio.BaseProtocol:
            made = connection()
            # It may not be in `connections` yet. A server must not be closed inside its own accept callback.
            if self._is_over(acceptor, self.count() + 1):
                self._loop.call_soon(self.look)
            return made

        await acceptor.accept(counted)

    def dismiss(self, key: ListenKey) -> None:
        """Forget an acceptor that is about to close."""
        self._acceptors.pop(key, None)

    def look(self) -> None:
        """Pause whoever is over a limit, let go on whoever has room again."""
        count = self.count()
        for acceptor in self._acceptors.values():
            if acceptor.is_accepting and self._is_over(acceptor, count):
                acceptor.pause()
                self._warn(acceptor, count)
            elif not acceptor.is_accepting and self._has_room(acceptor, count):
                self._loop.create_task(acceptor.accept())
        if not self._is_looking and not all(a.is_accepting for a in self._acceptors.values()):
            self._is_looking = True
            self._loop.call_later(LOOK_AGAIN_SECONDS, self._look_again)

    def _look_again(self) -> None:
        self._is_looking = False
        self.look()

    def _is_over(self, acceptor: Acceptor, count: int) -> bool:
        own = acceptor.listener.limit
        return count >= self.limit or (own > 0 and len(acceptor.listener.connections) >= own)

    def _has_room(self, acceptor: Acceptor, count: int) -> bool:
        own = acceptor.listener.limit
        return count <= _low(self.limit) and (not own or len(acceptor.listener.connections) <= _low(own))

    def _warn(self, acceptor: Acceptor, count: int) -> None:
        now = self._loop.time()
        if now - self._warned < WARN_SECONDS:
            return
        self._warned = now
        self._log.warn(
            "accepting paused: connection limit reached",
            listener=sockets.show(acceptor.key),
            connections=count,
            limit=min(self.limit, acceptor.listener.limit or self.limit),
        )


def _low(limit: int) -> int:
    return limit - max(1, limit // 16)
