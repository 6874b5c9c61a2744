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
    GONE,
    HEAD,
    LINGER,
    LINGER_SECONDS,
    SIZED_BODY,
)
from posthouse.net.downstream_body import PIPELINE_BYTES, DownstreamBody
from posthouse.net.entrance import peer_of
from posthouse.net.flow import PIPELINED, Flow
from posthouse.net.tcp_options import set_nodelay
from posthouse.net.timers import NEVER
from posthouse.protocol.h1 import RequestHead

LAST_HEAD_BYTES: Final = 1024
"""A head up to this size is kept to compare the next one with; more would cost too much per idle connection."""
HEADS_A_TURN: Final = 16
"""Requests of one connection that begin in a turn of the event loop. Those that we answer ourselves are over at once:
a read of 250 KB holds 9,000 of them, and each cuts its bytes off a buffer of that size."""


class DownstreamH1(DownstreamBody):
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
        self._has_room()
        self._lose(FailureKind.CLIENT_GONE)
        self._leave()

    def pause_writing(self) -> None:
        """The client reads too slowly: the answer waits, for at most the time that a lost client would get."""
        if not self._is_full:
            self._is_full = True
            self._reactor.full_clients += 1
        if self.exchange is not None:
            self.exchange.on_downstream_full()

    def resume_writing(self) -> None:
        """The client caught up."""
        self._has_room()
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
        """Read as many requests from the buffer as are there and may begin; HEADS_A_TURN at most, then others have
        theirs."""
        if self._is_advancing:
            if len(self._buffer) > PIPELINE_BYTES:
                self.block(PIPELINED)
            return
        self._is_advancing = True
        left = HEADS_A_TURN
        try:
            while left and self._state == HEAD and self._buffer and not self._is_full and self._next_head():
                left -= 1
        finally:
            self._is_advancing = False
        if not left and self._state == HEAD and self._buffer:
            # Until then it counts as advancing: what arrives meanwhile is only kept.
            self._is_advancing = True
            if len(self._buffer) > PIPELINE_BYTES:
                self.block(PIPELINED)
            self._reactor.loop.call_soon(self._advance_further)

    def _advance_further(self) -> None:
        self._is_advancing = False
        self._advance()

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
            self._refuse(error, data)
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
            self._refuse(error, data)
            return None
        if len(data) == end + 4 <= LAST_HEAD_BYTES:
            self._last_data = data
            self._last_head = head
            self._last_plan = plan
        return head
