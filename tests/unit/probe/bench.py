"""What a worker lends to its probes, in the hand of a test: real connections on wires, time that is moved by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from posthouse.balance.active_health import State
from posthouse.balance.backend import Backend
from posthouse.balance.watch import Watch
from posthouse.config.specs import CheckSpec, EndpointSpec, HealthSpec, UpstreamTimeouts
from posthouse.errors import Failure, FailureKind, Sent, Side
from posthouse.net.upstream_h1 import UpstreamH1
from posthouse.probe.check import Check
from unit.net.wire import Handle, Stand, Wire

TIMEOUTS = UpstreamTimeouts()
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BAD = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"


def refused(side: Side = Side.UPSTREAM) -> Failure:
    return Failure(FailureKind.CONNECT, side, "Connection refused", Sent.NOTHING)


def backend(host: str = "a", watch: Watch | None = None) -> Backend:
    return Backend(EndpointSpec(f"http://{host}:80", "http", host, 80), 1, watch or Watch())


def check(
    of: Backend | None = None,
    *,
    head: bytes = b"GET /h HTTP/1.1\r\n\r\n",
    ask: CheckSpec | None = None,
    **pace: Any,
) -> Check:
    one = of or backend()
    spec = HealthSpec(
        ask or CheckSpec("/h"), **{"interval": 10.0, "down_interval": 10.0, "timeout": 5.0, **pace}
    )
    return Check(one, "pool", spec, one.endpoint, TIMEOUTS, head)


class Dial:
    """One dial; the test says how it ends."""

    def __init__(
        self, stand: Stand, at: float, endpoint: EndpointSpec, on_done: Callable[[Any], None]
    ) -> None:
        self.stand = stand
        self.at = at
        self.endpoint = endpoint
        self.on_done = on_done
        self.is_pending = True
        self.wire: Wire | None = None

    def cancel(self) -> None:
        self.is_pending = False

    def fail(self, failure: Failure) -> None:
        assert self.is_pending, "a dial ends once, and never after it was called off"
        self.is_pending = False
        self.on_done(failure)

    def connect(self) -> Wire:
        assert self.is_pending
        self.is_pending = False
        connection = UpstreamH1(self.stand.reactor, self.stand.idle, "probe")
        self.wire = Wire(self.stand.loop, connection)
        self.on_done(connection)
        return self.wire

    def answer(self, data: bytes) -> Wire:
        """Connected, asked, answered."""
        wire = self.connect()
        assert wire.take()
        wire.feed(data)
        self.stand.turn()
        return wire


class Bench:
    """The Services of probes."""

    def __init__(self, chance: float = 0.5) -> None:
        self.stand = Stand()
        self.dials: list[Dial] = []
        self.prefaces: list[bytes] = []
        self.lines: list[tuple[str, str, dict[str, Any]]] = []
        self.chances: list[float] = []
        self.told: list[tuple[str, State]] = []
        self._chance = chance
        self.log = self

    def clock(self) -> float:
        return self.stand.loop.now

    def chance(self) -> float:
        return self.chances.pop(0) if self.chances else self._chance

    def call_later(self, seconds: float, callback: Callable[[], None], /) -> Handle:
        assert seconds >= 0
        return self.stand.loop.call_later(seconds, callback)

    def dial_for_probe(
        self,
        endpoint: EndpointSpec,
        timeouts: UpstreamTimeouts,
        on_done: Callable[[Any], None],
        tls: object,
        preface: bytes,
        /,
    ) -> Dial:
        assert timeouts is TIMEOUTS and tls is None
        self.prefaces.append(preface)
        self.dials.append(Dial(self.stand, self.clock(), endpoint, on_done))
        return self.dials[-1]

    def believed(self, check: Check, /) -> None:
        self.told.append((check.backend.name, check.backend.state))

    def info(self, what: str, *, key: str | None = None, **fields: Any) -> None:
        self.lines.append(("info", what, fields))

    def warn(self, what: str, *, key: str | None = None, **fields: Any) -> None:
        self.lines.append(("warn", what, fields))

    def advance(self, seconds: float) -> None:
        self.stand.advance(seconds)

    def take_lines(self) -> list[str]:
        """What was logged since the last look, without the names of pool and backend."""
        lines, self.lines = self.lines, []
        return [
            f"{level} {what} was={fields['was']} {fields['reason']}" if "was" in fields else f"{level} {what}"
            for level, what, fields in lines
        ]

    def assert_nothing_left(self) -> None:
        """Every connection closed, every dial over, no timer running."""
        self.stand.turn()
        assert [one for one in self.dials if one.is_pending] == []
        assert [one for one in self.dials if one.wire is not None and not one.wire.is_closed] == []
        # The wheel of a connection's deadlines may tick once more; nothing else may be waiting.
        self.advance(3.0)
        assert self.stand.loop.waiting == 0
