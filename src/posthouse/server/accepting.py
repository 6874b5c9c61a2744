"""Accepting connections: an `Acceptor` per listening address, and `Admission`, which pauses them at a limit.

Laws
- The socket that was bound stays open for as long as the address is served. The event loop listens on a
  duplicate, so that accepting can stop and go on while the kernel keeps the queue of waiting clients.
- Past a limit nobody is refused: accepting pauses, and goes on when a sixteenth of the limit is free.
- To make that room the connections on which nothing has run for longest are closed. One on which anything runs,
  or ran a moment ago, is never cut for a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import socket
import time
from collections.abc import Callable, Iterable, Sized
from typing import Any, Protocol

from posthouse.config.specs import TCPSpec
from posthouse.observe.process_log import ONCE_A_MINUTE, ProcessLog
from posthouse.server import sockets, tcp_settings
from posthouse.server.sockets import ListenKey

BURST = 64
"""Connections that asyncio's own loop accepts in one turn, at most; uvloop takes them one by one.
It asks for their objects in the next turn and counts them in the one after, so that a listener can shoot past a
limit by some bursts: never more than an eighth of the limit each."""

RETRY_SECONDS = 1.0
"""When the kernel has no descriptor left, accepting rests for so long. In the kernel's queue clients wait; accepting
without a descriptor, one loop tells us of each try, and the other closes whoever is in the queue."""

LOOK_SECONDS = 0.25
"""How often it is looked whether a connection has become idle for long enough, while clients wait."""

IDLE_SECONDS = 1.0
"""A connection that has been idle for less is not closed to make room. Its next request may be on its way, which would
be lost; that a client needs longer than this for the next of several requests, or for its first, is rare."""


class Idle(Protocol):
    """What making room needs of a connection."""

    def close_if_idle(self) -> None: ...


class Counted(Protocol):
    """What accepting needs of `net.listener.Listener`."""

    on_closed: Callable[[], None] | None

    @property
    def connections(self) -> Sized: ...

    def connection(self) -> Any:
        """A new connection: what the event loop takes for a protocol."""

    def idle(self, before: float) -> Iterable[tuple[float, Idle]]:
        """The connections on which nothing has run since `before` (monotonic seconds), each with since when."""


class Acceptor:
    """One listening address: the socket that was bound, and who makes a connection of what it accepts.

    limit  connections of this address at most, 0 = only the worker's limit
    burst  connections accepted in one turn of the loop
    tcp    the settings of its socket
    """

    __slots__ = (
        *("_factory", "_is_wanted", "_loop", "_opening", "_server"),
        *("burst", "key", "limit", "listener", "socket", "tcp"),
    )

    def __init__(
        self,
        key: ListenKey,
        listening: socket.socket,
        listener: Counted,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.key = key
        self.socket = listening
        self.listener = listener
        self.limit = 0
        self.burst = BURST
        self.tcp = tcp_settings.DEFAULT
        self._loop = loop
        self._factory: Callable[[], Any] = listener.connection
        self._server: asyncio.AbstractServer | None = None
        self._is_wanted = False
        self._opening: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        state = "accepting" if self.is_accepting else "paused"
        return f"<Acceptor {sockets.show(self.key)} {state} connections={len(self.listener.connections)}>"

    @property
    def is_accepting(self) -> bool:
        return self._is_wanted

    def tune(self, tcp: TCPSpec) -> None:
        """These settings from now on; connections that are open keep theirs."""
        self.tcp = tcp
        tcp_settings.tune(self.socket, tcp)

    def accept(self, factory: Callable[[], Any] | None = None) -> None:
        """Start or go on accepting; with `factory` making the connections from now on.

        Raises OSError when no descriptor is left.
        """
        self._factory = factory or self._factory
        if self._is_wanted:
            return
        duplicate = self.socket.dup()
        duplicate.setblocking(False)
        self._is_wanted = True
        task = self._loop.create_task(self._open(duplicate))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, duplicate: socket.socket) -> None:
        server = await self._loop.create_server(self._factory, sock=duplicate, backlog=self.burst)
        if not self._is_wanted or self._server is not None:  # paused or closed while the server was made
            self._close(server)
            return
        self._server = server
        # The loop has called listen(burst) on what is the same kernel socket.
        self.socket.listen(self.tcp.backlog)

    def pause(self) -> None:
        """Stop accepting; clients that connect wait in the kernel's queue."""
        self._is_wanted = False
        if self._server is not None:
            self._close(self._server)
            self._server = None

    def _close(self, server: asyncio.AbstractServer) -> None:
        """End a server, not before those whom it has accepted have their transports.

        asyncio makes them in a task each, and none for a server that is closed meanwhile: such a connection would hang,
        with its descriptor, until it is collected. uvloop makes them at once, and would go on accepting.
        """
        if isinstance(self._loop, asyncio.BaseEventLoop) and isinstance(server, asyncio.Server):
            for duplicate in server.sockets:
                self._loop.remove_reader(duplicate)
            self._loop.call_soon(server.close)
        else:
            server.close()

    async def close(self) -> None:
        """Stop listening for good. Who has already connected is still served: the queue is emptied first."""
        self.pause()
        await asyncio.sleep(0)  # until the duplicate is closed as well
        waiting = sockets.take_waiting(self.socket)
        self.socket.close()
        for connection in waiting:
            await self.serve(connection)

    async def serve(self, connection: socket.socket) -> None:
        """Serve a connection that was accepted elsewhere."""
        try:
            await self._loop.connect_accepted_socket(self.listener.connection, connection)
        except OSError:  # the client left while it waited
            connection.close()


