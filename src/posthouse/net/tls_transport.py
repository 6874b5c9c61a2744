"""TLSTransport: TLS between a plain transport of the event loop and the protocol above, on either side of it.

Below it is the protocol of a plain transport, above it is a transport like any other. It is ours because the event
loops' own TLS transports cannot half-close and do not tell a missing close_notify from a clean end.

Laws:
1. The protocol above hears of nothing before the handshake is complete: then `connection_made`, at the end
   `connection_lost`, each once. Who started the handshake hears how it ended, once (`on_open`).
2. The peer's close_notify is the end of its data (`eof_received`). An end without it is `connection_lost` with a
   TLSFault that says so, whatever the protocol above has read so far.
3. While the protocol above has paused reading nothing is read from the plain transport: at most one read's bytes
   wait here. What is written is encrypted at once, so only the plain transport holds unsent bytes, and its marks and
   its pauses are those of the protocol above.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable
from typing import Any, Final

from posthouse.net.tls_engine import READ_BYTES, Scratch, TLSEngine, TLSFault, fault_of

HEAR_BYTES: Final = 1024 * 1024
"""Read at most from a connection that was reset already."""
ALERT_SECONDS: Final = 2.0
"""What the peer gets to take the alert that says why we close."""

_SHAKING, _OPEN, _CLOSING, _LOST = range(4)


class TLSTransport(asyncio.Transport, asyncio.BufferedProtocol):
    """One TLS connection.

    on_data  called once, before the first data goes up; may be None. (Session tickets have come by then.)
    """

    __slots__ = (
        *("_backlog", "_beneath", "_engine", "_fault", "_first", "_guard", "_is_buffered", "_is_eof_told"),
        *("_is_finished", "_is_full", "_is_paused", "_is_stopped", "_loop", "_on_open", "_protocol"),
        *("_scratch", "_state", "on_data"),
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        scratch: Scratch,
        engine: TLSEngine,
        protocol: Any,
        on_open: Callable[[TLSFault | ssl.SSLError | None], None],
    ) -> None:
        """on_open: told None when the handshake is complete and `protocol` has this transport, else why it failed."""
        self._loop = loop
        self._scratch = scratch
        self._engine = engine
        self._protocol = protocol
        self._is_buffered = isinstance(protocol, asyncio.BufferedProtocol)
        self._on_open: Callable[[TLSFault | ssl.SSLError | None], None] | None = on_open
        self._beneath: asyncio.Transport = None  # type: ignore[assignment]
        self._state = _SHAKING
        self._first = self._backlog = b""
        self._fault: TLSFault | None = None
        self._guard: asyncio.TimerHandle | None = None
        self._is_paused = self._is_stopped = False
        self._is_full = self._is_finished = self._is_eof_told = False
        self.on_data: Callable[[], None] | None = None

    def __repr__(self) -> str:
        state = ("shaking hands", "open", "closing", "lost")[self._state]
        return f"<TLSTransport {self._engine.ssl_object.version()} {state} over {self._beneath!r}>"

    def start(self, beneath: asyncio.Transport) -> None:
        """Begin the handshake on a plain transport that nobody else uses any more."""
        self._beneath = beneath
        beneath.set_protocol(self)
        self._shake_hands()

    # -- the plain transport's side ------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """The plain connection is there; this is its first protocol."""
        self._beneath = transport
        self._shake_hands()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read to."""
        return self._scratch.raw

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes of the peer."""
        self._feed(self._scratch.raw[:nbytes])

    def _feed(self, data: bytes | memoryview) -> None:
        if self._state == _OPEN:
            self._engine.feed(data)
            self._deliver()
        elif self._state == _SHAKING:
            if not self._first:
                self._first = bytes(data[:16])
            self._engine.feed(data)
            self._shake_hands()

    def eof_received(self) -> bool:
        """The plain connection's input has ended."""
        if self._state == _OPEN and self._is_eof_told:
            return True  # its close_notify came before: we may go on sending
        if self._state <= _OPEN and self._fault is None:
            if self._state == _SHAKING:
                self._fault = TLSFault("the peer closed during the TLS handshake", is_cut=True)
            else:
                self._fault = TLSFault("the peer closed without close_notify", is_cut=True)
                self._state = _CLOSING
            self._beneath.abort()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The plain connection is no more."""
        if self._guard is not None:
            self._guard.cancel()
        if exc is not None and self._state == _OPEN:
            self._hear_out()
        was, self._state = self._state, _LOST
        if was == _SHAKING:
            why = str(exc) if exc is not None else "it was closed"
            self._tell(self._fault or TLSFault(f"connection lost during the TLS handshake: {why}"))
        elif was != _LOST:
            self._protocol.connection_lost(self._fault or exc)
        self._protocol = None  # a circle else, and TLS is too large to wait for the collector

    def _hear_out(self) -> None:
        """Pass up what the peer said before it reset the connection: an early answer, or the alert that refused us.

        A write that fails ends the plain transport at once. With both event loops its socket is open until the call of
        `connection_lost` returns.
        """
        sock = self._beneath.get_extra_info("socket")
        self._is_paused = False
        self._deliver()
        heard = 0
        while heard < HEAR_BYTES and self._state == _OPEN and not self._is_paused:
            try:
                data = os.read(sock.fileno(), READ_BYTES)
            except OSError:
                return
            if not data:
                return
            heard += len(data)
            self._feed(data)

    def pause_writing(self) -> None:
        """The peer takes no more."""
        if self._state in (_OPEN, _CLOSING):
            self._is_full = True
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """The peer has caught up."""
        was_full, self._is_full = self._is_full, False
        if was_full:
            self._protocol.resume_writing()

    # -- the handshake -------------------------------------------------------------------------------------------

    def _shake_hands(self) -> None:
        try:
            is_done = self._engine.shake_hands()
        except ssl.SSLError as error:
            self._flush()
            on_open, self._on_open = self._on_open, None
            self._close_with(fault_of(error))
            if on_open is not None:
                # Its traceback holds this frame, and so whom we tell: a circle of 60 KB, until the collector comes.
                on_open(self._explained(error.with_traceback(None)))
            return
        self._flush()
        if is_done:
            self._state = _OPEN
            self._first = b""
            self._protocol.connection_made(self)
            self._tell(None)
            if self._state == _OPEN:
                self._deliver()

    def _explained(self, error: ssl.SSLError) -> TLSFault | ssl.SSLError:
        """A peer that does not speak TLS at all is not worth the ssl module's words for it."""
        if self._first[:1] in (b"", b"\x15", b"\x16"):
            return error
        return TLSFault(f"not TLS: the peer's first bytes are {self._first!r}")

    def _tell(self, how: TLSFault | None) -> None:
        on_open, self._on_open = self._on_open, None
        if on_open is not None:
            on_open(how)

    def _flush(self) -> None:
        data = self._engine.take()
        if data and not self._beneath.is_closing():
            self._beneath.write(data)

    def _close_with(self, fault: TLSFault) -> None:
        """Nothing can follow: the alert that is written already goes out if the peer takes it, no more."""
        self._fault = self._fault or fault
        if self._state == _OPEN:
            self._state = _CLOSING
        if self._guard is None and not self._beneath.is_closing():
            self._guard = self._loop.call_later(ALERT_SECONDS, self._beneath.abort)
            self._beneath.close()

    # -- what comes ----------------------------------------------------------------------------------------------

    def _deliver(self) -> None:
        """Decrypt and pass up what is here, until there is no more or the protocol above has had enough."""
        engine, plain = self._engine, self._scratch.plain
        try:
            while not self._is_paused and self._state == _OPEN:
                protocol = self._protocol
                if self._backlog:
                    self._deliver_backlog()
                    continue
                if self._is_buffered:
                    space = memoryview(protocol.get_buffer(-1))
                    size = engine.read_into(space)
                    if size:
                        protocol.buffer_updated(size)
                else:
                    space = plain
                    size = engine.read_into(space)
                    if size:
                        on_data, self.on_data = self.on_data, None
                        if on_data is not None:
                            on_data()
                        protocol.data_received(bytes(space[:size]))
                if (size < len(space) and engine.error is None) or not size:
                    break
        except ssl.SSLError as error:
            self._flush()
            self._close_with(fault_of(error))
            return
        engine.hold()
        self._flush()
        if engine.has_ended and not (self._is_paused or self._is_eof_told) and self._state == _OPEN:
            self._is_eof_told = True
            if not self._protocol.eof_received():
                self.close()

    def _deliver_backlog(self) -> None:
        if not self._is_buffered:
            data, self._backlog = self._backlog, b""
            self._protocol.data_received(data)
            return
        space = memoryview(self._protocol.get_buffer(-1))
        size = min(len(space), len(self._backlog))
        space[:size] = self._backlog[:size]
        self._backlog = self._backlog[size:]
        self._protocol.buffer_updated(size)

    def pause_reading(self) -> None:
        """Pass nothing up, and read nothing."""
        self._is_paused = True
        if not self._is_stopped and not self._beneath.is_closing():
            self._is_stopped = True
            self._beneath.pause_reading()

    def resume_reading(self) -> None:
        """Pass on what waits here, then read again."""
        if self._is_paused:
            self._is_paused = False
            self._loop.call_soon(self._go_on)  # the caller may be in the middle of something

    def _go_on(self) -> None:
        if self._state == _OPEN:
            self._deliver()
        if self._is_stopped and not self._is_paused and not self._beneath.is_closing():
            self._is_stopped = False
            self._beneath.resume_reading()

    def catch_up(self) -> bool:
        """Take what the kernel has already, before the event loop does; False: this connection has ended, or ends.

        Bytes on an idle connection need not be data: a TLS 1.3 server sends its tickets when it likes. What is data
        goes up as ever.
        """
        sock = self._beneath.get_extra_info("socket")
        while self._state == _OPEN and not self.is_closing() and not self._engine.has_ended:
            try:
                data = os.read(sock.fileno(), READ_BYTES)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not data:
                return False
            self._feed(data)
        return False

    # -- what goes -----------------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Encrypt and send; `data` is free afterwards. Raises RuntimeError after `write_eof`."""
        if not data or self._state != _OPEN:
            return
        if self._is_finished:
            raise RuntimeError("write after write_eof")
        try:
            pieces = self._engine.seal(data)
        except ssl.SSLError as error:
            self._close_with(fault_of(error))
            return
        if len(pieces) == 1:
            self._beneath.write(pieces[0])
        else:
            self._beneath.writelines(pieces)

    def can_write_eof(self) -> bool:
        """TLS can half-close (RFC 8446 6.1)."""
        return True

    def write_eof(self) -> None:
        """Say that no more is sent; reading goes on."""
        if self._is_finished or self._state != _OPEN:
            return
        # OpenSSL takes data that it finds while it says close_notify for an error, so nothing may lie there.
        if not self._engine.is_dry:
            self._set_aside()
        self._say_end()

    def _set_aside(self) -> None:
        try:
            while size := self._engine.read_into(self._scratch.plain):
                self._backlog += self._scratch.plain[:size]
        except ssl.SSLError:
            pass  # it comes again, after what was good
        self._loop.call_soon(self._go_on)

    def _say_end(self) -> None:
        self._is_finished = True
        self._engine.end()
        self._flush()

    def close(self) -> None:
        """Send what is written, say close_notify, and close."""
        if self._state == _OPEN:
            self._state = _CLOSING
            if not self._is_finished:
                self._say_end()
            self._beneath.close()
        elif self._state == _SHAKING:
            self.abort()

    def abort(self) -> None:
        """Close at once, without close_notify: the peer can tell that the end was not meant."""
        if self._state == _OPEN:
            self._state = _CLOSING
        if self._state != _LOST:  # asyncio's own raises if it is aborted after its end
            self._beneath.abort()

    def is_closing(self) -> bool:
        """Whether nothing can be written any more."""
        return self._state > _OPEN or self._beneath.is_closing()

    # -- the rest of a transport ---------------------------------------------------------------------------------

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Who is above from now on."""
        self._protocol = protocol
        self._is_buffered = isinstance(protocol, asyncio.BufferedProtocol)

    def get_protocol(self) -> Any:
        """Who is above."""
        return self._protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The plain transport's: it holds all that is unsent."""
        self._beneath.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """Unsent bytes, encrypted."""
        return self._beneath.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The plain transport's marks."""
        return self._beneath.get_write_buffer_limits()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As with asyncio's own: ssl_object, sslcontext, cipher, peercert; `tls` is this; the rest is the socket's."""
        if name == "tls":
            return self
        ssl_object = self._engine.ssl_object
        if name == "ssl_object":
            return ssl_object
        if name == "sslcontext":
            return ssl_object.context
        if name == "cipher":
            return ssl_object.cipher()
        if name == "peercert" and self._state != _SHAKING:
            return ssl_object.getpeercert()
        return self._beneath.get_extra_info(name, default)
