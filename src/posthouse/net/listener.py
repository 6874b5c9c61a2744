"""Listener: one listening address of a worker, across generations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from posthouse.net.downstream_h1 import DownstreamH1
from posthouse.net.entrance import Entrance
from posthouse.net.handler import Plan
from posthouse.net.reactor import Reactor


class Downstream(Protocol):
    """What a listener needs of its connections."""

    memo: object

    @property
    def idle_since(self) -> float: ...
    def close_if_idle(self) -> None: ...
    def cut(self) -> None: ...


class Listener:
    """Makes the connections of one listening address and knows those that live.

    plan         what happens with requests; swapped by a reload, read anew for each request
    is_draining  no request follows the current one on any connection
    is_refusing  requests are answered with 503, and their connections end
    on_closed    called after a connection went, so that a paused accept can go on; may be None
    """

    __slots__ = ("connections", "is_draining", "is_refusing", "on_closed", "plan", "reactor", "scheme")

    def __init__(self, reactor: Reactor, plan: Plan, scheme: str = "http") -> None:
        self.reactor = reactor
        self.plan = plan
        self.scheme = scheme
        self.connections: set[Downstream] = set()
        self.is_draining = False
        self.is_refusing = False
        self.on_closed: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"<Listener connections={len(self.connections)} draining={self.is_draining}>"

    def connection(self) -> DownstreamH1 | Entrance:
        """The protocol of a new connection (asyncio's protocol factory)."""
        self.reactor.accepted += 1
        return DownstreamH1(self) if self.plan.introducers is None else Entrance(self)

    def speak(self) -> DownstreamH1:
        """What speaks with a client once it is known who that is."""
        return DownstreamH1(self)

    def use(self, plan: Plan) -> None:
        """A new generation serves: no connection holds on to what it worked out with the old one."""
        self.plan = plan
        plan.is_refusing = self.is_refusing
        for connection in self.connections:
            connection.memo = None

    def refuse(self, is_refusing: bool) -> None:
        """Answer every request from now on with 503, or serve again; what runs goes on."""
        self.is_refusing = is_refusing
        self.use(self.plan)

    def forget(self, connection: Downstream) -> None:
        """A connection has ended."""
        self.connections.discard(connection)
        if self.on_closed is not None:
            self.on_closed()

    def drain(self) -> None:
        """Answer what runs with `Connection: close`; idle connections are the caller's to close after a grace."""
        self.is_draining = True

    def close_idle(self) -> None:
        """Close the connections on which nothing runs."""
        for connection in tuple(self.connections):
            connection.close_if_idle()

    def idle(self, before: float) -> list[tuple[float, Downstream]]:
        """The connections on which nothing has run since `before` (monotonic seconds), each with since when."""
        return [(since, one) for one in self.connections if (since := one.idle_since) <= before]

    def abort(self) -> int:
        """Cut what is left; answers how many connections that were."""
        left = tuple(self.connections)
        for connection in left:
            connection.cut()
        return len(left)