class Admission:
    """Holds the number of downstream connections at the limits, by pausing acceptors.

    limit  connections of the whole worker; each acceptor may have a lower one of its own
    full   how often an acceptor came to a limit
    rests  how often the kernel had no descriptor
    """

    __slots__ = (
        *("_acceptors", "_clock", "_is_resting", "_left", "_log", "_loop", "_next_look"),
        *("full", "limit", "rests"),
    )

    def __init__(
        self,
        limit: int,
        loop: asyncio.AbstractEventLoop,
        log: ProcessLog,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limit = limit
        self.full = self.rests = 0
        self._acceptors: dict[ListenKey, Acceptor] = {}
        self._clock = clock
        self._is_resting = False
        self._left = limit
        self._log = log
        self._loop = loop
        self._next_look: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Admission connections={self.count()} limit={self.limit}>"

    def count(self) -> int:
        """Downstream connections that are open now."""
        return sum(len(acceptor.listener.connections) for acceptor in self._acceptors.values())

    @property
    def is_full(self) -> bool:
        """Whether somebody may wait in the kernel's queue because a limit of connections is reached."""
        return not self._is_resting and any(not one.is_accepting for one in self._acceptors.values())

    @property
    def is_resting(self) -> bool:
        """Whether nobody is accepted for want of a descriptor."""
        return self._is_resting

    def admit(self, acceptor: Acceptor) -> None:
        """Begin to accept there, within the limits."""
        self._acceptors[acceptor.key] = acceptor
        acceptor.burst = max(1, min(BURST, self.limit // 8, (acceptor.limit or self.limit) // 8))
        connection = acceptor.listener.connection

        def counted() -> Any:
            self._left -= 1
            if not self._left:
                # Both loops add the connection to `connections` one turn after they ask for it.
                self._loop.call_soon(self._loop.call_soon, self.look)
            return connection()

        acceptor.accept(counted)
        self.look()

    def dismiss(self, key: ListenKey) -> None:
        """Forget an acceptor that is about to close."""
        self._acceptors.pop(key).listener.on_closed = None
        self.look()

    def rest(self) -> None:
        """The kernel had no descriptor for somebody: accept nobody for a moment, and close who has been idle."""
        if not self._is_resting:
            self._is_resting = True
            self.rests += 1
            # Connections that were accepted in this turn count from the next one on.
            self._loop.call_soon(self._loop.call_soon, self._rest)

    def _rest(self) -> None:
        count = self.count()
        closed = self._close_idle(self._acceptors.values(), max(1, count // 16))
        self._log.warn(
            "accepting rests: no descriptor left",
            key="",
            limit=ONCE_A_MINUTE,
            connections=count,
            closed_idle=closed,
        )
        self._loop.call_later(RETRY_SECONDS, self._rested)
        self.look()

    def _rested(self) -> None:
        self._is_resting = False
        self.look()

    def look(self) -> None:
        """Pause whoever is over a limit, let go on whoever has room again.

        Then so many connections may come before it is worth looking again: none of them needs to be counted.
        """
        count = self.count()
        for acceptor in self._acceptors.values():
            if acceptor.is_accepting and (self._is_resting or self._is_over(acceptor, count)):
                acceptor.pause()
                self.full += not self._is_resting
            elif not acceptor.is_accepting and self._has_room(acceptor, count):
                self._resume(acceptor)
        # While somebody waits, every connection that ends is a reason to look again; otherwise none is told.
        waiting = [acceptor for acceptor in self._acceptors.values() if not acceptor.is_accepting]
        self._wait(waiting, count)
        room = [self.limit - count]
        for acceptor in self._acceptors.values():
            acceptor.listener.on_closed = self.look if waiting else None
            if acceptor.limit:
                room.append(acceptor.limit - len(acceptor.listener.connections))
        self._left = max(1, min(room))

    def _wait(self, waiting: list[Acceptor], count: int) -> None:
        """Make room for those who wait: at once, and as long as they do in each LOOK_SECONDS."""
        if not waiting or self._is_resting:
            if self._next_look is not None:
                self._next_look.cancel()
                self._next_look = None
            return
        if self._next_look is not None:
            return  # what was closed a moment ago still counts: closing more would be too many
        self._next_look = self._loop.call_later(LOOK_SECONDS, self._look_again)
        closed = 0
        if count > _low(self.limit):
            closed = self._close_idle(self._acceptors.values(), count - _low(self.limit))
        for acceptor in waiting:
            own = len(acceptor.listener.connections)
            if acceptor.limit and own > _low(acceptor.limit):
                closed += self._close_idle((acceptor,), own - _low(acceptor.limit))
        self._warn(waiting[0], count, closed)

    def _look_again(self) -> None:
        self._next_look = None
        self.look()

    def _close_idle(self, acceptors: Iterable[Acceptor], most: int) -> int:
        """Close the connections that have been idle for longest; how many those were.

        The cost grows with the number of connections, and is paid once for a sixteenth of them.
        """
        before = self._clock() - IDLE_SECONDS
        idle = [found for acceptor in acceptors for found in acceptor.listener.idle(before)]
        longest = heapq.nsmallest(most, idle, key=lambda found: found[0])
        for _, connection in longest:
            connection.close_if_idle()
        return len(longest)

    def _resume(self, acceptor: Acceptor) -> None:
        # Without a descriptor it stays paused, and will be looked after.
        with contextlib.suppress(OSError):
            acceptor.accept()

    def _is_over(self, acceptor: Acceptor, count: int) -> bool:
        own = acceptor.limit
        return count >= self.limit or (own > 0 and len(acceptor.listener.connections) >= own)

    def _has_room(self, acceptor: Acceptor, count: int) -> bool:
        if self._is_resting:
            return False
        own = acceptor.limit
        return count <= _low(self.limit) and (not own or len(acceptor.listener.connections) <= _low(own))

    def _warn(self, acceptor: Acceptor, count: int, closed: int) -> None:
        # At the limit, pausing and resuming alternate quickly.
        self._log.warn(
            "accepting paused at the connection limit",
            key="",
            limit=ONCE_A_MINUTE,
            listener=sockets.show(acceptor.key),
            connections=count,
            most=min(self.limit, acceptor.limit or self.limit),
            closed_idle=closed,
        )


def _low(limit: int) -> int:
    return limit - max(1, limit // 16)
