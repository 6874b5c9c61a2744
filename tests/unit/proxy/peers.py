"""Both peers of an exchange: the client behind a Stream, the backend behind an Upstream.

They are strict: what the real connections could not survive (a second release, a byte after the end, two attempts
at once) is an AssertionError here.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from posthouse.errors import Failure, FailureKind, ProtocolError, Sent, Side
from posthouse.protocol.fields import Field
from posthouse.proxy.exchange import Exchange
from posthouse.proxy.ports import NO_BODY, SIZED
from unit.proxy.samples import OFF, START, fields_of, read_response
from unit.proxy.world import World


class Wire(asyncio.Transport):
    """A transport; what is written stays in `data`."""

    def __init__(self) -> None:
        super().__init__()
        self.data = b""
        self.protocol: Any = None
        self.is_paused = self.is_ended = self.is_closed = self.is_aborted = False

    def write(self, data: Any) -> None:
        assert not self.is_closed and not self.is_ended, "written after the end"
        self.data += bytes(data)

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_protocol(self) -> Any:
        return self.protocol

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        assert not self.is_ended
        self.is_ended = True

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = self.is_aborted = True


@dataclass
class Answer:
    """What one request got."""

    status: bytes
    lines: bytes
    mode: int
    body: bytes
    is_complete: bool = False
    is_cut: bool = False
    trailers: list[Field] = field(default_factory=list)

    @property
    def fields(self) -> list[bytes]:
        return self.lines.split(b"\r\n")[:-1]


class Client:
    """Stream, and the client behind it."""

    def __init__(self, world: World, peer: str = "192.0.2.7") -> None:
        self._world = world
        self.peer, self.peer_port, self.scheme = peer, 50123, "http"
        self.memo: Any = None
        self.peer_lines = b""
        self.own: Any = None
        self.addressed = ("192.0.2.1", 80)
        self.wire = Wire()
        self.transport: asyncio.Transport = self.wire
        self.is_full = self.has_whole_request = False
        self.exchange: Exchange | None = None
        self.answers: list[Answer] = []
        self.informational: list[bytes] = []
        self.blocked: set[int] = set()
        self.stall_limit = OFF
        self.is_persistent = True
        self.is_tunnel = self.is_gone = False
        self.pumped_to: asyncio.Transport | None = None
        self.early = b""
        """What it sent behind its head before it knew of the upgrade."""

    @property
    def answer(self) -> Answer:
        """The only answer."""
        (answer,) = self.answers
        return answer

    # what an exchange calls

    def send_informational(self, head: bytes) -> None:
        assert self.exchange is not None, "informational after the end"
        self.informational.append(head)

    def send_head(self, status: bytes, lines: bytes, mode: int, body: bytes, is_end: bool) -> None:
        exchange = self.exchange
        assert exchange is not None and not self.is_gone, "an answer to nobody"
        assert not lines or lines.endswith(b"\r\n")
        assert mode != NO_BODY or (not body and is_end)
        assert (mode == SIZED) <= (b"content-length: " in lines.lower())
        self.answers.append(Answer(status, lines, mode, body))
        if is_end:
            self._end()

    def send_body(self, data: bytes) -> None:
        assert self.exchange is not None and data, "a body for nobody"
        self.answers[-1].body += data

    def send_end(self, trailers: list[Field]) -> None:
        assert self.exchange is not None
        self.answers[-1].trailers = trailers
        self._end()

    def reset(self) -> None:
        assert self.exchange is not None
        if self.answers:
            self.answers[-1].is_cut = True
        self.exchange = None
        self.is_gone = True

    def _end(self) -> None:
        self.answers[-1].is_complete = True
        self.exchange = None

    def close_after_answer(self) -> None:
        self.is_persistent = False

    def limit_stall(self, seconds: float) -> None:
        self.stall_limit = self._world.now + seconds

    def block(self, reason: int) -> None:
        self.blocked.add(reason)

    def unblock(self, reason: int) -> None:
        self.blocked.discard(reason)

    def pump_to(self, target: asyncio.Transport) -> bool:
        self.pumped_to = target
        return False

    def leave_http(self) -> bytes:
        assert self.exchange is not None
        self.exchange = None
        self.is_tunnel = True
        return self.early

    def tunnel_ended(self) -> None:
        assert self.is_tunnel
        self.is_tunnel = False

    # what the client does

    def sends(self, data: bytes) -> None:
        """More of the body."""
        assert not self.has_whole_request
        if self.exchange is not None:
            self.exchange.on_request_body(data)

    def ends(self, *trailers: Field) -> None:
        """The request is complete."""
        self.has_whole_request = True
        if self.exchange is not None:
            self.exchange.on_request_end(list(trailers))

    def breaks(self, status: int = 400, kind: FailureKind = FailureKind.CLIENT_MALFORMED) -> None:
        """The body can't be read on (400), or did not come in time (408)."""
        if self.exchange is not None:
            self.exchange.on_request_broken(ProtocolError(status, f"test {status}"), kind)

    def leaves(self, kind: FailureKind = FailureKind.CLIENT_GONE) -> None:
        """The connection is gone."""
        self.is_gone = True
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.on_downstream_lost(kind)

    def stops_reading(self) -> None:
        self.is_full = True
        if self.exchange is not None:
            self.exchange.on_downstream_full()

    def reads_on(self) -> None:
        self.is_full = False
        if self.exchange is not None:
            self.stall_limit = OFF
            self.exchange.on_downstream_ready()


