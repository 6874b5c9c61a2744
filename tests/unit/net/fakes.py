"""Stand-ins for what uses connections: a plan with its exchanges, and the receiver of a response.

Each writes down what it is told, bodies joined, so that what happens can be compared however the bytes were cut.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from posthouse.errors import Failure, FailureKind, ProtocolError
from posthouse.net.downstream_answer import SIZED
from posthouse.net.downstream_h1 import DownstreamH1
from posthouse.net.entrance import Introducers
from posthouse.net.handler import DownstreamTimeouts
from posthouse.net.listener import Listener
from posthouse.net.upstream_h1 import UpstreamH1
from posthouse.protocol.fields import Field
from posthouse.protocol.h1 import HeadLimits, RequestHead, ResponseHead
from unit.net.wire import Stand, Wire

Event = tuple[object, ...]


def pairs(fields: list[Field]) -> list[tuple[bytes, bytes]]:
    """Names and values."""
    return [(field.name, field.value) for field in fields]


class Told:
    """A list of events in which neighbouring pieces of a body are one."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def add(self, *event: object) -> None:
        self.events.append(event)

    def body(self, data: bytes) -> None:
        if self.events and self.events[-1][0] == "body":
            before = self.events[-1][1]
            assert isinstance(before, bytes)
            self.events[-1] = ("body", before + data)
        elif data:
            self.events.append(("body", data))

    @property
    def names(self) -> list[object]:
        return [event[0] for event in self.events]


class FakeExchange(Told):
    """What a request is given to. It does with each event what `react` says."""

    def __init__(
        self, stream: DownstreamH1, head: RequestHead, react: Callable[[FakeExchange], None]
    ) -> None:
        super().__init__()
        self.stream = stream
        self.head = head
        self._react = react
        self.add("head", head.method, head.target.raw, pairs(head.fields.kept))

    def _tell(self, *event: object) -> None:
        self.add(*event)
        self._react(self)

    def start(self, body: bytes, is_end: bool) -> None:
        self.body(body)
        if is_end:
            self._tell("end", [])
        else:
            self._react(self)

    def on_request_body(self, data: bytes) -> None:
        assert data
        self.body(data)
        self._react(self)

    def on_request_end(self, trailers: list[Field]) -> None:
        self._tell("end", pairs(trailers))

    def on_request_broken(self, error: ProtocolError, kind: FailureKind) -> None:
        self._tell("broken", error.status, kind)

    def on_downstream_lost(self, kind: FailureKind) -> None:
        self._tell("lost", kind)

    def on_downstream_full(self) -> None:
        self._tell("full")

    def on_downstream_ready(self) -> None:
        self._tell("ready")

    def on_body_pumped(self, size: int) -> None:
        assert size > 0

    def answer(self, body: bytes = b"ok", status: bytes = b"200 OK") -> None:
        """A small whole answer."""
        self.stream.send_head(status, b"Content-Length: %d\r\n" % len(body), SIZED, body, True)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
OK_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
BROKEN = b"%d broken"


def answer_at_end(exchange: FakeExchange) -> None:
    """What most exchanges do: 200 when the request is complete, its status when it is broken, silence when lost."""
    match exchange.events[-1]:
        case ("end", _):
            exchange.answer()
        case ("broken", int(status), _):
            exchange.stream.close_after_answer()
            exchange.answer(b"", BROKEN % status)


def wait(exchange: FakeExchange) -> None:
    """Nothing yet: the test answers."""


