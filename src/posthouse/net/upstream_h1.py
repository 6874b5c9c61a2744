"""UpstreamH1: one HTTP/1.1 connection to a backend; hop 7 of a request's life.

It carries one exchange at a time and is used again only after a clean, complete one: both bodies finished, no byte
left over, no `close`, nothing arrived while idle (reliability.md rule 7). Whatever the backend breaks becomes a
Failure for the exchange, and the connection is closed.
"""

from __future__ import annotations

import asyncio
from typing import Final

from posthouse.errors import FailureKind, ProtocolError
from posthouse.net.flow import SPLIT
from posthouse.net.handler import ResponseHandler
from posthouse.net.pump import PUMP_FROM, Pump
from posthouse.net.timers import NEVER
from posthouse.net.tls_engine import TLSFault
from posthouse.net.upstream_request import (
    CHUNKED_BODY,
    COMPLETE,
    GONE,
    HEAD,
    IDLE,
    OPEN_BODY,
    SIZED_BODY,
    UpstreamRequest,
)
from posthouse.protocol.chunked import ChunkedReader, has_bare_line_break
from posthouse.protocol.h1 import RESPONSE_FIELDS, RESPONSE_HEAD_BYTES, ResponseHead

HEAR_BYTES: Final = 1024 * 1024
"""Of an answer that is read from a connection which was reset already."""
INFORMATIONAL: Final = 32
"""1xx heads per response; a backend that sends more is broken."""


class UpstreamH1(UpstreamRequest):
    """One connection to a backend."""

    __slots__ = ()

    # -- asyncio's side ------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes of the backend."""
        state = self._state
        if state == HEAD:
            if not self._buffer:
                end = data.find(b"\r\n\r\n")
                head = self._reactor.codec.known_response(data[:end]) if end > 0 else None
                if head is not None and head.status >= 200 and self.exchange is not None:
                    self._begin_body(self.exchange, head, data[end + 4 :])
                    return
            self._read_head(self._buffer + data if self._buffer else data)
        elif state == SIZED_BODY:
            self._read_sized(data)
        elif state == CHUNKED_BODY:
            self._read_chunked(data)
        elif state == OPEN_BODY:
            exchange = self.exchange
            assert exchange is not None
            self._progress()
            exchange.on_response_body(data)
        elif state == COMPLETE:
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
        if isinstance(exc, TLSFault):
            self._end_of_tls(exc)
        else:
            self._end_of_input(
                f"connection lost: {exc}" if exc else "closed by the backend", is_clean=exc is None
            )
        self._reactor.timers.forget(self)

    def _end_of_tls(self, fault: TLSFault) -> None:
        """TLS broke off. Without close_notify a body that ends with the connection is not complete (RFC 9112 9.8)."""
        if self._state == HEAD and not fault.is_cut:
            if fault.is_refusal and not self._buffer and not self.is_reused:
                # Its handshake has failed, only ours had not: the application was never asked.
                self.is_sent = False
            self._fail(FailureKind.TLS, fault.reason)
        self._end_of_input(fault.reason, is_clean=False)

    def _end_of_input(self, reason: str, *, is_clean: bool = True) -> None:
        self._stop_pump()
        if self._ear is not None:
            self._hear()
        while self._state == CHUNKED_BODY and self._chunked is not None and self._chunked.has_more:
            self._read_chunked(b"")
        state, exchange = self._state, self.exchange
        if state == OPEN_BODY and is_clean and exchange is not None:
            self._state = COMPLETE
            self.can_reuse = False
            exchange.on_response_end([])
            return
        if state == IDLE:
            self._idle.forget(self)
        if state == COMPLETE:
            self.can_reuse = False
            return
        if state != GONE:
            self._fail(FailureKind.RESET if state == HEAD else FailureKind.TRUNCATED, reason)

    def _hear(self) -> None:
        """Read what the backend said before it reset the connection (see `keep_ear`)."""
        ear, self._ear = self._ear, None
        if ear is None:
            return
        with ear:
            ear.setblocking(False)
            heard = 0
            while self._state in (HEAD, SIZED_BODY, CHUNKED_BODY, OPEN_BODY) and heard < HEAR_BYTES:
                try:
                    data = ear.recv(RESPONSE_HEAD_BYTES)
                except OSError:
                    return
                if not data:
                    return
                heard += len(data)
                self.data_received(data)

    def pause_writing(self) -> None:
        """The backend reads too slowly."""
        if self.exchange is not None:
            self.exchange.on_upstream_full()

    def resume_writing(self) -> None:
        """The backend caught up."""
        if self.exchange is not None:
            self.exchange.on_upstream_ready()

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
                self._buffer = data
                self._fail(FailureKind.MALFORMED, error.reason)
                return
            data = data[end + 4 :]
            self._buffer = b""
            if head.status == 101:
                self._leave_http()
                exchange.on_upgrade(head, data)
                return
            exchange.on_informational(head)
            if not data:
                return

    def _leave_http(self) -> None:
        """The transport goes to a tunnel, and `connection_lost` with it: nothing may hold us any longer."""
        self._state = GONE
        self.exchange = None
        self._reactor.timers.forget(self)

    def _judge_partial(self, data: bytes) -> None:
        if not (data.startswith(b"HTTP/1.") or b"HTTP/1.".startswith(data)):
            raise ProtocolError(502, "not an HTTP/1 response")
        if has_bare_line_break(data, max(len(self._buffer) - 2, 0)):
            raise ProtocolError(502, "bare CR or LF in the head")
        if len(data) > RESPONSE_HEAD_BYTES + 3:  # three may belong to the empty line
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
                self._state = SIZED_BODY
                self._remaining = left
                self._progress()
                exchange.on_response(head, rest, False, fields.length)
        else:
            self._state = OPEN_BODY
            self.can_reuse = False
            self._progress()
            exchange.on_response(head, rest, False, -1)

    def _begin_chunked(self, exchange: ResponseHandler, head: ResponseHead, rest: bytes) -> None:
        self._chunked = reader = ChunkedReader(self._reactor.codec.memo, RESPONSE_FIELDS)
        self._state = CHUNKED_BODY
        try:
            data = reader.feed(rest) if rest else b""
        except ProtocolError as error:
            self._fail(FailureKind.MALFORMED, error.reason)
            return
        if not reader.is_done:
            self._progress()
            exchange.on_response(head, data, False, -1)
            if reader.has_more:
                self._read_later(reader)
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
        if reader.has_more:
            self._read_later(reader)
        elif reader.is_done and self.exchange is exchange:
            self._finish_read(head, not reader.leftover)
            exchange.on_response_end(reader.trailers)

    def _read_later(self, reader: ChunkedReader) -> None:
        """More chunks are there than one turn may take: nothing is read until they are."""
        if self._chunked is reader:
            self.flow.block(SPLIT)
            self._reactor.loop.call_soon(self._read_more, reader)

    def _read_more(self, reader: ChunkedReader) -> None:
        if self._chunked is reader and reader.has_more and self._state == CHUNKED_BODY:
            self._read_chunked(b"")
            if not reader.has_more and self._chunked is reader:
                self.unblock(SPLIT)

    def _finish_read(self, head: ResponseHead, is_clean: bool) -> None:
        """The response is read to its end; `is_clean`: nothing followed it."""
        self._state = COMPLETE
        self._chunked = None
        self.deadline = NEVER
        self.can_reuse = is_clean and head.is_persistent

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
