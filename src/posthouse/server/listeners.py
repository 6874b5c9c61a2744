"""All listening addresses of one worker: bound, swapped to a new generation, closed, drained, cut."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from posthouse.server import accepting, sockets
from posthouse.server.accepting import Acceptor, Admission
from posthouse.server.sockets import ListenKey


class Listener(accepting.Listener, Protocol):
    """What a worker needs of `net.listener.Listener`."""

    def drain(self) -> None:
        """No further request: close what is idle, end what is busy with its response."""

    def abort(self) -> None:
        """Cut every connection."""


class Listeners:
    """The acceptors by address, and the listeners of former addresses whose connections are still open.

    make  makes the listener that hands its connections to a plan
    """

    __slots__ = ("_acceptors", "_admission", "_leaving", "_loop", "_make")

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

    def __repr__(self) -> str:
        return f"<Listeners {len(self._acceptors)} connections={self.connections()}>"

    def bind(
        self, keys: Iterable[ListenKey], inherited: Mapping[ListenKey, socket.socket] | None = None
    ) -> dict[ListenKey, socket.socket]:
        """Sockets for those addresses that are not served yet; `inherited` ones are taken as they are.

        All or none: raises StartError for the first that fails, with the others closed again.
        """
        bound: dict[ListenKey, socket.socket] = {}
        ours = {key: acceptor.socket for key, (acceptor, _) in self._acceptors.items()}
        try:
            for key in keys:
                if inherited and key in inherited:
                    bound[key] = inherited[key]
                elif key not in ours and key not in bound:
                    bound[key] = sockets.bind(key, _neighbours(key, {**ours, **bound}))
        except BaseException:
            for opened in bound.values():
                opened.close()
            raise
        return bound

    async def swap(self, plans: Mapping[ListenKey, Any], bound: Mapping[ListenKey, socket.socket]) -> None:
        """Serve exactly `plans` from now on; `bound` has a socket for each address that is new.

        Addresses that stay change their plan at once and together, before anything here waits.
        """
        for key, plan in plans.items():
            if key in self._acceptors:
                self._acceptors[key][1].plan = plan
        new = [self._add(key, listening, plans[key]) for key, listening in bound.items()]
        gone = [self._acceptors.pop(key) for key in list(self._acceptors) if key not in plans]
        for acceptor in new:
            await self._admission.admit(acceptor)
        await self._close(gone)

    def _add(self, key: ListenKey, listening: socket.socket, plan: Any) -> Acceptor:
        listener = self._make(plan)
        acceptor = Acceptor(key, listening, listener, self._loop)
        self._acceptors[key] = (acceptor, listener)
        return acceptor

    async def close(self) -> None:
        """Stop listening everywhere and drain; connections that are busy stay."""
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

    def abort(self) -> None:
        """Cut whatever is still open on addresses that were closed."""
        for listener in self._leaving:
            listener.abort()

    def connections(self) -> int:
        """Downstream connections that are open, those of former addresses included."""
        serving = sum(len(listener.connections) for _, listener in self._acceptors.values())
        return serving + sum(len(listener.connections) for listener in self._leaving)

    def ports(self) -> dict[ListenKey, int]:
        """The real port of each address."""
        return {key: sockets.port_of(acceptor.socket) for key, (acceptor, _) in self._acceptors.items()}


def _neighbours(key: ListenKey, ours: Mapping[ListenKey, socket.socket]) -> list[socket.socket]:
    """Our sockets on the same port: the kernel refuses "127.0.0.1:80" beside ":80" unless both agree."""
    host, port = key
    return [listening for (other, at), listening in ours.items() if port and at == port and other != host]
