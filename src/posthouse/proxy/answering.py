"""Answering: how responses go downstream, our own and what directives make of a backend's. Hop 7 and what replaces it.

Laws:
1. A response passes `internal`, then `gzip`, then the header rules; what none of them touches is not taken apart.
2. A source (a file) is read as fast as the client takes it, one piece in a turn of the event loop, and closed once.
3. A body that ends before its length is shown as cut, never as complete (reliability.md rule 6).
"""

from __future__ import annotations

from typing import Final

from posthouse.protocol.fields import Field
from posthouse.protocol.h1 import ResponseHead
from posthouse.proxy import reply
from posthouse.proxy.answer import Answer, Encoder, Source
from posthouse.proxy.coding import CODED_PIECE_BYTES
from posthouse.proxy.ports import NO_BODY, SIZED, STREAMED
from posthouse.proxy.subject import ExchangeFacts

PIECE_BYTES: Final = 256 * 1024
"""Read from a source at once. What the kernel does not take is held by the transport: this is what a reader that
stalls costs."""
LEAST_PIECE_BYTES: Final = 16 * 1024
HELD_BYTES: Final = 8 * 1024 * 1024
"""For readers that stall, before pieces get smaller. 500 of them hold 55 MiB so, and held 126 with pieces of one size;
a transport takes up to 64 KiB without a word."""


def piece_bytes(readers: int) -> int:
    """How much is read from a source at once while so many are read, or so many clients take nothing."""
    share = HELD_BYTES // max(readers, 1)
    return PIECE_BYTES if share >= PIECE_BYTES else max(share, LEAST_PIECE_BYTES)


class Held:
    """A long body of our own as a source, so that it is coded piece by piece as a file is."""

    __slots__ = ("_at", "_body", "length")

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0
        self.length = len(body)

    def read(self, most: int) -> bytes:
        piece = self._body[self._at : self._at + most]
        self._at += len(piece)
        return piece

    def close(self) -> None:
        self._body = b""


class Sending:
    """A source on its way: how much of it is still to come."""

    __slots__ = ("left", "source")

    def __init__(self, source: Source) -> None:
        self.source = source
        self.left = source.length


