"""DownstreamH1: one HTTP/1.x connection of a client; hop 1 of a request's life.

It reads one request at a time, gives it to a handler (the exchange) and writes what the handler answers. It knows
nothing of sites, backends or header rules. Being a connection with one stream it is its own Stream.
"""

from __future__ import annotations

import asyncio
from typing import Final

from posthouse.errors import FailureKind, ProtocolError
from posthouse.net.downstream_answer import (
    CHUNKED_BODY,
    COMPLETE,
    DRAIN_SIZED,
    GONE,
    HEAD,
    LINGER,
    LINGER_SECONDS,
    SIZED_BODY,
    DownstreamAnswer,
)
from posthouse.net.entrance import peer_of
from posthouse.net.flow import PIPELINED, Flow, has_hung_up
from posthouse.net.handler import Handler
from posthouse.net.pump import PUMP_FROM, Pump
from posthouse.net.tcp_options import set_nodelay
from posthouse.net.timers import NEVER
from posthouse.protocol.chunked import ChunkedReader
from posthouse.protocol.h1 import RequestHead

LAST_HEAD_BYTES: Final = 1024
"""A head up to this size is kept to compare the next one with; more would cost too much per idle connection."""
LOOK_OUT_SECONDS: Final = 0.25
"""How often a client whose bytes we don't read now is looked after."""
PIPELINE_BYTES: Final = 64 * 1024
"""Reading pauses when more than this of later requests waits behind the current one."""


