"""All listening addresses of one worker: swapped to a new generation, closed, drained, cut."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from posthouse.config.specs import TCPSpec
from posthouse.server import sockets, tcp_settings
from posthouse.server.accepting import Acceptor, Admission, Counted, Idle
from posthouse.server.sockets import ListenKey

IDLE_GRACE_SECONDS = 0.25
"""A client may be sending its next request just when we stop: idle connections are closed only after this."""


class Listener(Counted, Protocol):
    """What a worker needs of `net.listener.Listener`."""

    plan: Any

    def use(self, plan: Any) -> None:
        """Hand requests to `plan` from now on."""

    def drain(self) -> None:
        """No further request on any connection; those that are idle stay open."""

    def close_idle(self) -> None:
        """Close the connections on which nothing runs."""

    def idle(self, before: float) -> Sequence[tuple[float, Idle]]: ...
    def refuse(self, is_refusing: bool) -> None: ...
    def abort(self) -> int:
        """Cut every connection; how many that were."""


class Served(NamedTuple):
    """What one address does from now on: the plan for its requests, its connection limit (0 = none), its settings."""

    plan: Any
    limit: int = 0
    tcp: TCPSpec = tcp_settings.DEFAULT


class Listeners:
    """The acceptors by address, and the listeners of former addresses whose connections are still open.

    make  makes the listener that hands its connections to a plan
    """

    __slots__ = ("_acceptors", "_admission", "_is_refusing", "_leaving", "_loop", "_make")

    def __init__(
        self,
        make: Callable[[Any], Listener],
        admission: Admission,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._make = make
        self._admission = admission
        self._loop = loop
        self._acceptors: dict[ListenKey, tuple[Acceptor, Listener]] = {}
        self._leaving: list[Listener] = []
        self._is_refusing = False

    def __repr__(self) -> str:
        return f"<Listeners {len(self._acceptors)} connections={self.connections()}>"

    async def swap(
        self, served: Mapping[ListenKey, Served], bound: Mapping[ListenKey, socket.socket]
    ) -> None:
        """Serve exactly these addresses from now on; `bound` has a socket for each that is new.

        Addresses that stay change their plan at once and together, before anything here waits.
        """
        new = [self._add(key, listening, served[key]) for key, listening in bound.items()]
        gone = [self._acceptors.pop(key) for key in list(self._acceptors) if key not in served]
        for key, (acceptor, listener) in self._acceptors.items():
            plan, acceptor.limit, tcp = served[key]
            listener.use(plan)
            if tcp != acceptor.tcp:
                acceptor.tune(tcp)
        for acceptor in new:
            self._admission.admit(acceptor)
        await self._close(gone)
        self._admission.look()

    def _add(self, key: ListenKey, listening: socket.socket, served: Served) -> Acceptor:
        listener = self._make(served.plan)
        acceptor = Acceptor(key, listening, listener, self._loop)
        acceptor.limit = served.limit
        acceptor.tune(served.tcp)
        if self._is_refusing:
            listener.refuse(True)
        self._acceptors[key] = (acceptor, listener)
        return acceptor

    async def close(self) -> None:
        """Stop listening everywhere and drain: what is busy stays, what is idle is closed a moment later."""
        gone = list(self._acceptors.values())
        self._acceptors.clear()
        await self._close(gone)

    async def _close(self, gone: list[tuple[Acceptor, Listener]]) -> None:
        self._leaving = [listener for listener in self._leaving if len(listener.connections)]
        for acceptor, listener in gone:
            self._leaving.append(listener)
            self._admission.dismiss(acceptor.key)
            await acceptor.close()
            listener.drain()
            self._loop.call_later(IDLE_GRACE_SECONDS, listener.close_idle)

    async def adopt(self, key: ListenKey, listening: socket.socket) -> None:
        """Serve whoever waits in the queue of a further socket of an address; then close it."""
        served = self._acceptors.get(key)
        waiting = sockets.take_waiting(listening)
        listening.close()
        for connection in waiting:
            if served is None:
                connection.close()
                continue
            await served[0].serve(connection)

    def abort(self) -> int:
        """Cut whatever is still open on addresses that were closed; how many connections that were."""
        return sum(listener.abort() for listener in self._leaving)

    def refuse(self, is_refusing: bool) -> None:
        """Answer new requests with 503 on every address, those of later generations included; or serve again."""
        self._is_refusing = is_refusing
        for _, listener in self._acceptors.values():
            listener.refuse(is_refusing)

    def close_idle(self, before: float) -> int:
        """Close the connections on which nothing has run since `before` (monotonic); how many those were."""
        idle = [found for _, listener in self._acceptors.values() for found in listener.idle(before)]
        for _, connection in idle:
            connection.close_if_idle()
        return len(idle)

    def connections(self) -> int:
        """Downstream connections that are open, those of former addresses included."""
        serving = sum(len(listener.connections) for _, listener in self._acceptors.values())
        return serving + sum(len(listener.connections) for listener in self._leaving)