class Answering(ExchangeFacts):
    """The part of an exchange that writes the response."""

    __slots__ = ()

    # -- a backend's ---------------------------------------------------------------------------------------------

    def _response_lines(self, head: ResponseHead, length: int) -> tuple[int, bytes]:
        """How the body is delimited, and the field lines; starts the encoder if the body gets one."""
        fields, status, program = head.fields, head.status, self.course.program
        compression, length_wire = self.course.compression, fields.length_wire
        if compression is None and program.is_empty:
            lines = fields.kept_wire if fields.has_date else fields.kept_wire + reply.date_field().wire
        else:
            kept = fields.kept if fields.has_date else [*fields.kept, reply.date_field()]
            if compression is not None:
                # Nothing follows the head of an answer to HEAD; what counts is what would follow that to GET.
                of_get = fields.length if self.head.method == b"HEAD" else length
                kept, self.encoder = compression.begin(self.head, status, kept, of_get)
            lines = b"".join(program.apply(kept, self))
        if self.route is not None and self.route.sessions is not None and self.backend is not None:
            lines += self.route.sessions.cookie(self, self.backend)
        if self.encoder is not None:
            length, length_wire = -1, b""
        if status == 204 or status == 304 or self.head.method == b"HEAD":
            self.encoder = None
            return NO_BODY, lines if status == 204 else lines + length_wire
        if length >= 0:
            return SIZED, lines + length_wire
        return STREAMED, lines + b"".join([field.wire for field in fields.trailer])

    # -- our own -------------------------------------------------------------------------------------------------

    def answer(self, status: int, fields: tuple[Field, ...] = (), cause: str = "") -> None:
        """Answer with a status: the site's page for it, or its text."""
        self.send(Answer(status, fields, None, cause))

    def send(self, answer: Answer) -> None:
        """Send a response of our own."""
        site, status = self.course.site, answer.status
        body = answer.body
        fields = [reply.SERVER, reply.date_field(), *answer.fields]
        if site is not None and site.errors is not None and answer.cause:
            site.errors.log(status, self.course.path, answer.cause)
        if body is None:
            made, body = self._status_body(status, answer.cause)
            fields += made
        self.status = status
        self.is_answering = True
        if isinstance(body, bytes):
            self._send_bytes(status, fields, body)
        else:
            self._send_source(status, fields, body)

    def _status_body(self, status: int, cause: str) -> tuple[list[Field], bytes]:
        if status in (204, 304):
            return [], b""
        site = self.course.site
        page = None
        if site is not None and site.errors is not None:
            page = site.errors.body(status, self.course.path, cause)
        if page is not None:
            return [Field(b"Content-Type", page[0]), reply.NOSNIFF], page[1]
        body = reply.status_line(status) + b"\n"
        return list(reply.TEXT_FIELDS), body

    def _own_lines(self, status: int, fields: list[Field], length: int) -> bytes:
        """Field lines without the length; starts the encoder if the body gets one."""
        course = self.course
        if course.site is None:
            return b"".join([field.wire for field in fields])
        compressions = course.site.compressions
        if compressions is not None:
            compression = compressions.find(course.key)
            if compression is not None:
                fields, self.encoder = compression.begin(self.head, status, fields, length)
        return b"".join(course.site.response_program(course.key, None).apply(fields, self))

    def _send_bytes(self, status: int, fields: list[Field], body: bytes) -> None:
        lines = self._own_lines(status, fields, len(body))
        if self.encoder is not None and len(body) > CODED_PIECE_BYTES:
            self._begin_source(status, lines, Held(body))
            return
        encoder, self.encoder = self.encoder, None
        if encoder is not None:
            body = encoder.finish(body)
        if status not in (204, 304):
            lines += b"Content-Length: %d\r\n" % len(body)
        self._spare_upload()
        is_bodiless = self.head.method == b"HEAD" or status in (204, 304)
        self.size = 0 if is_bodiless else len(body)
        self.stream.send_head(
            reply.status_line(status),
            lines,
            NO_BODY if is_bodiless else SIZED,
            b"" if is_bodiless else body,
            True,
        )
        self._finish()

    def _send_source(self, status: int, fields: list[Field], source: Source) -> None:
        lines = self._own_lines(status, fields, source.length)
        if self.encoder is None:
            lines += b"Content-Length: %d\r\n" % source.length
        self._begin_source(status, lines, source)

    def _begin_source(self, status: int, lines: bytes, source: Source) -> None:
        self._spare_upload()
        if self.head.method == b"HEAD" or not source.length:
            source.close()
            self.encoder = None
            mode = NO_BODY if self.head.method == b"HEAD" else SIZED
            self.stream.send_head(reply.status_line(status), lines, mode, b"", True)
            self._finish()
            return
        self.sending = Sending(source)
        self.services.sources += 1
        mode = SIZED if self.encoder is None else STREAMED
        first = self._read_piece(self.sending)
        if first is None:
            self._close_source()
            self.encoder = None
            self.answer(500, cause="the file cannot be read")
            return
        is_end = not self.sending.left
        if is_end:
            self._close_source()
            if self.encoder is not None:
                mode, lines = SIZED, lines + b"Content-Length: %d\r\n" % len(first)
        self.stream.send_head(reply.status_line(status), lines, mode, first, is_end)
        if is_end:
            self._finish()
        else:
            self._send_later()

    def _spare_upload(self) -> None:
        """A client that waits for its 100 Continue may never send the body: nothing can follow on this connection."""
        if self.head.fields.expects_continue and not self.stream.has_whole_request:
            self.stream.close_after_answer()

    # -- sources -------------------------------------------------------------------------------------------------

    def _read_piece(self, sending: Sending) -> bytes | None:
        """The next piece, coded if it is to be; None: the source failed."""
        encoder: Encoder | None = self.encoder
        readers = max(self.services.sources, self.services.full_clients)
        most = min(sending.left, piece_bytes(readers) if encoder is None else CODED_PIECE_BYTES)
        try:
            data = sending.source.read(most)
        except OSError:
            data = b""
        if not data:
            return None
        sending.left -= len(data)
        if encoder is not None:
            data = encoder.feed(data) if sending.left else encoder.finish(data)
        self.size += len(data)
        return data

    def _send_later(self) -> None:
        """Go on in the next turn of the loop, so that one quick client does not keep the others waiting."""
        if self.timer is None and not self.stream.is_full:
            self.timer = self.services.call_later(0.0, self._send_more)

    def _send_more(self) -> None:
        self.timer = None
        sending = self.sending
        if sending is None or self.stream.is_full:
            return
        data = self._read_piece(sending)
        if data is None:
            self._break_off()
            return
        if data:
            self.stream.send_body(data)
        if self.is_finished:  # writing showed that the client has gone
            return
        if sending.left:
            self._send_later()
            return
        self._close_source()
        self.stream.send_end([])
        self._finish()

    def _break_off(self) -> None:
        """The source ended before its length: what the client has is not complete, and must not look so."""
        self._close_source()
        self.services.log.error(
            "file ended early", key=self.site, site=self.site, uri=self.target.decode("latin-1")
        )
        self.stream.reset()
        self._finish()

    def _close_source(self) -> None:
        sending, self.sending = self.sending, None
        if sending is not None:
            self.services.sources -= 1
            sending.source.close()

    def _finish(self) -> None:
        """Record it; the exchange does."""
