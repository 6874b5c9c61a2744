"""DownstreamBody: the bodies of requests, as a client's HTTP/1.x connection reads them.

Laws:
1. So many chunks are read in a turn of the event loop; while others wait nothing more is read from the client.
2. What is left of a body after an early answer is dropped within a bound, or the connection ends.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

from posthouse.errors import FailureKind, ProtocolError
from posthouse.net.downstream_answer import (
    CHUNKED_BODY,
    COMPLETE,
    DRAIN_CHUNKED,
    DRAIN_SIZED,
    GONE,
    SIZED_BODY,
    DownstreamAnswer,
)
from posthouse.net.flow import PIPELINED, SPLIT, has_hung_up
from posthouse.net.handler import Handler
from posthouse.net.pump import PUMP_FROM, Home, Pump
from posthouse.net.timers import NEVER
from posthouse.protocol.chunked import ChunkedReader

LOOK_OUT_SECONDS: Final = 0.25
"""How often a client whose bytes we don't read now is looked after."""
PIPELINE_BYTES: Final = 64 * 1024
"""Reading pauses when more than this of later requests waits behind the current one."""


class DownstreamBody(DownstreamAnswer):
    """The part of a client's connection that reads what follows a head."""

    __slots__ = ()

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
            if reader.has_more:
                self._feed_later(reader)
        elif reader.trailers:
            exchange.start(data, False)
            self._end_chunked(reader)
        else:
            self._complete()
            self._buffer = reader.leftover
            exchange.start(data, True)

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
        if reader.has_more:
            self._feed_later(reader)
        elif reader.is_done and self.exchange is exchange:
            self._end_chunked(reader)

    def _feed_later(self, reader: ChunkedReader) -> None:
        """More chunks are there than one turn may take: nothing is read until they are."""
        if self._chunked is reader:
            self.flow.block(SPLIT)
            self._reactor.loop.call_soon(self._feed_more, reader)

    def _feed_more(self, reader: ChunkedReader) -> None:
        if self._chunked is not reader or not reader.has_more:
            return
        if self._state == DRAIN_CHUNKED:
            self._drain(b"")
        elif self._state == CHUNKED_BODY:
            self._feed_chunked(b"")
            if not reader.has_more and self._chunked is reader:
                self.unblock(SPLIT)

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
        home = cast(Home, self)  # with the reader of heads it is
        self._pump = Pump(self._reactor, home, self.transport, target, self._remaining)
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

    def _drop_lingering(self, size: int) -> None:
        self._remaining -= size
        if self._remaining < 0:
            self.transport.abort()

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
                while reader.has_more and self._remaining >= 0:
                    reader.feed(b"")
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
