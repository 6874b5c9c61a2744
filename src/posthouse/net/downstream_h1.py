"""DownstreamH1: one HTTP/1.x connection of a client; hop 1 of a request's life.

It reads one request at a time, gives it to a handler (the exchange) and writes what the handler answers. It knows
nothing of sites, backends or header rules. Being a connection with one stream it is its own Stream: what an
exchange may call is the section "the answer".
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from posthouse.errors import FailureKind, ProtocolError
from posthouse.net.flow import PIPELINED, Flow
from posthouse.net.pump import PUMP_FROM, Pump
from posthouse.net.timers import NEVER
from posthouse.protocol.chunked import LAST_CHUNK, ChunkedReader, encode_chunk, encode_last_chunk
from posthouse.protocol.fields import Field
from posthouse.protocol.h1 import HeadLimits, RequestHead

if TYPE_CHECKING:
    from posthouse.net.listener import Listener

DRAIN_BYTES: Final = 64 * 1024
"""An unread request body up to this is read and dropped to keep the connection; past it the connection closes."""
PIPELINE_BYTES: Final = 64 * 1024
"""Reading pauses when more than this of later requests waits behind the current one."""
LINGER_SECONDS: Final = 2.0
LINGER_BYTES: Final = 8 * 1024 * 1024
"""After an answer that ends the connection, input is dropped for so long, so that a reset does not eat the answer."""

NO_BODY, SIZED, STREAMED = range(3)
"""How the body of an answer is delimited: there is none; by the Content-Length given; we choose."""

_HEAD, _SIZED_BODY, _CHUNKED_BODY, _COMPLETE, _DRAIN_SIZED, _DRAIN_CHUNKED, _LINGER, _GONE = range(8)
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class DownstreamTimeouts:
    """The waits for a client, seconds; NEVER = off."""

    header: float = 10.0
    body: float = 30.0
    idle: float = 300.0
    read: float = NEVER
    write: float = NEVER


class Handler(Protocol):
    """What answers a request (an exchange)."""

    def start(self, body: bytes, is_end: bool) -> None:
        """Begin; `body`: what came with the head; `is_end`: the request is complete."""

    def on_request_body(self, data: bytes) -> None: ...
    def on_request_end(self, trailers: list[Field]) -> None: ...
    def on_request_broken(self, error: ProtocolError, kind: FailureKind) -> None:
        """The rest of the body will never come; the client may still read an answer."""

    def on_downstream_lost(self, kind: FailureKind) -> None:
        """The client is gone; nothing can be sent any more."""

    def on_downstream_full(self) -> None: ...
    def on_downstream_ready(self) -> None: ...
    def on_body_pumped(self, size: int) -> None: ...


class Plan(Protocol):
    """What a listening address does with requests, in the current generation."""

    limits: HeadLimits
    timeouts: DownstreamTimeouts

    def begin(self, stream: DownstreamH1, head: RequestHead) -> Handler:
        """The handler of a new request."""

    def refuse(self, stream: DownstreamH1, error: ProtocolError) -> bytes:
        """The whole answer to a request that could not be read; logs it."""


class DownstreamH1:
    """One client connection."""

    __slots__ = (
        *("_buffer", "_chunked", "_is_advancing", "_is_chunking", "_is_full", "_is_late", "_listener"),
        *("_plan", "_pump", "_reactor", "_remaining", "_scanned", "_state", "_total", "_version_10"),
        *("bucket", "deadline", "exchange", "flow", "is_persistent", "local", "memo", "peer", "peer_port"),
        *("scheme", "transport"),
    )

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._reactor = listener.reactor
        self._plan: Plan = listener.plan
        self._state = _HEAD
        self._buffer = b""
        self._scanned = 0
        self._remaining = 0
        self._chunked: ChunkedReader | None = None
        self._pump: Pump | None = None
        self._total: asyncio.TimerHandle | None = None
        self._is_advancing = False
        self._is_chunking = False
        self._is_full = False
        self._is_late = False
        self._version_10 = False
        self.exchange: Handler | None = None
        self.is_persistent = True
        self.scheme = listener.scheme
        self.deadline = NEVER
        self.bucket = 0
        self.peer = ""
        self.peer_port = 0
        self.memo: object = None

    def __repr__(self) -> str:
        return f"<DownstreamH1 {self.peer}:{self.peer_port} state={self._state} exchange={self.exchange!r}>"

    # -- asyncio's side ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:
        """A client connected; it has `timeouts header` to send its first head."""
        self.transport = transport
        self.flow = Flow(transport)
        name = transport.get_extra_info("peername")
        if type(name) is tuple:
            self.peer, self.peer_port = name[0].removeprefix("::ffff:"), name[1]
        self._listener.connections.add(self)
        self._reactor.timers.set(self, self._reactor.clock() + self._plan.timeouts.header)

    def data_received(self, data: bytes) -> None:
        """Bytes of a client."""
        state = self._state
        if state == _HEAD:
            if not self._buffer and data[0] != 13:
                end = data.find(b"\r\n\r\n")
                if end > 0:
                    self._begin(data, end)
                    if self._buffer and self._state == _HEAD:
                        self._advance()
                    return
            self._buffer = self._buffer + data if self._buffer else data
            self._advance()
        elif state == _SIZED_BODY:
            self._feed_sized(data)
        elif state == _CHUNKED_BODY:
            self._feed_chunked(data)
        elif state == _COMPLETE:
            self._keep_for_later(data)
        elif state == _LINGER:
            self._drop_lingering(len(data))
        elif state != _GONE:
            self._drain(data)

    def eof_received(self) -> bool:
        """The client sends no more. Outside tunnels that means it is gone (as in v1): what runs is cancelled."""
        self._lose(FailureKind.CLIENT_GONE)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is no more."""
        self._lose(FailureKind.CLIENT_GONE)
        self._reactor.timers.forget(self)
        self._listener.forget(self)

    def _lose(self, kind: FailureKind) -> None:
        self._state = _GONE
        self._stop_pump()
        self._stop_total()
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.on_downstream_lost(kind)

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
            if self._state in (_SIZED_BODY, _CHUNKED_BODY) and not self.flow.is_paused:
                self._expect_body()
            self.exchange.on_downstream_ready()

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
            while self._state == _HEAD and self._buffer and self._next_head():
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
        plan = self._plan = self._listener.plan
        self._is_late = False
        try:
            head = self._reactor.codec.read_request(data, end, plan.limits)
        except ProtocolError as error:
            self._refuse(error)
            return
        self.is_persistent = head.is_persistent and not self._listener.is_draining
        self._version_10 = head.version == b"HTTP/1.0"
        self._is_chunking = False
        self.deadline = NEVER
        self.exchange = exchange = plan.begin(self, head)
        body = data[end + 4 :]
        if plan.timeouts.read != NEVER or plan.timeouts.write != NEVER:
            self._start_total(plan.timeouts.read if head.has_body else plan.timeouts.write)
        if head.fields.length > 0:
            self._begin_sized(exchange, body, head.fields.length)
        elif head.fields.is_chunked:
            self._begin_chunked(exchange, body, plan.limits.fields)
        else:
            self._state = _COMPLETE
            self._buffer = body
            exchange.start(b"", True)

    def _begin_sized(self, exchange: Handler, body: bytes, length: int) -> None:
        if len(body) >= length:
            self._state = _COMPLETE
            self._buffer = body[length:]
            exchange.start(body[:length], True)
            return
        self._state = _SIZED_BODY
        self._remaining = length - len(body)
        self._expect_body()
        exchange.start(body, False)

    def _begin_chunked(self, exchange: Handler, body: bytes, most_fields: int) -> None:
        self._state = _CHUNKED_BODY
        self._chunked = reader = ChunkedReader(self._reactor.codec.memo, most_fields)
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
            self._state = _COMPLETE
            self._buffer = reader.leftover
            exchange.start(data, True)

    def _refuse(self, error: ProtocolError) -> None:
        self.is_persistent = False
        self._buffer = b""
        if not self.transport.is_closing():
            self.transport.write(self._plan.refuse(self, error))
        self._linger()

    # -- bodies --------------------------------------------------------------------------------------------------

    def _expect_body(self) -> None:
        """The client has `timeouts body` for its next byte."""
        self._reactor.timers.set(self, self._reactor.clock() + self._plan.timeouts.body)

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
        if exchange is None or self._state != _CHUNKED_BODY:
            return
        self._buffer = reader.leftover
        self._complete()
        exchange.on_request_end(reader.trailers)

    def _complete(self) -> None:
        """The request is read to its end."""
        self._state = _COMPLETE
        self._chunked = None
        self.deadline = NEVER
        if self._plan.timeouts.read != NEVER or self._plan.timeouts.write != NEVER:
            self._start_total(self._plan.timeouts.write)

    def _keep_for_later(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > PIPELINE_BYTES:
            self.flow.block(PIPELINED)

    @property
    def has_whole_request(self) -> bool:
        """Whether the request was read to its end."""
        return self._state == _COMPLETE

    def block(self, reason: int) -> None:
        """Stop reading the body because of `reason` (net/flow.py)."""
        self.flow.block(reason)
        if self._state in (_SIZED_BODY, _CHUNKED_BODY):
            self.deadline = NEVER

    def unblock(self, reason: int) -> None:
        """`reason` is gone."""
        self.flow.unblock(reason)
        if self._state in (_SIZED_BODY, _CHUNKED_BODY) and not self.flow.is_paused:
            self._expect_body()

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
        self._expect_body()
        if self.exchange is not None:
            self.exchange.on_body_pumped(size)

    def on_pump_end(self) -> None:
        """The body is complete."""
        self._pump = None
        self._complete()
        if self.exchange is not None:
            self.exchange.on_request_end([])

    def _stop_pump(self) -> None:
        pump, self._pump = self._pump, None
        if pump is not None:
            pump.stop()
            if not self.transport.is_closing():
                self.transport.set_protocol(self)  # type: ignore[arg-type]

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
        if self._state != _COMPLETE and not self._can_drain():
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
        self._state = _GONE
        self.exchange = None
        self._stop_total()
        self.flow.unblock(-1)
        return early

    def tunnel_ended(self) -> None:
        """The tunnel is over and has closed the transport."""
        self._reactor.timers.forget(self)
        self._listener.forget(self)

    def reset(self) -> None:
        """The answer can't be completed: let the client see that it is cut (reliability.md rule 6)."""
        self._state = _GONE
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

    def _can_drain(self) -> bool:
        if self._state == _SIZED_BODY:
            return self._remaining <= DRAIN_BYTES
        return self._state == _CHUNKED_BODY

    def close_after_answer(self) -> None:
        """Whatever the client wishes, this is the last answer on the connection."""
        self.is_persistent = False

    def _end(self) -> None:
        """The answer is written: next request, drain, or the end."""
        self.exchange = None
        self._stop_pump()
        if self._total is not None:
            self._stop_total()
        if not self.is_persistent or self._listener.is_draining:
            self._close()
        elif self._state == _COMPLETE:
            self._reuse()
        elif self._state != _GONE:
            self._begin_drain()

    def _reuse(self) -> None:
        self._state = _HEAD
        timers = self._reactor.timers
        timers.set(self, self._reactor.clock() + self._plan.timeouts.idle)
        if self.flow.is_paused:
            self.flow.unblock(PIPELINED)
        if self._buffer and not self._is_advancing:
            # Not from inside the exchange's last call: many pipelined requests would nest.
            self._reactor.loop.call_soon(self._advance)

    def _begin_drain(self) -> None:
        self.flow.unblock(-1)
        chunked = self._state == _CHUNKED_BODY
        self._state = _DRAIN_CHUNKED if chunked else _DRAIN_SIZED
        if chunked:
            self._remaining = DRAIN_BYTES
        self._expect_body()

    def _drain(self, data: bytes) -> None:
        """Read and drop the rest of a request body that was answered early."""
        if self._state == _DRAIN_SIZED:
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
        self._complete()
        self._reuse()

    # -- the end -------------------------------------------------------------------------------------------------

    def close_if_idle(self) -> None:
        """Close unless a request runs or its head has begun (graceful stop, memory pressure)."""
        if self._state == _HEAD and not self._buffer:
            self._state = _GONE
            self.transport.close()

    @property
    def is_idle(self) -> bool:
        """Whether no request runs."""
        return self._state == _HEAD and not self._buffer

    def _close(self) -> None:
        if self._state == _COMPLETE and not self._buffer:
            self._state = _GONE
            self.transport.close()
            self._reactor.timers.set(self, self._reactor.clock() + self._plan.timeouts.idle)
        else:
            self._linger()

    def _linger(self) -> None:
        """Everything is said; drop what still comes, so that a reset does not overtake the answer."""
        if self._state == _GONE or self.transport.is_closing():
            return
        self._state = _LINGER
        self._buffer = b""
        self._remaining = LINGER_BYTES
        self.flow.unblock(-1)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._reactor.timers.set(self, self._reactor.clock() + LINGER_SECONDS)

    def _drop_lingering(self, size: int) -> None:
        self._remaining -= size
        if self._remaining < 0:
            self.transport.abort()

    def _start_total(self, seconds: float) -> None:
        self._stop_total()
        if seconds != NEVER:
            self._total = self._reactor.loop.call_later(seconds, self._expire_total)

    def _stop_total(self) -> None:
        if self._total is not None:
            self._total.cancel()
            self._total = None

    def _expire_total(self) -> None:
        self._total = None
        exchange = self.exchange
        if self._state == _COMPLETE or exchange is None:
            self._lose(FailureKind.CLIENT_TIMEOUT)
            self.transport.abort()
        else:
            exchange.on_request_broken(ProtocolError(408, "timeouts read"), FailureKind.CLIENT_TIMEOUT)

    def on_deadline(self, now: float) -> None:
        """The client took too long for what it was to do."""
        state = self._state
        if self._is_full and state != _GONE:
            self._lose(FailureKind.CLIENT_TIMEOUT)
            self.reset_connection()
        elif state == _HEAD and self._buffer:
            self._refuse(ProtocolError(408, "timeouts header"))
        elif state in (_SIZED_BODY, _CHUNKED_BODY) and self.exchange is not None:
            self.exchange.on_request_broken(ProtocolError(408, "timeouts body"), FailureKind.CLIENT_TIMEOUT)
        elif state in (_HEAD, _DRAIN_SIZED, _DRAIN_CHUNKED):
            self._state = _GONE
            self.transport.close()
            self._reactor.timers.set(self, now + LINGER_SECONDS)
        else:
            self.transport.abort()
