"""DownstreamAnswer: the writing half of a client's HTTP/1.x connection, and how it ends.

What an exchange may call of its Stream stands here. The reading half is DownstreamH1, which builds on this.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Final

from posthouse.errors import FailureKind, ProtocolError
from posthouse.net.entrance import own_address_of
from posthouse.net.flow import Flow
from posthouse.net.handler import Handler, Plan
from posthouse.net.idle import IdleConnections
from posthouse.net.pump import Pump
from posthouse.net.timers import NEVER
from posthouse.protocol.chunked import LAST_CHUNK, ChunkedReader, encode_chunk, encode_last_chunk
from posthouse.protocol.fields import Field
from posthouse.protocol.h1 import RequestHead
from posthouse.protocol.proxy_protocol import Introduction

if TYPE_CHECKING:
    from posthouse.net.listener import Listener

DRAIN_BYTES: Final = 64 * 1024
"""An unread request body up to this is read and dropped to keep the connection; past it the connection closes."""
DRAIN_GRACE: Final = 0.25
"""While draining, how long a client that was not told `Connection: close` may take to send its next request."""
LINGER_SECONDS: Final = 2.0
LINGER_BYTES: Final = 8 * 1024 * 1024
"""After an answer that ends the connection, input is dropped for so long, so that a reset does not eat the answer."""

NO_BODY, SIZED, STREAMED = range(3)
"""How the body of an answer is delimited: there is none; by the Content-Length given; we choose."""

HEAD, SIZED_BODY, CHUNKED_BODY, COMPLETE, DRAIN_SIZED, DRAIN_CHUNKED, LINGER, GONE = range(8)
"""What the connection reads now: a head, a body, nothing (the request is complete), a body or input to drop."""
_RESET = struct.pack("ii", 1, 0)


class DownstreamAnswer:
    """State of one client connection, and what is done to it by those who answer."""

    __slots__ = (
        *("_buffer", "_chunked", "_is_advancing", "_is_chunking", "_is_full", "_is_late", "_last_data"),
        *("_last_head", "_last_plan", "_look_out", "_listener", "_plan", "_pump", "_reactor"),
        *("_remaining", "_scanned", "_state", "_total", "_version_10", "bucket", "deadline", "exchange"),
        *("flow", "introduction", "is_persistent", "memo", "own", "peer_lines", "peer", "peer_port"),
        *("scheme", "transport", "wake"),
    )

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._reactor = listener.reactor
        self._plan: Plan = listener.plan
        self._state = HEAD
        self._buffer = b""
        self._scanned = 0
        self._remaining = 0
        self._chunked: ChunkedReader | None = None
        self._pump: Pump | None = None
        self._last_data = b""
        self._last_head: RequestHead | None = None
        self._last_plan: Plan | None = None
        self._total: asyncio.TimerHandle | None = None
        self._look_out: asyncio.TimerHandle | None = None
        self._is_advancing = False
        self._is_chunking = False
        self._is_full = False
        self._is_late = True  # the wait for the first head begins with the connection
        self._version_10 = False
        self.transport: asyncio.Transport
        self.flow: Flow
        self.exchange: Handler | None = None
        self.is_persistent = True
        self.scheme = listener.scheme
        self.deadline = NEVER
        self.bucket = 0
        self.wake = NEVER
        self.peer = ""
        self.peer_port = 0
        self.introduction: Introduction | None = None
        self.own: IdleConnections | None = None
        self.memo: object = None
        self.peer_lines = b""

    def __repr__(self) -> str:
        return f"<DownstreamH1 {self.peer}:{self.peer_port} state={self._state} exchange={self.exchange!r}>"

    def introduce(self, introduction: Introduction) -> None:
        """Before `connection_made`: the peer has said which client it stands in for. From here on that is the peer."""
        self.introduction = introduction
        self.peer, self.peer_port = introduction.source

    @property
    def addressed(self) -> tuple[str, int]:
        """What the client connected to: our address, or that of who introduced it; ("", 0) if there is none."""
        if self.introduction is not None:
            return self.introduction.destination
        return own_address_of(self.transport)

    # -- the answer ----------------------------------------------------------------------------------------------

    def send_informational(self, head: bytes) -> None:
        """A whole 1xx head. HTTP/1.0 knows none."""
        if not self._version_10 and not self.transport.is_closing():
            self.transport.write(head)

    def send_head(self, status: bytes, lines: bytes, mode: int, body: bytes, is_end: bool) -> None:
        """The head of the answer, and what is there of its body.

        status  b"200 OK"; lines: field lines, each with CRLF; mode: NO_BODY, SIZED (lines hold the Content-Length)
        or STREAMED; body: first bytes, b"" allowed; is_end: nothing follows, and there are no trailers
        """
        if self._listener.is_draining or (self._state != COMPLETE and not self._can_drain()):
            self.is_persistent = False
        if mode == STREAMED:
            if self._version_10:
                self.is_persistent = False
            else:
                self._is_chunking = True
                lines += b"Transfer-Encoding: chunked\r\n"
                if body:
                    body = encode_chunk(body)
                if is_end:
                    body += LAST_CHUNK
        if not self.is_persistent:
            lines += b"Connection: close\r\n"
        elif self._version_10:
            lines += b"Connection: keep-alive\r\n"
        self.transport.write(b"HTTP/1.1 %b\r\n%b\r\n%b" % (status, lines, body))
        if is_end:
            self._end()

    def send_body(self, data: bytes) -> None:
        """More of the body. `data` is not empty."""
        self.transport.write(encode_chunk(data) if self._is_chunking else data)

    def send_end(self, trailers: list[Field]) -> None:
        """The answer is complete."""
        if self._is_chunking:
            self.transport.write(encode_last_chunk(trailers))
        self._end()

    def leave_http(self) -> bytes:
        """The connection becomes a tunnel's; answers what the client sent after its head."""
        early, self._buffer = self._buffer, b""
        self._has_room()  # from now on the tunnel is told
        self._state = GONE
        self.exchange = None
        self._stop_total()
        self.flow.unblock(-1)
        return early

    def tunnel_ended(self) -> None:
        """The tunnel is over and has closed the transport."""
        self._leave()

    def _leave(self) -> None:
        """The connection is no more, nor is what was kept for it."""
        self._reactor.timers.forget(self)
        self._listener.forget(self)
        if self.own is not None:
            self.own.end()

    def reset(self) -> None:
        """The answer can't be completed: let the client see that it is cut (reliability.md rule 6)."""
        self._state = GONE
        self.exchange = None
        self._stop_pump()
        self._stop_total()
        if self._version_10 and not self._is_chunking:
            # The end of the connection is the end of the body here: only a reset tells it from a complete one.
            self.reset_connection()
        else:
            self.transport.close()
            self._reactor.timers.set(self, self._reactor.clock() + LINGER_SECONDS)

    def reset_connection(self) -> None:
        """Close with a TCP reset. `abort` alone would send FIN and look like a clean end."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def cut(self) -> None:
        """End what runs: stopping has waited as long as it may (`--grace`). It is not the client who went away."""
        self._lose(FailureKind.EXCHANGE_TIMEOUT)
        self.reset_connection()

    def _can_drain(self) -> bool:
        if self._state == SIZED_BODY:
            return self._remaining <= DRAIN_BYTES
        return self._state == CHUNKED_BODY

    def close_after_answer(self) -> None:
        """Whatever the client wishes, this is the last answer on the connection."""
        self.is_persistent = False

    def _end(self) -> None:
        """The answer is written: next request, drain, or the end."""
        self.exchange = None
        self._stop_pump()
        if self._total is not None:
            self._stop_total()
        if not self.is_persistent:
            self._close()
        elif self._state == COMPLETE:
            self._reuse()
        elif self._state != GONE:
            self._begin_drain()

    def _reuse(self) -> None:
        self._state = HEAD
        idle = DRAIN_GRACE if self._listener.is_draining else self._plan.timeouts.idle
        self.deadline = deadline = self._reactor.clock() + idle
        if deadline < self.wake:
            self._reactor.timers.put(self)
        if self.flow.is_paused:
            self.flow.unblock(-1)
        if self._buffer and not self._is_advancing:
            # Not from inside the exchange's last call: many pipelined requests would nest.
            self._reactor.loop.call_soon(self._advance)

    def _begin_drain(self) -> None:
        self.flow.unblock(-1)
        chunked = self._state == CHUNKED_BODY
        self._state = DRAIN_CHUNKED if chunked else DRAIN_SIZED
        if chunked:
            self._remaining = DRAIN_BYTES
        self._expect_body()

    # -- the end -------------------------------------------------------------------------------------------------

    def close_if_idle(self) -> None:
        """Close unless a request runs or its head has begun (graceful stop, memory pressure)."""
        if self._state == HEAD and not self._buffer:
            self._state = GONE
            self.transport.close()

    @property
    def is_idle(self) -> bool:
        """Whether no request runs."""
        return self._state == HEAD and not self._buffer

    @property
    def idle_since(self) -> float:
        """Since when nothing has run and no byte has come (monotonic seconds); NEVER: that is not so.

        Worked out from the deadline, so that no request pays for it. Where idle connections have no deadline
        (`timeouts idle off`) it is 0.0: they may be the oldest of all.
        """
        if not self.is_idle:
            return NEVER
        if self.deadline == NEVER:
            return 0.0
        timeouts = self._plan.timeouts
        return self.deadline - (timeouts.header if self._is_late else timeouts.idle)

    def _close(self) -> None:
        if self._state == COMPLETE and not self._buffer:
            self._state = GONE
            self.transport.close()
            self._reactor.timers.set(self, self._reactor.clock() + self._plan.timeouts.idle)
        else:
            self._linger()

    def _linger(self) -> None:
        """Everything is said; drop what still comes, so that a reset does not overtake the answer."""
        if self._state == GONE or self.transport.is_closing():
            return
        self._state = LINGER
        self._buffer = b""
        self._remaining = LINGER_BYTES
        self.flow.unblock(-1)
        if self.transport.can_write_eof():
            # asyncio shuts the socket down at once, and a client that has just reset it makes that fail.
            with contextlib.suppress(OSError):
                self.transport.write_eof()
        self._reactor.timers.set(self, self._reactor.clock() + LINGER_SECONDS)

    def _start_total(self, seconds: float) -> None:
        self._stop_total()
        if seconds != NEVER:
            self._total = self._reactor.loop.call_later(seconds, self._expire_total)

    def _stop_total(self) -> None:
        total, self._total = self._total, None
        if total is not None:
            total.cancel()

    def _expect_body(self) -> None:
        """The client has `timeouts body` for its next byte."""
        self._reactor.timers.set(self, self._reactor.clock() + self._plan.timeouts.body)

    def _has_room(self) -> None:
        if self._is_full:
            self._is_full = False
            self._reactor.full_clients -= 1

    def _stop_pump(self) -> None:
        pump, self._pump = self._pump, None
        if pump is not None:
            pump.stop()
            if not self.transport.is_closing():
                self.transport.set_protocol(self)  # type: ignore[arg-type]

    def _advance(self) -> None:
        """Read the next request if it is in the buffer: the reading half does."""

    def _refuse(self, error: ProtocolError, head: bytes) -> None:
        """`head`: what came of it. The answer to HEAD has no body, whatever is wrong (RFC 9110 9.3.2)."""
        self.is_persistent = False
        self._buffer = b""
        if not self.transport.is_closing():
            self.transport.write(self._plan.refuse(self, error, head.startswith(b"HEAD ")))
        self._linger()

    def _lose(self, kind: FailureKind) -> None:
        self._state = GONE
        self._stop_pump()
        self._stop_total()
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.on_downstream_lost(kind)

    # -- time ------------------------------------------------------------------------------------------------------

    def on_deadline(self, now: float) -> None:
        """The client took too long for what it was to do."""
        state = self._state
        if self._is_full and state != GONE:
            self._lose(FailureKind.CLIENT_TIMEOUT)
            self.reset_connection()
        elif state == HEAD and self._buffer:
            self._refuse(
                ProtocolError(
                    408, f"no complete head within {self._plan.timeouts.header:g} s (timeouts header)"
                ),
                self._buffer,
            )
        elif state in (SIZED_BODY, CHUNKED_BODY) and self.exchange is not None:
            self.exchange.on_request_broken(
                _late("no byte of the body for", self._plan.timeouts.body, "body"),
                FailureKind.CLIENT_TIMEOUT,
            )
        elif state in (HEAD, DRAIN_SIZED, DRAIN_CHUNKED):
            self._state = GONE
            self.transport.close()
            self._reactor.timers.set(self, now + LINGER_SECONDS)
        else:
            self.transport.abort()

    def _expire_total(self) -> None:
        self._total = None
        exchange = self.exchange
        if self._state == COMPLETE or exchange is None:
            self._lose(FailureKind.CLIENT_TIMEOUT)
            self.reset_connection()
        else:
            exchange.on_request_broken(
                _late("request not complete within", self._plan.timeouts.read, "read"),
                FailureKind.CLIENT_TIMEOUT,
            )


def _late(what: str, seconds: float, name: str) -> ProtocolError:
    """408, with the limit that was passed."""
    return ProtocolError(408, f"{what} {seconds:g} s (timeouts {name})")
