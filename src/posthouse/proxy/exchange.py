"""Exchange: one request and its response crossing us. Hops 3 to 8 of a request's life.

Laws (with those of attempts.py):
1. `_finish` runs once, whatever happens; after it no callback does anything.
2. What the client is told is decided here; what it is told about failures, in reply.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from posthouse.balance.backend import Backend
from posthouse.errors import Failure, FailureKind, ProtocolError, Side
from posthouse.protocol.fields import Field
from posthouse.protocol.h1 import RequestHead, ResponseHead
from posthouse.proxy import reply, upgrade
from posthouse.proxy.attempts import PENDING_BYTES, Attempts
from posthouse.proxy.body import RequestBody
from posthouse.proxy.course import Course
from posthouse.proxy.ports import (
    NEVER,
    NO_BODY,
    NO_PEER,
    PEER_FULL,
    SIZED,
    STREAMED,
    Cancellable,
    Stream,
    Upstream,
)

if TYPE_CHECKING:
    from posthouse.proxy.plan import ListenerPlan


class Exchange(Attempts):
    """One request/response crossing us."""

    __slots__ = ()

    def __init__(self, plan: ListenerPlan, stream: Stream, head: RequestHead, now: float) -> None:
        course = stream.memo
        if course is None or course.head is not head or course.plan is not plan:
            course = stream.memo = Course(plan, head)
        self.course: Course = course
        self.route = course.route
        self.head = head
        self.services = plan.services
        self.stream = stream
        self.started = now
        self.finished = 0.0
        self.is_finished = self.is_answering = self.is_continued = False
        self.backend: Backend | None = None
        self.last_backend: Backend | None = None
        self.connection: Upstream | None = None
        self.dialling: Cancellable | None = None
        self.timer: Cancellable | None = None
        self.limit_timer: Cancellable | None = None
        self.continue_timer: Cancellable | None = None
        self.body: RequestBody | None = None
        self.last_failure: Failure | None = None
        self.response: ResponseHead | None = None
        self.tried: tuple[Backend, ...] = ()
        self.attempts = self.waits = self.stale_retries = self.status = self.size = 0
        self.id = ""

    # -- the request ---------------------------------------------------------------------------------------------

    def start(self, body: bytes, is_end: bool) -> None:
        """Begin; `body`: what came with the head; `is_end`: the request is complete."""
        course = self.course
        site = course.site
        if site is not None and site.request_id is not None:
            self.id = site.request_id.make(self)
        if course.status:
            self._answer_at_once(course.status)
            return
        route = course.route
        assert route is not None
        if self.head.has_body:
            self.body = RequestBody(body, is_end=is_end)
            if course.body_limit is not None and len(body) > course.body_limit:
                self._give_up(ProtocolError(413, "limits body"), FailureKind.CLIENT_MALFORMED)
                return
            if not is_end and len(body) >= PENDING_BYTES:
                self.stream.block(NO_PEER)
        if route.exchange_timeout != NEVER:
            self.limit_timer = self.services.call_later(route.exchange_timeout, self._expire)
        self._attempt(self.started)

    def _answer_at_once(self, status: int) -> None:
        text: bytes | None = None
        if self.course.site is None:
            if status == 200:
                text = b""
            else:
                text = b"404 Site %b is not served on this interface\n" % self.head.host
        if status == 508:
            self.services.log.error("loop", site=self.site, uri=self.head.target.raw.decode("latin-1"))
        self.answer(status, text)

    def on_request_body(self, data: bytes) -> None:
        """More of the request body."""
        body = self.body
        if body is None or self.is_finished:
            return
        body.received += len(data)
        if self.continue_timer is not None:
            self._stop_continue_timer()
        if self.course.body_limit is not None and body.received > self.course.body_limit:
            self._give_up(ProtocolError(413, "limits body"), FailureKind.CLIENT_MALFORMED)
            return
        connection = self.connection
        if connection is None:
            body.keep(data)
            if body.kept_size >= PENDING_BYTES:
                self.stream.block(NO_PEER)
            return
        connection.send_body(data)
        if body.is_kept:
            body.keep(data)
            self._limit_kept(body)
        if not body.is_kept:
            self.stream.pump_to(connection.transport)

    def on_body_pumped(self, size: int) -> None:
        """Body bytes went straight to the backend."""
        if self.body is not None:
            self.body.received += size

    def on_request_end(self, trailers: list[Field]) -> None:
        """The request is complete."""
        body = self.body
        if body is None or self.is_finished:
            return
        body.end(trailers)
        if self.connection is not None:
            self.connection.send_end(trailers)
            self._wait_for_head()

    def on_request_broken(self, error: ProtocolError, kind: FailureKind) -> None:
        """The rest of the body will never come."""
        if not self.is_finished:
            self._give_up(error, kind)

    def _give_up(self, error: ProtocolError, kind: FailureKind) -> None:
        self._drop_connection()
        self.last_failure = Failure(kind, Side.DOWNSTREAM, error.reason)
        self.stream.close_after_answer()
        if self.is_answering:
            self.stream.reset()
            self._finish()
        else:
            self.answer(error.status)

    def on_downstream_lost(self, kind: FailureKind) -> None:
        """The client is gone: cancel what runs, at once."""
        if self.is_finished:
            return
        self._drop_connection()
        self.last_failure = Failure(kind, Side.DOWNSTREAM, "the client went away")
        if not self.is_answering:
            self.status = reply.CLIENT_CLOSED
        self._finish()

    def on_downstream_full(self) -> None:
        """The client reads too slowly."""
        if self.connection is not None:
            self.connection.block(PEER_FULL)
        self.stream.limit_stall(self.route.idle_timeout if self.route is not None else 300.0)

    def on_downstream_ready(self) -> None:
        """The client caught up."""
        if self.connection is not None:
            self.connection.unblock(PEER_FULL)

    # -- the response --------------------------------------------------------------------------------------------

    def on_informational(self, head: ResponseHead) -> None:
        """100 goes to a client that waits for it; others (103) to every HTTP/1.1 client."""
        if head.status == 100:
            if self.head.fields.expects_continue:
                self._say_continue()
            return
        lines = head.fields.kept_wire
        status = b"%d %b" % (head.status, head.reason)
        self.stream.send_informational(b"HTTP/1.1 %b\r\n%b\r\n" % (status, lines))

    def on_upgrade(self, head: ResponseHead, rest: bytes) -> None:
        """101: a tunnel, if the client asked for this protocol; else the backend is broken."""
        connection = self.connection
        assert connection is not None
        if not upgrade.is_answered(self.head, head):
            connection.close()
            self.connection = None
            self._fail(Failure(FailureKind.MALFORMED, Side.UPSTREAM, "101 that was not asked for"))
            return
        self.status = 101
        self.response = head
        self.is_answering = True
        self._stop_timers()
        upgrade.join(self, connection, head, rest)

    def on_tunnel_end(self, size: int) -> None:
        """The tunnel is over; both connections are closed."""
        self.size = size
        self.connection = None
        if not self.is_finished:
            self._finish()

    def on_response(self, head: ResponseHead, body: bytes, is_end: bool, length: int) -> None:
        """The final head with what came of the body; length: -1 = unknown, 0 = no body follows."""
        self.response = head
        self.is_answering = True
        self.last_failure = None
        self.status = head.status
        self.size = len(body)
        if self.continue_timer is not None:
            # The client still waits for its 100, and may never send the body.
            self._stop_continue_timer()
            self.stream.close_after_answer()
        if length >= 0 and head.sized_lines and self.course.program.is_empty and self.head.method != b"HEAD":
            mode = SIZED
            lines = head.sized_lines
        else:
            mode, lines = self._response_lines(head, length)
        stream, connection = self.stream, self.connection
        if is_end:
            self._leave_connection()
            stream.send_head(head.status_text, lines, mode, body, True)
            self._finish()
        else:
            stream.send_head(head.status_text, lines, mode, body, False)
            if mode == SIZED and connection is not None:
                connection.pump_to(stream.transport)

    def _response_lines(self, head: ResponseHead, length: int) -> tuple[int, bytes]:
        """How the body is delimited, and the field lines."""
        fields, status, program = head.fields, head.status, self.course.program
        if program.is_empty:
            lines = fields.kept_wire if fields.has_date else fields.kept_wire + reply.date_field().wire
        else:
            kept = fields.kept if fields.has_date else [*fields.kept, reply.date_field()]
            lines = b"".join(program.apply(kept, self))
        if status == 204 or status == 304 or self.head.method == b"HEAD":
            return NO_BODY, lines if status == 204 else lines + fields.length_wire
        if length >= 0:
            return SIZED, lines + fields.length_wire
        return STREAMED, lines + b"".join([field.wire for field in fields.trailer])

    def on_response_body(self, data: bytes) -> None:
        """More of the response body."""
        self.size += len(data)
        self.stream.send_body(data)

    def on_response_pumped(self, size: int) -> None:
        """Response bytes went straight to the client."""
        self.size += size

    def on_response_end(self, trailers: list[Field]) -> None:
        """The response is complete."""
        self._leave_connection()
        self.stream.send_end(trailers)
        self._finish()

    # -- our own answers, and the end ----------------------------------------------------------------------------

    def answer(self, status: int, body: bytes | None = None, extra: list[Field] | None = None) -> None:
        """Answer ourselves; `body`: None = the status as text."""
        text = reply.status_line(status)
        if body is None:
            body = text + b"\n"
        self.status = status
        self.is_answering = True
        fields = reply.reply_fields(body) + (extra or [])
        site = self.course.site
        if site is not None:
            program = site.response_program(self.course.key, None)
            lines = b"".join(program.apply(fields, self))
        else:
            lines = b"".join([field.wire for field in fields])
        lines += b"Content-Length: %d\r\n" % len(body)
        if self.head.fields.expects_continue and not self.stream.has_whole_request:
            self.stream.close_after_answer()
        is_head = self.head.method == b"HEAD"
        self.size = 0 if is_head else len(body)
        self.stream.send_head(text, lines, NO_BODY if is_head else SIZED, b"" if is_head else body, True)
        self._finish()

    def _stop_timers(self) -> None:
        for timer in (self.timer, self.limit_timer, self.continue_timer):
            if timer is not None:
                timer.cancel()
        self.timer = self.limit_timer = self.continue_timer = None

    def _finish(self) -> None:
        """Record it. Runs once."""
        self.is_finished = True
        if self.timer is not None or self.limit_timer is not None or self.continue_timer is not None:
            self._stop_timers()
        if self.backend is not None:
            self._leave_backend()
        self.course.plan.finished(self)
