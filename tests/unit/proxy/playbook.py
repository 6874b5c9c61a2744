"""A stage without I/O for the request's path: both peers, the clock and the dialling are in the test's hand.

    play = Play(route("a", "b"))
    play.request("GET / HTTP/1.1", "Host: x")         # what comes
    play.connect("a").answers("200 OK", body=b"hi")   # what we must do, and what the backend says
    assert play.client.answer.body == b"hi"           # what the client gets
    assert play.over() == ["200 a"]                   # what was recorded; everything was given back

The fakes are strict: what the real connections could not survive (a second release, a byte after the end, two
attempts at once) is an AssertionError here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from posthouse.balance.backend import Backend
from posthouse.config.specs import (
    RouteSpec,
    SiteSpec,
)
from posthouse.errors import Failure, FailureKind, Sent, Side
from posthouse.net.handler import DownstreamTimeouts
from posthouse.protocol.h1 import Codec, HeadLimits
from posthouse.proxy.exchange import Exchange
from posthouse.proxy.plan import ListenerPlan
from posthouse.proxy.ports import Services, Stream, Upstream
from posthouse.proxy.site import LogScope, Site, Sites
from unit.proxy.peers import Client, Connection
from unit.proxy.samples import OFF, address, build_route, read_head
from unit.proxy.world import Dial, World


class Tally:
    """Counts the exchanges of a generation."""

    def __init__(self) -> None:
        self._in_flight = self.ended = 0

    @property
    def in_flight(self) -> int:
        return self._in_flight

    @in_flight.setter
    def in_flight(self, count: int) -> None:
        assert count >= 0, "an exchange was finished twice"
        self.ended += count < self._in_flight
        self._in_flight = count

    def on_last_finished(self) -> None:
        assert not self._in_flight


class Lines:
    """An access log that the test reads: "STATUS BACKEND [xATTEMPTS] [FAILURE]" for each exchange."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, line: bytes) -> None:
        self.lines.append(line.decode())

    @staticmethod
    def line(subject: Any) -> bytes:
        assert subject.finished
        upstream = (subject.upstream or "-").removeprefix("http://")
        words = [str(subject.status), upstream]
        if subject.attempts > 1:
            words.append(f"x{subject.attempts}")
        if subject.failure:
            words.append(subject.failure)
        return " ".join(words).encode()


class Play:
    """One site on one listening address with one client. All of it is real but the two peers and the time."""

    def __init__(self, *routes: RouteSpec, at: Sequence[str] = ("",), **site: Any) -> None:
        self.world = World()
        self.codec = Codec()
        self.tally = Tally()
        self.recorded = Lines()
        targets = self.codec.targets
        addresses = tuple(address(text) for text in at)
        self.routes = [build_route(spec, targets) for spec in routes]
        logs = [LogScope("/", self.recorded.line, self.recorded)]
        self.site = Site(SiteSpec(addresses, routes=routes, **site), self.routes, logs, targets)
        sites = Sites([(one.host, one.path, self.site) for one in addresses], targets)
        self.plan = ListenerPlan(sites, HeadLimits(), DownstreamTimeouts(), self.world, self.tally)
        self.client = Client(self.world)

    @property
    def backends(self) -> list[Backend]:
        return [backend for one in self.routes for backend in one.pool.backends]

    def backend(self, host: str) -> Backend:
        return next(one for one in self.backends if one.endpoint.host == host)

    def held(self) -> dict[str, int]:
        """Backends that are held now, how often."""
        return {one.endpoint.host: one.in_flight for one in self.backends if one.in_flight}

    def request(self, *lines: str, body: bytes = b"", more: bool = False) -> Exchange:
        """A request comes: head lines (GET / of host x without any), and what came of its body."""
        head = read_head("\n".join(lines or ("GET / HTTP/1.1", "Host: x")), self.codec)
        client = self.client
        client.has_whole_request = not more
        client.stall_limit = OFF  # as the connection does when a request begins
        client.exchange = exchange = self.plan.begin(client, head, self.world.now)
        exchange.start(body, not more)
        return exchange

    def warm(self, host: str = "a") -> Connection:
        """A connection from an earlier exchange is there."""
        connection = Connection(self.world, host, is_reused=True)
        self.world.warm.setdefault(host, []).append(connection)
        return connection

    def connect(self, host: str = "a") -> Connection:
        """The backend must be the one that is dialled now; the connection comes about."""
        connection = Connection(self.world, host)
        self._dial(host).end(connection)
        return connection

    def refuse(self, host: str = "a", kind: FailureKind = FailureKind.CONNECT) -> None:
        """The backend must be the one that is dialled now; there is no connection."""
        self._dial(host).end(Failure(kind, Side.UPSTREAM, "test", Sent.NOTHING))

    def dialled(self) -> list[str]:
        """Who is being dialled now."""
        return [dial.backend.endpoint.host for dial in self.world.dials if dial.is_pending]

    def _dial(self, host: str) -> Dial:
        (dial,) = (dial for dial in self.world.dials if dial.is_pending)
        assert dial.backend.endpoint.host == host
        return dial

    def lose_tunnel(self) -> None:
        """The client's connection is lost, and what the backend's had to take has gone out."""
        (joined,) = (one for one in self.world.connections if one.state == "tunnel")
        joined.state = "closed"
        self.client.wire.protocol.connection_lost(None)
        joined.wire.protocol.connection_lost(None)

    def over(self) -> list[str]:
        """What was recorded; and everything must have been given back, and nothing be still to come."""
        assert self.tally.in_flight == 0
        assert self.held() == {}
        assert self.world.live_timers() == []
        assert self.dialled() == []
        assert not self.world.timers.members
        assert [one for one in self.world.connections if one.state not in ("released", "closed")] == []
        return self.recorded.lines


def as_ports(world: World, client: Client, connection: Connection) -> tuple[Services, Stream, Upstream]:
    """The type checker's proof that the fakes are what the request's path asks for."""
    return world, client, connection
