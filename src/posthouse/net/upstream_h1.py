"""UpstreamH1: one HTTP/1.1 connection to a backend; hop 7 of a request's life.

It carries one exchange at a time and is used again only after a clean, complete one: both bodies finished, no byte
left over, no `close`, nothing arrived while idle (reliability.md rule 7). Whatever the backend breaks becomes a
Failure for the exchange, and the connection is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Final

from posthouse.errors import Failure, FailureKind, ProtocolError, Sent, Side
from posthouse.net.flow import Flow
from posthouse.net.handler import ResponseHandler
from posthouse.net.idle import IDLE_SECONDS, IdleConnections
from posthouse.net.pump import PUMP_FROM, Pump
from posthouse.net.reactor import Reactor
from posthouse.net.timers import NEVER
from posthouse.protocol.chunked import ChunkedReader, encode_chunk, encode_last_chunk, has_bare_line_break
from posthouse.protocol.fields import Field
from posthouse.protocol.h1 import RESPONSE_FIELDS, RESPONSE_HEAD_BYTES, ResponseHead

INFORMATIONAL: Final = 32
"""1xx heads per response; a backend that sends more is broken."""

_IDLE, _HEAD, _SIZED_BODY, _CHUNKED_BODY, _OPEN_BODY, _COMPLETE, _GONE = range(7)


class UpstreamH1:
    """One connection to a backend.

    key        what it is kept under while idle
    is_reused  it has carried an exchange before this one
    """

    __slots__ = (
        *(
            "_buffer",
            "_chunked",
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
        self._state = _IDLE
        self._buffer = b""
        self._chunked: ChunkedReader | None = None
        self._pump: Pump | None = None
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

    # -- asyncio's side ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Dialled."""
        self.transport = transport
        self.flow = Flow(transport)
        if self._state == _GONE:
            transport.abort()

    def abandon(self) -> None:
        """Nobody wants it any more, even if it connects yet."""
        self._state = _GONE
        if self.transport is not None:
            self.transport.abort()

    def adopt(self, other: UpstreamH1) -> None:
        """Take over the transport of a connection that carried nothing yet."""
        other.transport.set_protocol(self)  # type: ignore[arg-type]
        self.connection_made(other.transport)
        if other.transport.is_closing():
            self._state = _GONE

    def data_received(self, data: bytes) -> None:
        """Bytes of the backend."""
        state = self._state
        if state == _HEAD:
            if not self._buffer:
                end = data.find(b"\r\n\r\n")
                head = self._reactor.codec.known_response(data[:end]) if end > 0 else None
                if head is not None and head.status >= 200 and self.exchange is not None:
                    self._begin_body(self.exchange, head, data[end + 4 :])
                    return
            self._read_head(self._buffer + data if self._buffer else data)
        elif state == _SIZED_BODY:
            self._read_sized(data)
        elif state == _CHUNKED_BODY:
            self._read_chunked(data)
        elif state == _OPEN_BODY:
            exchange = self.exchange
            assert exchange is not None
            self._progress()
            exchange.on_response_body(data)
        elif state == _COMPLETE:
            self.can_reuse = False
        else:
            # Nobody asked for this: the connection can't be trusted with a request any more.
            self.close()

    def eof_received(self) -> bool:
        """The backend sends no more."""
        self._end_of_input("closed by the backend")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is no more."""
        self._end_of_input(
            f"connection lost: {exc}" if exc else "closed by the backend", is_clean=exc is None
        )
        self._reactor.timers.forget(self)

    def _end_of_input(self, reason: str, *, is_clean: bool = True) -> None:
        state, exchange = self._state, self.exchange
        self._stop_pump()
        if state == _OPEN_BODY and is_clean and exchange is not None:
            self._state = _COMPLETE
            self.can_reuse = False
            exchange.on_response_end([])
            return
        if state == _IDLE:
            self._idle.forget(self)
        if state == _COMPLETE:
            self.can_reuse = False
            return
        if state != _GONE:
            self._fail(FailureKind.RESET if state == _HEAD else FailureKind.TRUNCATED, reason)

    def pause_writing(self) -> None:
        """The backend reads too slowly."""
        if self.exchange is not None:
            self.exchange.on_upstream_full()

    def resume_writing(self) -> None:
        """The backend caught up."""
        if self.exchange is not None:
            self.exchange.on_upstream_ready()

    # -- the request ---------------------------------------------------------------------------------------------

    def begin(self, exchange: ResponseHandler, idle_timeout: float, *, is_bodiless: bool) -> None:
        """Carry this exchange. is_bodiless: its response has no body whatever the fields say (HEAD).

        idle_timeout  seconds that the backend has for each next byte of its response
        """
        self.exchange = exchange
        self.idle_timeout = idle_timeout
        self._state = _HEAD
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

    def send_body(self, data: bytes) -> None:
        """Body bytes, framed as the head said. `data` is not empty."""
        self.transport.write(encode_chunk(data) if self.is_chunking else data)

    def send_end(self, trailers: list[Field]) -> None:
        """The request body is complete."""
        if self.is_chunking:
            self.transport.write(encode_last_chunk(trailers))
        self.is_request_complete = True

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
        if not self.flow.is_paused and self._state in (_SIZED_BODY, _CHUNKED_BODY, _OPEN_BODY):
            self._progress()

    # -- the response --------------------------------------------------------------------------------------------

    def _read_head(self, data: bytes) -> None:
        exchange = self.exchange
        while exchange is not None and self.exchange is exchange:
            end = data.find(b"\r\n\r\n")
            try:
                if end < 0:
                    self._judge_partial(data)
                    self._buffer = data
                    return
                if end > RESPONSE_HEAD_BYTES:
                    raise ProtocolError(502, "response head over the limit")
                head = self._reactor.codec.read_response(data, end)
                if head.status >= 200:
                    self._buffer = b""
                    self._begin_body(exchange, head, data[end + 4 :])
                    return
                self._count_informational(end)
            except ProtocolError as error:
                self._fail(FailureKind.MALFORMED, error.reason)
                return
            data = data[end + 4 :]
            self._buffer = b""
            if head.status == 101:
                self._state = _GONE
                exchange.on_upgrade(head, data)
                return
            exchange.on_informational(head)
            if not data:
                return

    def _judge_partial(self, data: bytes) -> None:
        if not (data.startswith(b"HTTP/1.") or b"HTTP/1.".startswith(data)):
            raise ProtocolError(502, "not an HTTP/1 response")
        if has_bare_line_break(data, max(len(self._buffer) - 2, 0)):
            raise ProtocolError(502, "bare CR or LF in the head")
        if len(data) > RESPONSE_HEAD_BYTES:
            raise ProtocolError(502, "response head over the limit")

    def _count_informational(self, size: int) -> None:
        self._informational += 1
        self._informational_bytes += size
        if self._informational > INFORMATIONAL:
            raise ProtocolError(502, f"more than {INFORMATIONAL} informational responses")
        if self._informational_bytes > RESPONSE_HEAD_BYTES:
            raise ProtocolError(502, "informational responses over the limit of a head")

    def _begin_body(self, exchange: ResponseHandler, head: ResponseHead, rest: bytes) -> None:
        self._head = head
        fields, status = head.fields, head.status
        if self._is_bodiless or status == 204 or status == 304:
            self._finish_read(head, not rest)
            exchange.on_response(head, b"", True, 0)
        elif fields.is_chunked:
            self._begin_chunked(exchange, head, rest)
        elif fields.length >= 0:
            left = fields.length - len(rest)
            if left <= 0:
                self._finish_read(head, not left)
                exchange.on_response(head, rest[: fields.length] if left else rest, True, fields.length)
            else:
                self._state = _SIZED_BODY
                self._remaining = left
                self._progress()
                exchange.on_response(head, rest, False, fields.length)
        else:
            self._state = _OPEN_BODY
            self.can_reuse = False
            self._progress()
            exchange.on_response(head, rest, False, -1)

    def _begin_chunked(self, exchange: ResponseHandler, head: ResponseHead, rest: bytes) -> None:
        self._chunked = reader = ChunkedReader(self._reactor.codec.memo, RESPONSE_FIELDS)
        self._state = _CHUNKED_BODY
        try:
            data = reader.feed(rest) if rest else b""
        except ProtocolError as error:
            self._fail(FailureKind.MALFORMED, error.reason)
            return
        if not reader.is_done:
            self._progress()
            exchange.on_response(head, data, False, -1)
            return
        if reader.trailers:
            exchange.on_response(head, data, False, -1)
            if self.exchange is exchange:
                self._finish_read(head, not reader.leftover)
                exchange.on_response_end(reader.trailers)
            return
        self._finish_read(head, not reader.leftover)
        exchange.on_response(head, data, True, -1)

    def _read_sized(self, data: bytes) -> None:
        exchange = self.exchange
        assert exchange is not None and self._head is not None
        left = self._remaining - len(data)
        if left > 0:
            self._remaining = left
            self._progress()
            exchange.on_response_body(data)
            return
        self._finish_read(self._head, not left)
        exchange.on_response_body(data[:left] if left else data)
        if self.exchange is exchange:
            exchange.on_response_end([])

    def _read_chunked(self, data: bytes) -> None:
        exchange, reader, head = self.exchange, self._chunked, self._head
        assert exchange is not None and reader is not None and head is not None
        try:
            body = reader.feed(data)
        except ProtocolError as error:
            self._fail(FailureKind.MALFORMED, error.reason)
            return
        self._progress()
        if body:
            exchange.on_response_body(body)
        if reader.is_done and self.exchange is exchange:
            self._finish_read(head, not reader.leftover)
            exchange.on_response_end(reader.trailers)

    def _finish_read(self, head: ResponseHead, is_clean: bool) -> None:
        """The response is read to its end; `is_clean`: nothing followed it."""
        self._state = _COMPLETE
        self._chunked = None
        self.deadline = NEVER
        self.can_reuse = is_clean and head.is_persistent

    def pump_to(self, target: asyncio.Transport) -> bool:
        """Move the rest of a long body of known length straight to `target`; False: not worth it."""
        if self._state != _SIZED_BODY or self._remaining < PUMP_FROM or self._pump is not None:
            return False
        self._pump = Pump(self._reactor, self, self.transport, target, self._remaining)
        self._pump.start()
        return True

    def on_pumped(self, size: int) -> None:
        """`size` bytes went straight on."""
        self._remaining -= size
        if not self.flow.is_paused:
            self._progress()
        if self.exchange is not None:
            self.exchange.on_response_pumped(size)

    def on_pump_end(self) -> None:
        """The body is complete."""
        self._pump = None
        assert self._head is not None
        self._finish_read(self._head, is_clean=True)
        if self.exchange is not None:
            self.exchange.on_response_end([])

    def _stop_pump(self) -> None:
        pump, self._pump = self._pump, None
        if pump is not None:
            pump.stop()
            if not self.transport.is_closing():
                self.transport.set_protocol(self)  # type: ignore[arg-type]

    # -- the end -------------------------------------------------------------------------------------------------

    def release(self, most: int) -> None:
        """The exchange is over: keep the connection warm if it is clean, else close it."""
        self.exchange = None
        transport = self.transport
        if (
            not (self.can_reuse and self.is_request_complete and most and self._state == _COMPLETE)
            or transport.get_write_buffer_size()
            or transport.is_closing()
        ):
            self.close()
        else:
            self._state = _IDLE
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
        if self._state == _IDLE:
            self._idle.forget(self)
        self._state = _GONE
        self.exchange = None
        self._stop_pump()
        self.transport.abort()

    def on_deadline(self, now: float) -> None:
        """The backend took too long, or the connection was idle long enough."""
        if self._state == _IDLE:
            self.close()
        elif self._state == _HEAD:
            self._fail(FailureKind.RESPONSE_TIMEOUT, f"no response head within {self._wait:g} s")
        elif self._state != _GONE:
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
