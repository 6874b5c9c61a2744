"""UpstreamRequest: the writing half of a backend's HTTP/1.1 connection, its deadlines and its end.

What an exchange may call stands here. The reading half is UpstreamH1, which builds on this.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Hashable
from typing import Final

from posthouse.errors import Failure, FailureKind, Sent, Side
from posthouse.net.flow import Flow
from posthouse.net.handler import ResponseHandler
from posthouse.net.idle import IDLE_SECONDS, IdleConnections
from posthouse.net.pump import Pump
from posthouse.net.reactor import Reactor
from posthouse.net.timers import NEVER
from posthouse.protocol.chunked import ChunkedReader, encode_chunk, encode_last_chunk
from posthouse.protocol.fields import Field
from posthouse.protocol.h1 import ResponseHead

GOODBYE_SECONDS: Final = 2.0
"""What a backend gets to take the close_notify of a connection on which nothing runs."""
IDLE, HEAD, SIZED_BODY, CHUNKED_BODY, OPEN_BODY, COMPLETE, GONE = range(7)
"""What the connection reads now: nothing, a head, a body by its framing, nothing (the response is complete)."""


class UpstreamRequest:
    """State of one connection to a backend, and what is done to it by those who ask.

    key        what it is kept under while idle
    is_reused  it has carried an exchange before this one
    """

    __slots__ = (
        *(
            "_buffer",
            "_chunked",
            "_ear",
            "_head",
            "_idle",
            "_informational",
            "_informational_bytes",
            "_is_bodiless",
            "_pump",
            "_reactor",
        ),
        *(
            "_remaining",
            "_state",
            "_wait",
            "_wait_kind",
            "bucket",
            "can_reuse",
            "deadline",
            "exchange",
            "flow",
        ),
        *(
            "idle_timeout",
            "is_chunking",
            "is_reused",
            "is_sent",
            "is_request_complete",
            "key",
            "transport",
            "wake",
        ),
    )

    def __init__(self, reactor: Reactor, idle: IdleConnections, key: Hashable) -> None:
        self._reactor = reactor
        self._idle = idle
        self.key = key
        self._state = IDLE
        self._buffer = b""
        self._chunked: ChunkedReader | None = None
        self._pump: Pump | None = None
        self._ear: socket.socket | None = None
        self._head: ResponseHead | None = None
        self._remaining = 0
        self._informational = self._informational_bytes = 0
        self._is_bodiless = False
        self._wait = NEVER
        self.exchange: ResponseHandler | None = None
        self.deadline = NEVER
        self.bucket = 0
        self.wake = NEVER
        self.idle_timeout = NEVER
        self.is_reused = False
        self.is_sent = False
        self.is_chunking = False
        self.is_request_complete = True
        self.can_reuse = False
        self.transport: asyncio.Transport = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<UpstreamH1 {self.key!r} state={self._state} reused={self.is_reused}>"

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Dialled."""
        if self._state == GONE:
            transport.abort()
            return
        self.transport = transport
        self.flow = Flow(transport)

    def abandon(self) -> None:
        """Nobody wants it any more, even if it connects yet."""
        self._state = GONE
        if self.transport is not None:
            self.transport.abort()
            # uvloop does not let go of the protocol of a connection that was called off as it opened.
            self.transport = None  # type: ignore[assignment]
            del self.flow

    def adopt(self, other: UpstreamRequest) -> None:
        """Take over the transport of a connection that carried nothing yet."""
        other.transport.set_protocol(self)  # type: ignore[arg-type]
        self.connection_made(other.transport)
        if other.transport.is_closing():
            self._state = GONE

    # -- the request ---------------------------------------------------------------------------------------------

    def begin(self, exchange: ResponseHandler, idle_timeout: float, *, is_bodiless: bool) -> None:
        """Carry this exchange. is_bodiless: its response has no body whatever the fields say (HEAD).

        idle_timeout  seconds that the backend has for each next byte of its response
        """
        self.exchange = exchange
        self.idle_timeout = idle_timeout
        self.deadline = self._wait = NEVER
        self._state = HEAD
        self._is_bodiless = is_bodiless
        self._head = None
        self.is_sent = False

    def send(self, data: bytes) -> None:
        """The whole request, or its head when a body follows."""
        self.is_sent = True
        self.transport.write(data)

    def expect_body(self, *, is_chunking: bool) -> None:
        """A request body follows the head."""
        self.is_chunking = is_chunking
        self.is_request_complete = False

    def keep_ear(self) -> None:
        """The body will take a while: be able to hear an answer even if writing fails.

        A backend that answers early and closes resets the connection, because our bytes lie there unread; the event
        loop then drops the transport before the answer is read. The kernel still has it, for a second descriptor.
        What that would give of TLS is ciphertext: there the transport itself hears the peer out
        (net/tls_transport.py).
        """
        sock = self.transport.get_extra_info("socket")
        if sock is not None and self._ear is None and self.transport.get_extra_info("tls") is None:
            with contextlib.suppress(OSError):
                self._ear = socket.socket(fileno=os.dup(sock.fileno()))

    def _drop_ear(self) -> None:
        ear, self._ear = self._ear, None
        if ear is not None:
            ear.close()

    def send_body(self, data: bytes) -> None:
        """Body bytes, framed as the head said. `data` is not empty."""
        self.transport.write(encode_chunk(data) if self.is_chunking else data)

    def send_end(self, trailers: list[Field]) -> None:
        """The request body is complete."""
        if self.is_chunking:
            self.transport.write(encode_last_chunk(trailers))
        self.is_request_complete = True
        if self._ear is not None:
            self._drop_ear()

    def wait(self, seconds: float, now: float) -> None:
        """The backend has so long from `now` for the head of its response."""
        self._wait = seconds
        self.deadline = deadline = now + seconds
        if deadline < self.wake:
            self._reactor.timers.put(self)

    def _progress(self) -> None:
        self.deadline = deadline = self._reactor.clock() + self.idle_timeout
        if deadline < self.wake:
            self._reactor.timers.put(self)

    def block(self, reason: int) -> None:
        """Stop reading the response because of `reason`; the backend is not to blame for the time that takes."""
        self.flow.block(reason)
        self.deadline = NEVER

    def unblock(self, reason: int) -> None:
        """`reason` is gone."""
        self.flow.unblock(reason)
        if self.flow.is_paused:
            return
        if self._state in (SIZED_BODY, CHUNKED_BODY, OPEN_BODY):
            self._progress()
        elif self._state == HEAD and self._wait != NEVER:
            self.wait(self._wait, self._reactor.clock())

    # -- the end -------------------------------------------------------------------------------------------------

    def release(self, most: int) -> None:
        """The exchange is over: keep the connection warm if it is clean, else close it."""
        self.exchange = None
        transport = self.transport
        if (
            not (self.can_reuse and self.is_request_complete and most and self._state == COMPLETE)
            or transport.get_write_buffer_size()
            or transport.is_closing()
        ):
            self.close()
        else:
            self._state = IDLE
            self.is_reused = True
            self.is_chunking = False
            self._informational = self._informational_bytes = 0
            if self.flow.is_paused:
                self.flow.unblock(-1)
            if not self._idle.release(self, most):
                self.close()
                return
            self.deadline = deadline = self._reactor.clock() + IDLE_SECONDS
            if deadline < self.wake:
                self._reactor.timers.put(self)

    def close(self) -> None:
        """Close at once; unsent bytes are dropped."""
        was, self._state = self._state, GONE
        if was == IDLE:
            self._idle.forget(self)
        self.exchange = None
        self._stop_pump()
        if self._ear is not None:
            self._drop_ear()
        transport = self.transport
        if (
            was in (IDLE, COMPLETE)
            and transport.get_extra_info("tls") is not None
            and not (transport.get_write_buffer_size() or transport.is_closing())
        ):
            # With close_notify: a backend forgets the session of a connection that ends without, and logs it.
            transport.close()
            self._reactor.timers.set(self, self._reactor.clock() + GOODBYE_SECONDS)
        else:
            transport.abort()

    def on_deadline(self, now: float) -> None:
        """The backend took too long, or the connection was idle long enough."""
        if self._state == IDLE:
            self.close()
        elif self._state == HEAD:
            self._fail(FailureKind.RESPONSE_TIMEOUT, f"no response head within {self._wait:g} s")
        elif self._state == GONE:
            self.transport.abort()
        else:
            self._fail(FailureKind.IDLE_TIMEOUT, f"no byte of the response for {self.idle_timeout:g} s")

    def _fail(self, kind: FailureKind, reason: str) -> None:
        exchange = self.exchange
        started = self._head is not None or bool(self._buffer)
        self.close()
        if exchange is not None:
            sent = Sent.SOME if self.is_sent else Sent.NOTHING
            exchange.on_upstream_failure(
                Failure(
                    kind, Side.UPSTREAM, reason, sent, is_reused=self.is_reused, is_response_started=started
                )
            )

    def _stop_pump(self) -> None:
        pump, self._pump = self._pump, None
        if pump is not None:
            pump.stop()
            if not self.transport.is_closing():
                self.transport.set_protocol(self)  # type: ignore[arg-type]