class FakePlan:
    """Remembers its exchanges; `react` is what they do."""

    def __init__(
        self,
        react: Callable[[FakeExchange], None] = answer_at_end,
        *,
        limits: HeadLimits | None = None,
        timeouts: DownstreamTimeouts | None = None,
    ) -> None:
        self.react = react
        self.limits = limits or HeadLimits()
        self.timeouts = timeouts or DownstreamTimeouts()
        self.has_totals = timeouts is not None
        self.is_refusing = False
        self.introducers: Introducers | None = None
        self.has_nodelay = True
        self.refused_peers: list[tuple[str, str, str]] = []
        self.exchanges: list[FakeExchange] = []
        self.refused: list[ProtocolError] = []

    def begin(self, stream: Any, head: RequestHead, now: float) -> FakeExchange:
        assert not self.exchanges or stream.exchange is None, "one request at a time"
        exchange = FakeExchange(stream, head, self.react)
        self.exchanges.append(exchange)
        return exchange

    def refuse(self, stream: Any, error: ProtocolError, is_head: bool) -> bytes:
        self.refused.append(error)
        return b"HTTP/1.1 %d refused\r\nConnection: close\r\n\r\n" % error.status

    def refuse_peer(self, peer: str, network: str, reason: str) -> None:
        self.refused_peers.append((peer, network, reason))

    @property
    def last(self) -> FakeExchange:
        return self.exchanges[-1]

    @property
    def events(self) -> list[list[Event]]:
        return [exchange.events for exchange in self.exchanges]


class Client:
    """A client on a wire to a listener with one plan."""

    def __init__(self, plan: FakePlan, stand: Stand | None = None) -> None:
        self.stand = stand or Stand()
        self.plan = plan
        self.listener = Listener(self.stand.reactor, plan)
        self.connection = self.listener.speak()
        self.wire = Wire(self.stand.loop, self.connection)

    def send(self, *pieces: bytes) -> bytes:
        """Each piece arrives alone; answers what came back for them."""
        for piece in pieces:
            if not self.wire.is_closed:
                self.wire.feed(piece)
            self.stand.turn()
        return self.wire.take()

    def advance(self, seconds: float) -> bytes:
        self.stand.advance(seconds)
        return self.wire.take()

    @property
    def is_over(self) -> bool:
        """Whether the client has been shown the end."""
        return self.wire.is_closed or self.wire.is_finished


class FakeAttempt(Told):
    """What a response is for. `react` is what it does with each event."""

    def __init__(self, react: Callable[[FakeAttempt], None] = lambda _: None) -> None:
        super().__init__()
        self._react = react
        self.failure: Failure | None = None

    def _tell(self, *event: object) -> None:
        self.add(*event)
        self._react(self)

    def on_informational(self, head: ResponseHead) -> None:
        self._tell("informational", head.status)

    def on_upgrade(self, head: ResponseHead, rest: bytes) -> None:
        self._tell("upgrade", head.status, rest)

    def on_response(self, head: ResponseHead, body: bytes, is_end: bool, length: int) -> None:
        self.add("head", head.status, pairs(head.fields.kept), length)
        self.body(body)
        if is_end:
            self._tell("end", [])
        else:
            self._react(self)

    def on_response_body(self, data: bytes) -> None:
        assert data
        self.body(data)
        self._react(self)

    def on_response_end(self, trailers: list[Field]) -> None:
        self._tell("end", pairs(trailers))

    def on_upstream_failure(self, failure: Failure) -> None:
        self.failure = failure
        self._tell("failure", failure.kind)

    def on_upstream_full(self) -> None:
        self._tell("full")

    def on_upstream_ready(self) -> None:
        self._tell("ready")

    def on_response_pumped(self, size: int) -> None:
        assert size > 0


class Backend:
    """A backend on a wire, with a connection to it."""

    def __init__(self, stand: Stand | None = None, key: str = "b") -> None:
        self.stand = stand or Stand()
        self.connection = UpstreamH1(self.stand.reactor, self.stand.idle, key)
        self.wire = Wire(self.stand.loop, self.connection)

    def ask(self, attempt: FakeAttempt, *, is_bodiless: bool = False) -> FakeAttempt:
        """Send it a request without a body."""
        connection = self.connection
        connection.begin(attempt, 300.0, is_bodiless=is_bodiless)
        connection.send(b"GET / HTTP/1.1\r\nHost: b\r\n\r\n")
        connection.wait(300.0, self.stand.loop.now)
        return attempt

    def send(self, *pieces: bytes) -> None:
        """Each piece arrives alone."""
        for piece in pieces:
            if not self.wire.is_closed:
                self.wire.feed(piece)
            self.stand.turn()