class DownstreamH1(DownstreamAnswer):
    """One client connection."""

    __slots__ = ()

    # -- asyncio's side ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:
        """A client connected; it has `timeouts header` to send its first head."""
        self.transport = transport
        self.flow = Flow(transport)
        if self.introduction is None:
            self.peer, self.peer_port = peer_of(transport)
        if not self._plan.has_nodelay:
            set_nodelay(transport, False)
        self._listener.connections.add(self)
        self._reactor.timers.set(self, self._reactor.clock() + self._plan.timeouts.header)

    def data_received(self, data: bytes) -> None:
        """Bytes of a client."""
        state = self._state
        if state == HEAD:
            if self._is_full:
                # A client that does not read its answers gets no further ones.
                self._keep_for_later(data)
                return
            if not self._buffer and data[0] != 13:
                end = data.find(b"\r\n\r\n")
                if end > 0:
                    self._begin(data, end)
                    return
            self._buffer = self._buffer + data if self._buffer else data
            self._advance()
        elif state == SIZED_BODY:
            self._feed_sized(data)
        elif state == CHUNKED_BODY:
            self._feed_chunked(data)
        elif state == COMPLETE:
            self._keep_for_later(data)
        elif state == LINGER:
            self._drop_lingering(len(data))
        elif state != GONE:
            self._drain(data)

    def eof_received(self) -> bool:
        """The client sends no more. Outside tunnels that means it is gone (as in v1): what runs is cancelled."""
        self._lose(FailureKind.CLIENT_GONE)
        # What is written already still goes out, but not for longer than this.
        self._reactor.timers.set(self, self._reactor.clock() + LINGER_SECONDS)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is no more."""
        self._lose(FailureKind.CLIENT_GONE)
        self._leave()

    def pause_writing(self) -> None:
        """The client reads too slowly: the answer waits, for at most the time that a lost client would get."""
        self._is_full = True
        if self.exchange is not None:
            self.exchange.on_downstream_full()

    def resume_writing(self) -> None:
        """The client caught up."""
        self._is_full = False
        if self.exchange is not None:
            self.deadline = NEVER
            if self._state in (SIZED_BODY, CHUNKED_BODY) and not self.flow.is_paused:
                self._expect_body()
            self.exchange.on_downstream_ready()
        elif self._state == HEAD:
            self.flow.unblock(PIPELINED)
            if self._buffer:
                self._reactor.loop.call_soon(self._advance)

    @property
    def is_full(self) -> bool:
        """Whether the answer's write buffer is over its mark."""
        return self._is_full

    def limit_stall(self, seconds: float) -> None:
        """The client has so long to read on."""
        self._reactor.timers.set(self, self._reactor.clock() + seconds)

    # -- heads ---------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Read as many requests from the buffer as are there and may begin."""
        if self._is_advancing:
            return
        self._is_advancing = True
        try:
            while self._state == HEAD and self._buffer and not self._is_full and self._next_head():
                pass
        finally:
            self._is_advancing = False

    def _next_head(self) -> bool:
        data = self._buffer
        if not self._scanned and data[:2] == b"\r\n":
            # RFC 9112 2.2: one empty line before the request line is skipped.
            data = data[2:]
            self._buffer = data
            self._scanned = 1
        end = data.find(b"\r\n\r\n", max(self._scanned - 4, 0))
        if end < 0:
            self._wait_for_head(data)
            return False
        self._buffer = b""
        self._scanned = 0
        self._begin(data, end)
        return True

    def _wait_for_head(self, data: bytes) -> None:
        timers = self._reactor.timers
        if not self._is_late:
            self._is_late = True
            timers.set(self, min(self.deadline, self._reactor.clock() + self._plan.timeouts.header))
        if not data or data == b"\r":
            return
        try:
            self._reactor.codec.judge_partial(data, max(self._scanned - 2, 0), self._plan.limits)
        except ProtocolError as error:
            self._refuse(error)
        else:
            self._scanned = len(data)

    def _begin(self, data: bytes, end: int) -> None:
        """A whole head is there: read it and start its exchange."""
        listener = self._listener
        plan = listener.plan
        if data == self._last_data and plan is self._last_plan:
            # Pollers and services send the very same request again and again: comparing is cheaper than reading.
            head = self._last_head
        else:
            head = self._read_head(data, end)
        if head is None:
            return
        self.is_persistent = head.is_persistent and not listener.is_draining
        self._version_10 = head.version == b"HTTP/1.0"
        self._is_late = self._is_chunking = False
        self._scanned = 0
        self.deadline = NEVER
        now = self._reactor.clock()
        self.exchange = exchange = plan.begin(self, head, now)
        if plan.has_totals:
            self._start_total(plan.timeouts.read if head.has_body else plan.timeouts.write)
        if not head.has_body:
            self._state = COMPLETE
            if len(data) > end + 4:
                self._buffer = data[end + 4 :]
            exchange.start(b"", True)
        elif head.fields.is_chunked:
            self._begin_chunked(exchange, data[end + 4 :])
        else:
            self._begin_sized(exchange, data[end + 4 :], head.fields.length)

    def _read_head(self, data: bytes, end: int) -> RequestHead | None:
        plan = self._plan = self._listener.plan
        try:
            head = self._reactor.codec.read_request(data, end, plan.limits)
        except ProtocolError as error:
            self._refuse(error)
            return None
        if len(data) == end + 4 <= LAST_HEAD_BYTES:
            self._last_data = data
            self._last_head = head
            self._last_plan = plan
        return head

    def _begin_sized(self, exchange: Handler, body: bytes, length: int) -> None:
        if len(body) >= length:
            self._complete()
            self._buffer = body[length:]
            exchange.start(body[:length], True)
            return
        self._state = SIZED_BODY
        self._remaining = length - len(body)
        self._expect_body()
        exchange.start(body, False)

    def _begin_chunked(self, exchange: Handler, body: bytes) -> None:
        self._state = CHUNKED_BODY
        self._chunked = reader = ChunkedReader(self._reactor.codec.memo, self._plan.limits.fields)
        self._expect_body()
        try:
            data = reader.feed(body) if body else b""
        except ProtocolError as error:
            exchange.on_request_broken(error, FailureKind.CLIENT_MALFORMED)
            return
        if not reader.is_done:
            exchange.start(data, False)
        elif reader.trailers:
            exchange.start(data, False)
            self._end_chunked(reader)
        else:
            self._complete()
            self._buffer = reader.leftover
            exchange.start(data, True)

    # -- bodies --------------------------------------------------------------------------------------------------

    def _feed_sized(self, data: bytes) -> None:
        exchange = self.exchange
        assert exchange is not None
        left = self._remaining - len(data)
        if left > 0:
            self._remaining = left
            self._expect_body()
            exchange.on_request_body(data)
            return
        body, self._buffer = (data, b"") if not left else (data[:left], data[left:])
        self._complete()
        exchange.on_request_body(body)
        if self.exchange is exchange:
            exchange.on_request_end([])

    def _feed_chunked(self, data: bytes) -> None:
        exchange, reader = self.exchange, self._chunked
        assert exchange is not None and reader is not None
        try:
            body = reader.feed(data)
        except ProtocolError as error:
            exchange.on_request_broken(error, FailureKind.CLIENT_MALFORMED)
            return
        self._expect_body()
        if body:
            exchange.on_request_body(body)
        if reader.is_done and self.exchange is exchange:
            self._end_chunked(reader)

    def _end_chunked(self, reader: ChunkedReader) -> None:
        exchange = self.exchange
        if exchange is None or self._state != CHUNKED_BODY:
            return
        self._buffer = reader.leftover
        self._complete()
        exchange.on_request_end(reader.trailers)

    def _complete(self) -> None:
        """The request is read to its end."""
        self._state = COMPLETE
        self._chunked = None
        self.deadline = NEVER
        if self._plan.has_totals:
            self._start_total(self._plan.timeouts.write)

    def _keep_for_later(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > PIPELINE_BYTES:
            self.block(PIPELINED)

    @property
    def has_whole_request(self) -> bool:
        """Whether the request was read to its end."""
        return self._state == COMPLETE

    def block(self, reason: int) -> None:
        """Stop reading the body because of `reason` (net/flow.py)."""
        self.flow.block(reason)
        if self._state in (SIZED_BODY, CHUNKED_BODY):
            self.deadline = NEVER
        if self._look_out is None:
            self._look_out = self._reactor.loop.call_later(LOOK_OUT_SECONDS, self._look)

    def _look(self) -> None:
        """While reading is paused the event loop does not tell us that the client went away: ask the kernel."""
        self._look_out = None
        if self._state == GONE or not self.flow.is_paused:
            return
        sock = self.transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0 and has_hung_up(sock.fileno()):
            self._lose(FailureKind.CLIENT_GONE)
            self.transport.abort()
        else:
            self._look_out = self._reactor.loop.call_later(LOOK_OUT_SECONDS, self._look)

    def unblock(self, reason: int) -> None:
        """`reason` is gone."""
        self.flow.unblock(reason)
        if self._state in (SIZED_BODY, CHUNKED_BODY) and not self.flow.is_paused:
            self._expect_body()

    def pump_to(self, target: asyncio.Transport) -> bool:
        """Move the rest of a long body of known length straight to `target`; False: not worth it."""
        if self._state != SIZED_BODY or self._remaining < PUMP_FROM or self._pump is not None:
            return False
        self._pump = Pump(self._reactor, self, self.transport, target, self._remaining)
        self._pump.start()
        return True

    def on_pumped(self, size: int) -> None:
        """`size` bytes went straight on."""
        self._remaining -= size
        if not self.flow.is_paused:
            self._expect_body()
        if self.exchange is not None:
            self.exchange.on_body_pumped(size)

    def on_pump_end(self) -> None:
        """The body is complete."""
        self._pump = None
        self._complete()
        if self.exchange is not None:
            self.exchange.on_request_end([])

    def _drain(self, data: bytes) -> None:
        """Read and drop the rest of a request body that was answered early."""
        if self._state == DRAIN_SIZED:
            left = self._remaining - len(data)
            if left > 0:
                self._remaining = left
                return
            self._buffer = data[left:] if left else b""
        else:
            reader = self._chunked
            assert reader is not None
            self._remaining -= len(data)
            try:
                reader.feed(data)
            except ProtocolError:
                self._linger()
                return
            if not reader.is_done:
                if self._remaining < 0:
                    self._linger()
                return
            self._buffer = reader.leftover
        self._state = COMPLETE
        self._chunked = None
        self._reuse()

    def _drop_lingering(self, size: int) -> None:
        self._remaining -= size
        if self._remaining < 0:
            self.transport.abort()
