"""Attempts: the tries of one exchange at its backends. Hops 5 and 6 of a request's life, and what follows a failure.

Laws:
1. A backend is acquired right before it is used and released exactly once, on every way out (`_leave_backend`).
2. Every attempt's head is built afresh; body bytes are replayed only from what was kept from the first on.
3. Once a byte of the final response went downstream nothing is retried; what breaks then is shown as broken.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from posthouse.balance.backend import Backend
from posthouse.balance.pool import Pool
from posthouse.balance.retry import RetryFacts, is_backend_fault, is_charged, is_stale
from posthouse.balance.trials import Trials
from posthouse.errors import Failure, FailureKind, Sent, Side
from posthouse.protocol.fields import Field
from posthouse.proxy import reply
from posthouse.proxy.answering import Answering
from posthouse.proxy.body import RequestBody
from posthouse.proxy.metering import count_failure
from posthouse.proxy.ports import NEVER, NO_PEER, PEER_FULL, Upstream
from posthouse.proxy.route import Route
from posthouse.proxy.waiter import Waiter

CONTINUE_SECONDS: Final = 1.0
"""How long a backend may think about `Expect` before we say 100 ourselves (as RFC 9110 10.1.1 allows a client)."""
PENDING_BYTES: Final = 64 * 1024
"""Body bytes taken from the client while there is no backend yet; reading pauses at this mark."""
OUR_RETRY_SECONDS: Final = 1.0
"""For who is told that we had no descriptor: by then others may have given theirs back."""
_SAYS_LESS: Final = frozenset((FailureKind.NO_BACKEND, FailureKind.FULL))
"""What does not replace an earlier failure of the same exchange: that one says why there is no backend left."""
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Attempts(Answering):
    """The part of an exchange that deals with backends until one answers."""

    __slots__ = ()

    def _attempt(self, now: float, backend: Backend | None = None, trial: Trials | None = None) -> None:
        """Choose a backend and use it, or wait for one, or fail.

        backend  one that is held for this attempt already, with what `acquire` answered
        """
        if self.is_finished:
            return
        route, services, course = self.route, self.services, self.course
        assert route is not None
        if backend is None:
            pool = route.pool
            claims = pool.claims
            select = pool.select if claims is None else claims.claim
            backend = select(self, now, self.tried)
            if backend is None:
                self._do_without(pool, now)
                return
            trial = pool.acquire(backend)
        self.trial = trial
        self.backend = backend
        self.asked = now
        self.attempts += 1
        if self.last_failure is not None and is_stale(self.last_failure):
            connection = None
        else:
            client = self.stream if route.is_introducing else None
            # A body may become more than is kept for replay before the backend's close is seen.
            is_careful = self.body is not None or not course.head.is_idempotent
            connection = services.acquire(backend, is_careful=is_careful, client=client)
        if connection is not None:
            self._send(connection, now)
        else:
            self.dials += 1
            self.dialling = services.dial(backend, route.spec.pool, self.stream, self._on_dialled)

    def _do_without(self, pool: Pool, now: float) -> None:
        """No backend can be used: wait if they are only full and the queue is not, else fail."""
        kind = pool.why_not(now, self, self.tried)
        if kind is FailureKind.FULL and pool.can_queue():
            if self.waiter is None:
                self.waiter = Waiter(self, pool, self._attempt, self._fail)
            self.waiter.join(pool, now)
        else:
            self._fail(Failure(kind, Side.POSTHOUSE, pool.explain(kind), Sent.NOTHING))

    def _on_dialled(self, dialled: Upstream | Failure) -> None:
        self.dialling = None
        if isinstance(dialled, Failure):
            self._fail(dialled)
        elif self.is_finished:
            dialled.close()
        else:
            self.asked = now = self.services.clock()
            self._send(dialled, now)

    def _send(self, connection: Upstream, now: float) -> None:
        route, backend, body, head = self.route, self.backend, self.body, self.course.head
        assert route is not None and backend is not None
        self.connection = connection
        connection.begin(self, route.idle_timeout, is_bodiless=head.method == b"HEAD")
        data = self.course.heads.get(backend) or route.request_head(self, backend)
        if body is None:
            connection.send(data)
        else:
            self._send_with_body(connection, body, data)
        if self.connection is connection:
            if body is None or body.is_complete:
                connection.wait(route.response_timeout, now)
            if self.stream.is_full:
                connection.block(PEER_FULL)
                self.stream.limit_stall(route.idle_timeout)

    def _send_with_body(self, connection: Upstream, body: RequestBody, data: bytes) -> None:
        head = self.course.head
        connection.expect_body(is_chunking=head.fields.is_chunked)
        kept = body.replay()
        if kept and not head.fields.is_chunked:
            connection.send(data + kept)
        else:
            connection.send(data)
            if kept:
                connection.send_body(kept)
        if body.is_complete:
            connection.send_end(body.trailers)
        else:
            connection.keep_ear()
        assert self.route is not None
        if not (head.is_idempotent or self.route.retry.all_methods):
            # It was handed over; it will not be sent again.
            body.forget()
        else:
            self._limit_kept(body)
        self.stream.unblock(NO_PEER)
        if self.course.has_expect and not body.received and not self.is_continued:
            self._stop_continue_timer()
            self.continue_timer = self.services.call_later(CONTINUE_SECONDS, self._say_continue)
        if not body.is_kept and not body.is_complete and not body.is_capturing:
            self.stream.pump_to(connection.transport)

    def _limit_kept(self, body: RequestBody) -> None:
        assert self.route is not None
        if body.kept_size > self.route.replay_limit:
            body.forget()

    def _stop_continue_timer(self) -> None:
        if self.continue_timer is not None:
            self.continue_timer.cancel()
            self.continue_timer = None

    def _say_continue(self) -> None:
        self._stop_continue_timer()
        if not self.is_finished and self.response is None and not self.is_continued:
            self.is_continued = True
            self.stream.send_informational(_CONTINUE)

    def _expire(self) -> None:
        self.limit_timer = None
        assert self.route is not None
        reason = f"the exchange took over {self.route.exchange_timeout:g} s"
        backend = self.backend
        self._drop_connection()
        self._fail(Failure(FailureKind.EXCHANGE_TIMEOUT, Side.POSTHOUSE, reason), backend)

    def on_upstream_full(self) -> None:
        """The backend reads too slowly: from now on it is the backend that is waited for."""
        if self.body is not None:
            self.stream.block(PEER_FULL)
        self._wait_for_head()

    def on_upstream_ready(self) -> None:
        """The backend caught up; unless the body is complete, the next move is the client's."""
        self.stream.unblock(PEER_FULL)
        if (
            self.body is not None
            and not self.body.is_complete
            and self.response is None
            and self.connection is not None
        ):
            self.connection.wait(NEVER, 0.0)

    def _wait_for_head(self) -> None:
        """The backend has `response_timeout` from now on. The client's own slowness must not run against it."""
        if self.response is None and self.connection is not None and self.route is not None:
            self.asked = now = self.services.clock()
            self.connection.wait(self.route.response_timeout, now)

    # -- failure -------------------------------------------------------------------------------------------------

    def on_upstream_failure(self, failure: Failure) -> None:
        """The backend broke off or took too long; its connection is closed already."""
        if not self.is_finished:
            self.connection = None
            self._fail(failure)

    def _fail(self, failure: Failure, backend: Backend | None = None) -> None:
        """An attempt came to nothing: again, or tell the client. backend: whose attempt it was, if not the current."""
        route = self.route
        assert route is not None
        now = self.services.clock()
        if self.body is not None:
            # If a backend could not take more, it was this one.
            self.stream.unblock(PEER_FULL)
        if self.backend is not None:
            backend = self.backend
            if not is_stale(failure):
                if not self.tried:
                    route.pool.budget.count(now)
                self.tried = (*self.tried, backend)
            # Before it is given back: who waits for it is not to get what has just been found broken.
            if is_backend_fault(failure):
                trial, self.trial = self.trial, None
                route.pool.fail(backend, now, f"{failure.kind}: {failure.reason}", trial)
            self._leave_backend()
        if self.last_failure is None or failure.kind not in _SAYS_LESS:
            self.last_failure = failure
        is_silent = is_stale(failure) or failure.kind in _SAYS_LESS
        if not is_silent:
            self._tell_failure(failure, backend)
        if self.is_answering:
            self.stream.reset()
            self._finish()
            return
        delay = self._ask_again(failure, route, now)
        if delay is None:
            if is_silent:
                # Not before: what is tried again on a fresh connection, or waits for a backend, has not failed.
                self._tell_failure(failure, backend)
            self._answer_failure(route, now)
        else:
            self._again(failure, delay)

    def _ask_again(self, failure: Failure | None, route: Route, now: float) -> float | None:
        """Whether to go on, and after how many seconds (`Retry.next`); the budget pays for it. None: after a status."""
        facts = self._retry_facts(route, now)
        delay = route.retry.next(failure, facts)
        if delay is not None:
            if is_charged(failure, facts):
                route.pool.budget.spend(now)
        elif not facts.has_budget and route.retry.next(failure, replace(facts, has_budget=True)) is not None:
            self.services.log.warn("retry budget spent", key=route.pool.name, pool=route.pool.name)
        return delay

    def _retry_facts(self, route: Route, now: float) -> RetryFacts:
        spec = route.spec.pool.retry
        return RetryFacts(
            attempts=self.attempts - self.stale_retries,
            elapsed=now - self.started,
            waits=self.waits,
            stale_retries=self.stale_retries,
            is_idempotent=self.course.head.is_idempotent,
            can_replay=self.body is None or self.body.is_kept,
            has_budget=spec.budget is None or route.pool.budget.has_room(now, spec.budget, spec.budget_least),
            has_untried=route.pool.has_untried(now, self.tried),
            is_response_sent=self.is_answering,
            chance=self.services.chance(),
        )

    def _again(self, failure: Failure, delay: float) -> None:
        self._block_client()
        if delay == 0.0:
            self._stop_timer()
            self.stale_retries += is_stale(failure)
            self.asked = now = self.services.clock()
            self._attempt(now)
        else:
            self._wait_for_again(delay)

    def _block_client(self) -> None:
        """While there is no backend, so much of the body is taken and no more."""
        if self.body is not None and not self.body.is_complete and self.body.kept_size >= PENDING_BYTES:
            self.stream.block(NO_PEER)

    def _stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _wait_for_again(self, delay: float) -> None:
        self._stop_timer()
        self.waits += delay > 0.0
        self.timer = self.services.call_later(delay, self._try_again)

    def _try_again(self) -> None:
        self.timer = None
        self.asked = now = self.services.clock()
        self._attempt(now)

    def _answer_failure(self, route: Route, now: float) -> None:
        failure = self.last_failure
        assert failure is not None
        status = reply.failure_status(failure.kind, failure.side)
        fields: tuple[Field, ...] = ()
        if status == 503:
            seconds = route.pool.retry_after(now, failure.kind)
            if failure.side is Side.POSTHOUSE and failure.kind not in _SAYS_LESS:
                seconds = OUR_RETRY_SECONDS
            if seconds is not None:
                fields = (Field(b"Retry-After", b"%d" % math.ceil(seconds)),)
        where = f"{self.upstream}: " if self.upstream else ""
        self.answer(status, fields, f"{where}{failure.kind}: {failure.reason}")

    def _tell_failure(self, failure: Failure, backend: Backend | None) -> None:
        self._log_failure(failure, backend)
        if backend is not None and self.services.metrics is not None:
            count_failure(self, self.services.metrics, failure.kind)

    def _log_failure(self, failure: Failure, backend: Backend | None) -> None:
        assert self.route is not None
        facts: dict[str, object] = {"failure": failure.kind.value, "reason": failure.reason}
        if backend is not None:
            facts |= {"upstream": backend.endpoint.text, "attempt": self.attempts}
        place = self.route.timer_place(failure.kind)
        if place is not None:
            facts["place"] = place
        if self.waiter is not None:
            facts["queue_ms"] = self.queue_ms
        self.services.log.error(
            "upstream failed" if failure.side is Side.UPSTREAM else "exchange failed",
            key=f"{failure.kind} {facts.get('upstream', self.site)}",
            **facts,
            site=self.site,
            method=self.head.method.decode("latin-1"),
            uri=self.head.target.raw.decode("latin-1"),
        )

    def _observe_head(self) -> None:
        """A final head came: tell the pool how long it took since the request was sent, if it wants to know.

        An answer to half a request says how quick the client is, and nothing of the backend.
        """
        route, body = self.route, self.body
        if route is None or not route.pool.observes or self.backend is None:
            return
        if body is None or body.is_complete:
            now = self.services.clock()
            route.pool.observe(self.backend, now - self.asked, now)

    # -- ways out ------------------------------------------------------------------------------------------------

    def _leave_connection(self) -> None:
        """A clean end of the attempt: the connection is kept if it can be, the backend is free."""
        connection, backend, route = self.connection, self.backend, self.route
        assert connection is not None and backend is not None and route is not None
        self.connection = self.backend = None
        self.last_backend = backend
        if self.body is not None:
            self.stream.unblock(PEER_FULL)
        connection.release(route.keepalive)
        trial = self.trial
        if trial is not None:  # which no judge has ended: the route is from before the backend had a breaker
            self.trial = None
            backend.abandon(trial, self.services.clock())
        route.pool.release(backend)

    def _drop_connection(self) -> None:
        """An unclean end of the attempt: whatever runs towards the backend is cut, and nobody waits for one."""
        if self.waiter is not None:
            self.waiter.leave()
        if self.dialling is not None:
            self.dialling.cancel()
            self.dialling = None
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()
        if self.body is not None:
            self.stream.unblock(PEER_FULL)
        self._leave_backend()

    def _leave_backend(self) -> None:
        backend, self.backend = self.backend, None
        if backend is not None:
            assert self.route is not None
            self.last_backend = backend
            trial, self.trial = self.trial, None
            if trial is not None:
                backend.abandon(trial, self.services.clock())
            self.route.pool.release(backend)