class Connection:
    """Upstream, and the backend behind it."""

    def __init__(self, world: World, host: str, *, is_reused: bool = False) -> None:
        self._world = world
        self.host = host
        self.is_reused = is_reused
        self.wire = Wire()
        self.transport: asyncio.Transport = self.wire
        self.exchange: Exchange | None = None
        self.state = "idle"
        self.head = self.body = b""
        self.trailers: list[Field] = []
        self.is_complete = True
        self.is_chunking = False
        self.is_bodiless = False
        self.idle_timeout = OFF
        self.deadline = OFF
        """Until when it may take its time, in seconds from the start of the play."""
        self._wait = OFF
        self.blocked: set[int] = set()
        self.is_full = False
        self.kept_of: int | None = None
        """The limit of idle connections it was given back with; None = it was not."""
        self.pumped_to: asyncio.Transport | None = None

    def __repr__(self) -> str:
        return f"<Connection {self.host} {self.state}>"

    # what an exchange calls

    def begin(self, exchange: Any, idle_timeout: float, *, is_bodiless: bool) -> None:
        assert self.state == "idle", f"{self!r} can't begin"
        assert not self._world.running(exchange), "two attempts at once"
        assert exchange.backend.endpoint.host == self.host
        self.exchange = exchange
        self.state = "head"
        self.idle_timeout = idle_timeout
        self.is_bodiless = is_bodiless
        self.head = self.body = b""
        self._world.connections.append(self)

    def send(self, data: bytes) -> None:
        assert self.state == "head" and not self.head
        head, _, self.body = data.partition(b"\r\n\r\n")
        self.head = head + b"\r\n\r\n"

    def expect_body(self, *, is_chunking: bool) -> None:
        assert not self.head
        self.is_chunking = is_chunking
        self.is_complete = False

    def keep_ear(self) -> None:
        assert self.exchange is not None and not self.is_complete

    def send_body(self, data: bytes) -> None:
        assert self.exchange is not None and self.head and data and not self.is_complete
        self.body += data

    def send_end(self, trailers: list[Field]) -> None:
        assert self.exchange is not None and not self.is_complete
        self.trailers = trailers
        self.is_complete = True

    def wait(self, seconds: float, now: float) -> None:
        assert self.exchange is not None and self.state == "head"
        self._wait = seconds
        self.deadline = now - START + seconds

    def block(self, reason: int) -> None:
        assert self.exchange is not None
        self.blocked.add(reason)
        self.deadline = OFF

    def unblock(self, reason: int) -> None:
        assert self.exchange is not None
        self.blocked.discard(reason)
        if self.state in ("head", "body"):
            self._go_on()

    def _go_on(self) -> None:
        """As the real one: whoever is waited for again gets its whole time again."""
        seconds = self._wait if self.state == "head" else self.idle_timeout
        self.deadline = self._world.now - START + seconds

    def pump_to(self, target: asyncio.Transport) -> bool:
        self.pumped_to = target
        return False

    def release(self, most: int) -> None:
        assert self.exchange is not None and self.state == "complete"
        self.exchange = None
        self.kept_of = most
        self.state = "released"

    def close(self) -> None:
        assert self.state not in ("released", "closed"), f"{self!r} is closed a second time"
        self.exchange = None
        self.state = "closed"

    # what the backend does

    @property
    def line(self) -> bytes:
        """The request line."""
        return self.head.split(b"\r\n")[0]

    @property
    def fields(self) -> list[bytes]:
        return fields_of(self.head)

    def answers(
        self, status: str = "200 OK", *lines: str, body: bytes | None = b"", more: bool = False
    ) -> None:
        """A response head with what came of the body. more: it goes on (with `sends`, `ends`, or `breaks`).

        Without a line that says otherwise a complete body has its Content-Length; one that goes on has none.
        """
        exchange = self._in("head")
        if body is not None and not more and not any("content-length" in line.lower() for line in lines):
            lines = (*lines, f"Content-Length: {len(body)}")
        head = read_response(status, *lines)
        body = body or b""
        self.state = "body" if more else "complete"
        self.deadline = OFF
        if more:
            self._go_on()
        if self.is_bodiless or head.status in (204, 304):
            self.state = "complete"
            exchange.on_response(head, b"", True, 0)
        else:
            exchange.on_response(head, body, not more, head.fields.length)

    def informs(self, status: str, *lines: str) -> None:
        self._in("head").on_informational(read_response(status, *lines))

    def upgrades(self, *lines: str, rest: bytes = b"") -> None:
        """101, with what came after it."""
        exchange = self._in("head")
        self.state = "tunnel"
        exchange.on_upgrade(read_response("101 Switching Protocols", *lines), rest)

    def sends(self, data: bytes) -> None:
        exchange = self._in("body")
        self._go_on()
        exchange.on_response_body(data)

    def ends(self, *trailers: Field) -> None:
        exchange = self._in("body")
        self.state = "complete"
        exchange.on_response_end(list(trailers))

    def breaks(self, kind: FailureKind = FailureKind.RESET, *, is_started: bool | None = None) -> None:
        """It breaks off, or takes too long, or sends what can't be read; the connection is closed then."""
        exchange = self.exchange
        assert exchange is not None and self.state in ("head", "body")
        started = self.state == "body" if is_started is None else is_started
        self.close()
        sent = Sent.SOME if self.head else Sent.NOTHING
        exchange.on_upstream_failure(
            Failure(kind, Side.UPSTREAM, "test", sent, is_reused=self.is_reused, is_response_started=started)
        )

    def stops_reading(self) -> None:
        self.is_full = True
        if self.exchange is not None:
            self.exchange.on_upstream_full()

    def reads_on(self) -> None:
        self.is_full = False
        if self.exchange is not None:
            self.exchange.on_upstream_ready()

    def _in(self, state: str) -> Exchange:
        assert self.state == state and self.exchange is not None, f"{self!r} is not asked for that now"
        return self.exchange
