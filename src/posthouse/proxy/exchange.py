"""Exchange: one request and its response crossing us. Hops 3 to 8 of a request's life.

Laws (with those of answering.py, attempts.py and dispatching.py):
1. `_finish` runs once, whatever happens; after it no callback does anything.
2. What the client is told is decided here; what it is told about failures, in reply.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from posthouse.balance.backend import Backend
from posthouse.balance.trials import Trials
from posthouse.errors import Failure, FailureKind, ProtocolError, Side
from posthouse.protocol.fields import Field
from posthouse.protocol.h1 import RequestHead, ResponseHead
from posthouse.proxy import reply, upgrade
from posthouse.proxy.answer import Encoder
from posthouse.proxy.answering import Sending
from posthouse.proxy.attempts import PENDING_BYTES
from posthouse.proxy.body import RequestBody
from posthouse.proxy.coding import CODED_PIECE_BYTES, Coding
from posthouse.proxy.compression import NOT_IN_TRAILERS
from posthouse.proxy.course import Course
from posthouse.proxy.dispatching import Dispatching
from posthouse.proxy.ports import (
    CODING,
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
    from posthouse.proxy.waiter import Waiter


_SHOWN_METHODS: Final = frozenset((b"POST", b"PUT"))


def _is_shown(head: RequestHead) -> bool:
    """Whether `{request_body}` shows the body of such a request: POST and PUT of JSON or XML (caddy1.md 7.2)."""
    kind = (head.fields.value(b"content-type") or b"").lower()
    return head.method in _SHOWN_METHODS and (b"json" in kind or b"xml" in kind)


class Exchange(Dispatching):
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
        self.started = self.asked = now
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
        self.encoder: Encoder | None = None
        self.coding: Coding | None = None
        self.sending: Sending | None = None
        self.waiter: Waiter | None = None
        self.last_failure: Failure | None = None
        self.response: ResponseHead | None = None
        self.tried: tuple[Backend, ...] = ()
        self.trial: Trials | None = None
        self.attempts = self.dials = self.waits = self.stale_retries = self.status = self.size = (
            self.steps_taken
        ) = 0
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
        if self.head.has_body:
            self.body = RequestBody(body, is_end=is_end)
            if course.body_limit is not None and len(body) > course.body_limit:
                self._give_up(ProtocolError(413, "limits body"), FailureKind.CLIENT_MALFORMED)
                return
            if not is_end and len(body) >= PENDING_BYTES:
                self.stream.block(NO_PEER)
            if site is not None and site.keeps_body and _is_shown(self.head):
                self.body.start_capture()
        if site is not None and site.steps:
            # What the steps make of this request is not what they make of the next one.
            self.stream.memo = None
            self._walk(0)
        else:
            self._dispatch()

    def on_request_body(self, data: bytes) -> None:
        """More of the request body."""
        body = self.body
        if body is None or self.is_finished:
            return
        body.received += len(data)
        if self.continue_timer is not None:
            self._stop_continue_timer()
        if body.is_capturing:
            body.capture(data)
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
        if not body.is_kept and not body.is_capturing:
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
            self.asked = self.services.clock()

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
            self.answer(error.status, cause=error.reason)

    def on_downstream_lost(self, kind: FailureKind) -> None:
        """The client is gone, or we have cut it off (EXCHANGE_TIMEOUT): cancel what runs, at once."""
        if self.is_finished:
            return
        self._drop_connection()
        status = reply.CLIENT_CLOSED
        if kind is FailureKind.EXCHANGE_TIMEOUT:
            self.last_failure = Failure(kind, Side.POSTHOUSE, "cut at the end of --grace")
            status = reply.failure_status(kind)
        else:
            self.last_failure = Failure(kind, Side.DOWNSTREAM, "the client went away")
        if not self.is_answering:
            self.status = status
        self._finish()

    def on_downstream_full(self) -> None:
        """The client reads too slowly."""
        if self.connection is not None:
            self.connection.block(PEER_FULL)
        self.stream.limit_stall(self.route.idle_timeout if self.route is not None else 300.0)

    def on_downstream_ready(self) -> None:
        """The client caught up."""
        if self.coding is not None and self.coding.has_more:
            self._code_later()
        if self.connection is not None:
            self.connection.unblock(PEER_FULL)
        elif self.sending is not None:
            self._send_later()

    # -- the response --------------------------------------------------------------------------------------------

    def on_informational(self, head: ResponseHead) -> None:
        """100 goes to a client that waits for it; others (103) to every HTTP/1.1 client."""
        if head.status == 100:
            if self.head.fields.expects_continue:
                self._say_continue()
            return
        lines = b"".join([field.wire for field in self.kept_fields(head)])
        status = b"%d %b" % (head.status, head.reason)
        self.stream.send_informational(b"HTTP/1.1 %b\r\n%b\r\n" % (status, lines))

    def on_upgrade(self, head: ResponseHead, rest: bytes) -> None:
        """101: a tunnel, if the client asked for this protocol; else the backend is broken."""
        connection = self.connection
        assert connection is not None
        if not upgrade.is_answered(self.course.head, head):
            connection.close()
            self.connection = None
            self._fail(Failure(FailureKind.MALFORMED, Side.UPSTREAM, "101 that was not asked for"))
            return
        self._observe_head()
        if self.course.is_judged:
            self._is_passed_over(head, is_end=False)
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
        course = self.course
        if course.is_judged and self._is_passed_over(head, is_end):
            return
        if not course.is_direct:
            self._observe_head()
            if self._is_sent_elsewhere(head, is_end):
                return
        self.response = head
        self.is_answering = True
        self.last_failure = None
        self.status = head.status
        self.size = len(body)
        if self.continue_timer is not None:
            # The client still waits for its 100, and may never send the body.
            self._stop_continue_timer()
            self.stream.close_after_answer()
        if length >= 0 and head.sized_lines and course.is_direct and self.head.method != b"HEAD":
            mode = SIZED
            lines = head.sized_lines
        else:
            mode, lines = self._response_lines(head, length)
            if self.encoder is not None:
                self._begin_coding(head, lines, body, is_end)
                return
        stream, connection = self.stream, self.connection
        if is_end:
            self._leave_connection()
            stream.send_head(head.status_text, lines, mode, body, True)
            self._finish()
        else:
            stream.send_head(head.status_text, lines, mode, body, False)
            if mode == SIZED and connection is not None:
                connection.pump_to(stream.transport)

    def on_response_body(self, data: bytes) -> None:
        """More of the response body."""
        coding = self.coding
        if coding is not None:
            is_idle = not coding.has_more
            coding.take(data)
            if is_idle:
                self._send_coded(coding)
            return
        self.size += len(data)
        self.stream.send_body(data)

    def on_response_pumped(self, size: int) -> None:
        """Response bytes went straight to the client."""
        self.size += size

    def on_response_end(self, trailers: list[Field]) -> None:
        """The response is complete."""
        self._leave_connection()
        coding = self.coding
        if coding is None:
            self.stream.send_end(trailers)
            self._finish()
            return
        coding.end([field for field in trailers if field.lower not in NOT_IN_TRAILERS])
        if not coding.has_more:
            self._send_coded(coding)

    # -- a response that is coded --------------------------------------------------------------------------------

    def _begin_coding(self, head: ResponseHead, lines: bytes, body: bytes, is_end: bool) -> None:
        """Send a head, and the first piece of what came of the body, coded."""
        encoder, self.encoder = self.encoder, None
        assert encoder is not None
        if is_end:
            self._leave_connection()
            if len(body) <= CODED_PIECE_BYTES and not head.fields.trailer:
                body = encoder.finish(body)
                self.size = len(body)
                lines += b"Content-Length: %d\r\n" % len(body)
                self.stream.send_head(head.status_text, lines, SIZED, body, True)
                self._finish()
                return
        coding = self.coding = Coding(encoder)
        coding.take(body)
        first = coding.next()
        if is_end:
            coding.end([])
        self.size = len(first)
        self.stream.send_head(head.status_text, lines, STREAMED, first, False)
        if is_end and not coding.has_more:
            self._send_coded(coding)
        elif coding.has_more:
            self._code_later()

    def _send_coded(self, coding: Coding) -> None:
        """Code a piece and send it; then the end, or the next piece in the next turn, or the backend may go on."""
        data = coding.next()
        if data:
            self.size += len(data)
            self.stream.send_body(data)
        if self.is_finished:  # writing showed that the client has gone
            return
        if coding.is_done:
            self.stream.send_end(coding.trailers or [])
            self._finish()
        elif coding.has_more:
            self._code_later()
        elif self.connection is not None:
            self.connection.unblock(CODING)

    def _code_later(self) -> None:
        if self.connection is not None:
            self.connection.block(CODING)
        if self.timer is None and not self.stream.is_full:
            self.timer = self.services.call_later(0.0, self._code_more)

    def _code_more(self) -> None:
        self.timer = None
        if self.coding is not None and not self.stream.is_full:
            self._send_coded(self.coding)

    # -- the end -------------------------------------------------------------------------------------------------

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
        if self.sending is not None:
            self._close_source()
        self.encoder = self.coding = None
        self.course.plan.finished(self)
