"""TLSEngine: one side of a TLS connection without I/O: the wire's bytes in and out, plain bytes out and in.

It is `ssl.SSLObject` on two memory BIOs behind a few calls, and nothing but this file calls either, so that another
engine can take its place.

What is fed goes into the BIO piece by piece, as it is decrypted: a BIO keeps the memory of the most that ever lay in
it: fed with whole reads of 64 KiB, each connection that once carried a long body would keep 68 KiB of it, so 20.
"""

from __future__ import annotations

import ssl
from typing import Final

RECORD_BYTES: Final = 16 * 1024
"""Plain bytes in one record at most (RFC 8446 5.1), and what goes into a BIO at a time."""

READ_BYTES: Final = 64 * 1024
"""Read at once: four full records. Decrypting takes longer than the calls, so more would gain nothing."""
_REFUSALS: Final = (
    *("BAD_CERTIFICATE", "UNSUPPORTED_CERTIFICATE", "CERTIFICATE_REVOKED", "CERTIFICATE_EXPIRED"),
    *("CERTIFICATE_UNKNOWN", "UNKNOWN_CA", "ACCESS_DENIED", "CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE"),
    *("DECRYPT_ERROR", "PROTOCOL_VERSION", "INSUFFICIENT_SECURITY", "UNRECOGNIZED_NAME"),
)
"""Alerts that a peer sends instead of completing its handshake. In TLS 1.3 ours is complete before it has looked at our
certificate, so these may come after it (RFC 8446 4.4.2.4, 6.2)."""


class TLSFault(ConnectionError):
    """Why a TLS connection cannot go on.

    reason      a phrase for the log
    is_refusal  the peer ended its handshake with an alert: nothing that we sent after ours was read
    is_cut      the peer ended the connection without close_notify (RFC 8446 6.1): data may be missing
    """

    def __init__(self, reason: str, *, is_refusal: bool = False, is_cut: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_refusal = is_refusal
        self.is_cut = is_cut


def fault_of(error: ssl.SSLError) -> TLSFault:
    """What an error of the ssl module means."""
    reason = error.reason or ""
    _, is_alert, alert = reason.partition("_ALERT_")
    if is_alert:
        return TLSFault(f"the peer sent the alert {_phrase(alert)!r}", is_refusal=alert in _REFUSALS)
    if reason == "UNSUPPORTED_PROTOCOL":
        return TLSFault("the peer speaks no TLS 1.2 or newer")
    return TLSFault(_phrase(reason) or str(error))


def _phrase(reason: str) -> str:
    return reason.lower().replace("_", " ")


class Scratch:
    """Buffers that all TLS connections of one event loop read into: what came is used up before anyone else reads."""

    __slots__ = ("plain", "raw")

    def __init__(self) -> None:
        self.raw = memoryview(bytearray(READ_BYTES))
        self.plain = memoryview(bytearray(READ_BYTES))


class TLSEngine:
    """One connection's TLS.

    has_ended  the peer's close_notify has come: it sends no more
    error      what the next `read_into` raises
    """

    __slots__ = ("_incoming", "_outgoing", "_raw", "error", "has_ended", "ssl_object")

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        is_server: bool = False,
        name: str | None = None,
        session: ssl.SSLSession | None = None,
    ) -> None:
        """name: what the peer's certificate must be for, and SNI unless it is an IP address (as a client only).

        Raises ValueError (UnicodeError) for a name that can be none.
        """
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.ssl_object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=is_server, server_hostname=name, session=session
        )
        self._raw: memoryview | None = None
        self.error: ssl.SSLError | None = None
        self.has_ended = False

    def shake_hands(self) -> bool:
        """Go on with the handshake as far as what was fed allows; True: it is complete. Raises ssl.SSLError."""
        self.hold()
        try:
            self.ssl_object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def feed(self, data: bytes | memoryview) -> None:
        """Bytes of the peer. Before the buffer behind `data` is used again, `hold` must be called."""
        if self._raw is not None:
            self.hold()
        self._raw = memoryview(data)

    def hold(self) -> None:
        """Copy what was fed and is not decrypted yet."""
        raw, self._raw = self._raw, None
        if raw is not None:
            self._incoming.write(raw)

    @property
    def is_dry(self) -> bool:
        """Whether all that was fed is decrypted and read, but for a part of a record."""
        return self._raw is None and not self._incoming.pending and not self.ssl_object.pending()

    def read_into(self, space: memoryview) -> int:
        """Decrypt into `space`; how many bytes that gave. Fewer than fit: nothing more is there now.

        Raises ssl.SSLError, once all that came before the error was read.
        """
        if self.error is not None:
            raise self.error
        ssl_object, incoming = self.ssl_object, self._incoming
        size, most = 0, len(space)
        while size < most and not self.has_ended:
            if not incoming.pending and not ssl_object.pending() and not self._refill():
                break
            try:
                got = int(ssl_object.read(most - size, space[size:] if size else space))
            except ssl.SSLWantReadError:
                if not self._refill():
                    break
                continue
            except ssl.SSLZeroReturnError:
                got = 0
            except ssl.SSLError as error:
                self.error = error
                if not size:
                    raise
                break
            if not got:
                self.has_ended = True
            size += got
        return size

    def _refill(self) -> bool:
        raw = self._raw
        if raw is None:
            return False
        self._incoming.write(raw[:RECORD_BYTES])
        self._raw = raw[RECORD_BYTES:] if len(raw) > RECORD_BYTES else None
        return True

    def seal(self, data: bytes | bytearray | memoryview) -> list[bytes]:
        """Encrypt: records to send, in pieces. `data` is free afterwards. Raises ssl.SSLError."""
        write, take = self.ssl_object.write, self._outgoing.read
        size = len(data)
        if size <= RECORD_BYTES:
            write(data)
            return [take()]
        view = memoryview(data)
        pieces: list[bytes] = []
        at = 0
        while at < size:
            at += write(view[at : at + RECORD_BYTES])
            pieces.append(take())
        return pieces

    def end(self) -> None:
        """Say close_notify: we send no more. What the peer sends can be read on if `is_dry` held before."""
        try:
            self.ssl_object.unwrap()
        except (ssl.SSLError, ValueError):
            pass  # Theirs is still to come, or the handshake was not complete: nothing to wait for.

    def take(self) -> bytes:
        """What is to be sent besides records of `seal`: handshake, alerts, close_notify, answers to key updates."""
        return self._outgoing.read() if self._outgoing.pending else b""
