"""Exchange: one request and its response crossing us. Hops 3 to 8 of a request's life.

Laws:
1. A backend is acquired right before it is used and released exactly once, on every way out (`_leave_backend`).
2. Every attempt's head is built afresh; body bytes are replayed only from what was kept from the first on.
3. Once a byte of the final response went downstream nothing is retried; what breaks then is shown as broken.
4. `_finish` runs once, whatever happens; after it no callback does anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from posthouse.balance.backend import Backend
from posthouse.balance.retry import RetryFacts, is_backend_fault, is_idempotent, is_stale
from posthouse.errors import Failure, FailureKind, ProtocolError, Sent, Side
from posthouse.protocol.fields import Field
from posthouse.protocol.h1 import RequestHead, ResponseHead
from posthouse.proxy import forwarding, reply, upgrade
from posthouse.proxy.body import RequestBody
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
from posthouse.proxy.route import LOOP_LIMIT, Route
from posthouse.proxy.site import Site
from posthouse.proxy.subject import ExchangeFacts

if TYPE_CHECKING:
    from posthouse.proxy.plan import ListenerPlan

CONTINUE_SECONDS: Final = 1.0
"""How long a backend may think about `Expect` before we say 100 ourselves (as RFC 9110 10.1.1 allows a client)."""
PENDING_BYTES: Final = 64 * 1024
"""Body bytes taken from the client while there is no backend yet; reading pauses at this mark."""
_SENDS_LENGTH: Final = frozenset((b"POST", b"PUT", b"PATCH"))
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Exchange(ExchangeFacts):
    """One request/response crossing us."""

    __slots__ = ()

    def __init__(self, plan: ListenerPlan, stream: Stream, head: RequestHead) -> None:
        self.plan = plan
        self.services = plan.services
        self.stream = stream
        self.head = head
        self.started = plan.services.clock()
        self.finished = 0.0
        self.site_found: Site | None = None
        self.route: Route | None = None
        self.key = self.path = ""
        self.wire_path = b""
        self.framing_lines = b""
        self.backend: Backend | None = None
        self.last_backend: Backend | None = None
        self.connection: Upstream | None = None
        self.dialling: Cancellable | None = None
        self.timer: Cancellable | None = None
        self.limit_timer: Cancellable | None = None
        self.body: RequestBody | None = None
        self.body_limit: int | None = None
        self.tried: tuple[Backend, ...] = ()
        self.attempts = self.waits = self.stale_retries = 0
        self.last_failure: Failure | None = None
        self.response: ResponseHead | None = None
        self.status = self.size = 0
        self.is_answering = self.is_continued = False
        self.id = ""

    # -- the request ---------------------------------------------------------------------------------------------

    def start(self, body: bytes, is_end: bool) -> None:
        """Find the route and begin; `body`: what came with the head; `is_end`: the request is complete."""
        head = self.head
        found = self.plan.sites.find(head.host_name, head.target)
        if found is None or head.target.is_asterisk:
            self.answer(200 if head.target.is_asterisk else 404, self._not_served())
            return
        site, self.key, self.path, self.wire_path = found
        self.site_found = site
        if site.request_id is not None:
            self.id = site.request_id.make(self)
        status = self._judge(site)
        if status:
            self.answer(status)
            return
        route = self.route
        assert route is not None
        self._frame(route)
        if not is_end or body:
            self.body = RequestBody(body, is_end=is_end)
            if self.body_limit is not None and len(body) > self.body_limit:
                self.answer(413)
                return
            if not is_end and len(body) >= PENDING_BYTES:
                self.stream.block(NO_PEER)
        if route.exchange_timeout != NEVER:
            self.limit_timer = self.services.call_later(route.exchange_timeout, self._expire)
        self._attempt()

    def _not_served(self) -> bytes:
        if self.head.target.is_asterisk:
            return b""
        return b"404 Site %b is not served on this interface\n" % self.head.host

    def _judge(self, site: Site) -> int:
        """The status with which we answer at once, or 0; sets the route."""
        head = self.head
        if head.fields.via and forwarding.count_passages(head.fields.via) >= LOOP_LIMIT:
            self.services.log.error("loop", site=site.address, uri=head.target.raw.decode("latin-1"))
            return 508
        self.route = site.find_route(self.key)
        if self.route is None:
            return 404
        self.body_limit = site.body_limit(self.key)
        if self.body_limit is not None and head.fields.length > self.body_limit:
            return 413
        return 0

    def _frame(self, route: Route) -> None:
        """Framing and hop-by-hop lines of the outgoing head."""
        fields = self.head.fields
        lines = b""
        options = b"close" if not route.keepalive else b""
        if fields.is_chunked:
            lines = b"Transfer-Encoding: chunked\r\n" + b"".join([field.wire for field in fields.trailer])
        elif fields.length >= 0:
            lines = b"Content-Length: %d\r\n" % fields.length
        elif self.head.method in _SENDS_LENGTH:
            lines = b"Content-Length: 0\r\n"
        if fields.expects_continue and self.head.has_body and self.head.version == b"HTTP/1.1":
            lines += b"Expect: 100-continue\r\n"
        if fields.has_te_trailers:
            lines += b"TE: trailers\r\n"
            options = b"TE" if not options else options + b", TE"
        if fields.protocols is not None and upgrade.is_wanted(self.head):
            lines += b"Upgrade: %b\r\n" % fields.protocols
            options = b"Upgrade"
        self.framing_lines = lines + b"Connection: %b\r\n" % options if options else lines

    def on_request_body(self, data: bytes) -> None:
        """More of the request body."""
        body = self.body
        if body is None or self.finished:
            return
        body.received += len(data)
        if self.body_limit is not None and body.received > self.body_limit:
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
        if self.response is None:
            connection.wait(self.route.response_timeout)  # type: ignore[union-attr]
        if not body.is_kept:
            self.stream.pump_to(connection.transport)

    def _limit_kept(self, body: RequestBody) -> None:
        assert self.route is not None
        if body.kept_size > self.route.replay_limit:
            body.forget()

    def on_body_pumped(self, size: int) -> None:
        """Body bytes went straight to the backend."""
        if self.response is None and self.connection is not None and self.route is not None:
            self.connection.wait(self.route.response_timeout)

    def on_request_end(self, trailers: list[Field]) -> None:
        """The request is complete."""
        body = self.body
        if body is None or self.finished:
            return
        body.end(trailers)
        if self.connection is not None:
            self.connection.send_end(trailers)

    def on_request_broken(self, error: ProtocolError, kind: FailureKind) -> None:
        """The rest of the body will never come."""
        if not self.finished:
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
        if self.finished:
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

    # -- attempts ------------------------------------------------------------------------------------------------

    def _attempt(self) -> None:
        """Choose a backend and use it, or fail."""
        self.timer = None
        route, services = self.route, self.services
        assert route is not None
        now = services.clock()
        pool = route.pool
        backend = pool.select(self, now, self.tried)
        if backend is None:
            kind = pool.why_not(now)
            self._fail(Failure(kind, Side.POSTHOUSE, "no backend can be used now", Sent.NOTHING))
            return
        pool.acquire(backend)
        self.backend = backend
        self.attempts += 1
        connection = None
        if not (self.last_failure is not None and is_stale(self.last_failure)):
            connection = services.acquire(backend, is_careful=not is_idempotent(self.head.method))
        if connection is not None:
            self._send(connection)
        else:
            self.dialling = services.dial(backend, route.spec.pool.timeouts, self._on_dialled)

    def _on_dialled(self, dialled: Upstream | Failure) -> None:
        self.dialling = None
        if isinstance(dialled, Failure):
            self._fail(dialled)
        elif self.finished:
            dialled.close()
        else:
            self._send(dialled)

    def _send(self, connection: Upstream) -> None:
        route, backend, body = self.route, self.backend, self.body
        assert route is not None and backend is not None
        self.connection = connection
        connection.begin(self, is_bodiless=self.head.method == b"HEAD")
        connection.idle_timeout = route.idle_timeout
        data = route.request_head(self, backend)
        if body is None:
            connection.send(data)
            connection.is_request_complete = True
        else:
            self._send_with_body(connection, body, data)
        connection.wait(route.response_timeout)
        if self.stream.is_full:
            connection.block(PEER_FULL)

    def _send_with_body(self, connection: Upstream, body: RequestBody, data: bytes) -> None:
        connection.is_chunking = self.head.fields.is_chunked
        connection.send(data)
        kept = body.replay()
        if kept:
            connection.send_body(kept)
        if body.is_complete:
            connection.send_end(body.trailers)
        if not is_idempotent(self.head.method):
            # It was handed over; it will not be sent again.
            body.forget()
        self.stream.unblock(NO_PEER)
        if self.head.fields.expects_continue and not body.received and not body.is_complete:
            self.timer = self.services.call_later(CONTINUE_SECONDS, self._say_continue)
        if not body.is_kept and not body.is_complete:
            self.stream.pump_to(connection.transport)

    def _say_continue(self) -> None:
        self.timer = None
        if not self.finished and self.response is None and not self.is_continued:
            self.is_continued = True
            self.stream.send_informational(_CONTINUE)

    def _expire(self) -> None:
        self.limit_timer = None
        assert self.route is not None
        reason = f"the exchange took over {self.route.exchange_timeout:g} s"
        self._drop_connection()
        self._fail(Failure(FailureKind.EXCHANGE_TIMEOUT, Side.POSTHOUSE, reason))

    def on_upstream_full(self) -> None:
        """The backend reads too slowly."""
        self.stream.block(PEER_FULL)

    def on_upstream_ready(self) -> None:
        """The backend caught up."""
        self.stream.unblock(PEER_FULL)

    # -- failure -------------------------------------------------------------------------------------------------

    def on_upstream_failure(self, failure: Failure) -> None:
        """The backend broke off or took too long; its connection is closed already."""
        if not self.finished:
            self.connection = None
            self._fail(failure)

    def _fail(self, failure: Failure) -> None:
        """An attempt came to nothing: again, or tell the client."""
        route, backend = self.route, self.backend
        assert route is not None
        now = self.services.clock()
        if backend is not None:
            self.tried = self.tried if is_stale(failure) else (*self.tried, backend)
            self._leave_backend()
            if is_backend_fault(failure):
                route.pool.fail(backend, now)
        if failure.side is not Side.POSTHOUSE or self.last_failure is None:
            self.last_failure = failure
        if not is_stale(failure):
            self._log_failure(failure, backend)
        if self.is_answering:
            self.stream.reset()
            self._finish()
            return
        delay = route.retry.next(failure, self._retry_facts(route, now))
        if delay is None:
            self._answer_failure(route, now)
        else:
            self._again(failure, delay)

    def _retry_facts(self, route: Route, now: float) -> RetryFacts:
        return RetryFacts(
            elapsed=now - self.started,
            waits=self.waits,
            stale_retries=self.stale_retries,
            is_idempotent=is_idempotent(self.head.method),
            can_replay=self.body is None or self.body.is_kept,
            has_untried=route.pool.has_untried(now, self.tried),
            is_response_sent=self.is_answering,
            chance=self.services.chance(),
        )

    def _again(self, failure: Failure, delay: float) -> None:
        if self.body is not None and not self.body.is_complete and self.body.kept_size >= PENDING_BYTES:
            self.stream.block(NO_PEER)
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.last_failure = failure
        if delay == 0.0:
            self.stale_retries += is_stale(failure)
            self._attempt()
        else:
            self.waits += 1
            self.timer = self.services.call_later(delay, self._attempt)

    def _answer_failure(self, route: Route, now: float) -> None:
        failure = self.last_failure
        assert failure is not None
        status = reply.failure_status(failure.kind)
        extra: list[Field] = []
        if status == 503:
            seconds = route.pool.retry_after(now)
            if seconds is not None:
                extra.append(Field(b"Retry-After", b"%d" % (int(seconds) + 1)))
        self.answer(status, extra=extra)

    def _log_failure(self, failure: Failure, backend: Backend | None) -> None:
        assert self.route is not None
        facts: dict[str, object] = {"failure": failure.kind.value, "reason": failure.reason}
        if backend is not None:
            facts |= {"upstream": backend.endpoint.text, "attempt": self.attempts}
        place = self.route.timer_place(failure.kind)
        if place is not None:
            facts["place"] = place
        self.services.log.error(
            "upstream failed" if failure.side is Side.UPSTREAM else "exchange failed",
            key=f"{failure.kind} {facts.get('upstream')}",
            **facts,
            site=self.site,
            method=self.head.method.decode("latin-1"),
            uri=self.head.target.raw.decode("latin-1"),
        )

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
        if not self.finished:
            self._finish()

    def on_response(self, head: ResponseHead, body: bytes, is_end: bool, length: int) -> None:
        """The final head with what came of the body; length: -1 = unknown, 0 = no body follows."""
        self.response = head
        self.is_answering = True
        self.last_failure = None
        status = self.status = head.status
        self.size = len(body)
        if self.timer is not None:
            self._early_answer()
        fields = head.fields
        assert self.site_found is not None
        program = self.site_found.response_program(self.key, self.route)
        if program.is_empty:
            lines = fields.kept_wire if fields.has_date else fields.kept_wire + reply.date_field().wire
        else:
            kept = fields.kept if fields.has_date else [*fields.kept, reply.date_field()]
            lines = b"".join(program.apply(kept, self))
        if status == 204 or status == 304 or self.head.method == b"HEAD":
            mode = NO_BODY
            if status != 204:
                lines += fields.length_wire
        elif length >= 0:
            mode = SIZED
            lines += fields.length_wire
        else:
            mode = STREAMED
            if fields.trailer:
                lines += b"".join([field.wire for field in fields.trailer])
        stream, connection = self.stream, self.connection
        if is_end:
            self._leave_connection()
        stream.send_head(b"%d %b" % (status, head.reason), lines, mode, body, is_end)
        if is_end:
            self._finish()
        elif mode == SIZED and connection is not None:
            connection.pump_to(stream.transport)

    def _early_answer(self) -> None:
        """The answer came while the client still waited for its 100: it may never send the body."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.stream.close_after_answer()

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
        if self.site_found is not None:
            program = self.site_found.response_program(self.key, None)
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

    def _leave_connection(self) -> None:
        """A clean end of the attempt: the connection is kept if it can be, the backend is free."""
        connection, self.connection = self.connection, None
        assert connection is not None and self.route is not None
        connection.release(self.route.keepalive)
        self._leave_backend()

    def _drop_connection(self) -> None:
        """An unclean end of the attempt: whatever runs towards the backend is cut."""
        if self.dialling is not None:
            self.dialling.cancel()
            self.dialling = None
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()
        self._leave_backend()

    def _leave_backend(self) -> None:
        backend, self.backend = self.backend, None
        if backend is not None:
            assert self.route is not None
            self.last_backend = backend
            self.route.pool.release(backend)

    def _stop_timers(self) -> None:
        for timer in (self.timer, self.limit_timer):
            if timer is not None:
                timer.cancel()
        self.timer = self.limit_timer = None

    def _finish(self) -> None:
        """Record it. Runs once."""
        if self.timer is not None or self.limit_timer is not None:
            self._stop_timers()
        if self.backend is not None:
            self._leave_backend()
        self.finished = self.services.clock()
        self.plan.finished(self)
