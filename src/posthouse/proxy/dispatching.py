"""Dispatching: who answers a request, after the site's steps have had their say. Hop 4 of a request's life.

Laws:
1. The steps act once, in their order of effect, each on what the ones before left; the first that answers is the last.
2. An internal redirect (`internal`, X-Accel-Redirect) asks no step again, and happens so often at most.
"""

from __future__ import annotations

from typing import Final

from posthouse.protocol.fields import Field
from posthouse.protocol.h1 import ResponseHead
from posthouse.proxy import reply
from posthouse.proxy.answer import Answer, Wait
from posthouse.proxy.judging import Judging
from posthouse.proxy.ports import NEVER

MOST_REDIRECTS: Final = 10
"""Internal redirects of one request, as in v1: more is a circle."""
ACCEL_REDIRECT: Final = b"x-accel-redirect"
_SHOWN_BYTES: Final = 200
"""Of a target that leads nowhere, in the error log."""
RETRY_LATER: Final = (Field(b"Retry-After", b"5"),)
"""For who is refused for want of memory. It is looked at each second; what holds it takes a while to end."""


class Dispatching(Judging):
    """The part of an exchange that finds who answers."""

    __slots__ = ()

    def _answer_at_once(self, status: int) -> None:
        if self.course.site is not None:
            if status == 508:
                self.services.log.error("loop", site=self.site, uri=self.head.target.raw.decode("latin-1"))
            if status == 503:
                self.stream.close_after_answer()
                self.answer(503, RETRY_LATER, "memory over its limit (--max-memory)")
                return
            self.answer(status, cause="limits body" if status == 413 else "")
        elif status == 200:
            self.send(Answer(200, (), b""))
        else:
            text = b"404 Site %b is not served on this interface\n" % self.head.host
            self.send(Answer(404, reply.TEXT_FIELDS, text))

    def _walk(self, number: int) -> None:
        """Ask the site's steps from `number` on; then it is settled where the request goes."""
        site = self.course.site
        assert site is not None
        self.steps_taken = number
        for step in site.steps[number:]:
            self.steps_taken += 1
            outcome = step.act(self)
            if outcome is not None:
                if not isinstance(outcome, Wait):
                    self.send(outcome)
                return
        status = self.course.settle()
        if status:
            self.answer(status)
        else:
            self.route = self.course.route
            self._dispatch()

    def retarget(self, target: bytes) -> bool:
        """A step sends the request elsewhere in the site."""
        return self.course.retarget(target)

    def authenticate(self, user: str) -> None:
        """A step knows who it is."""
        self.course.user = user

    def resume(self, answer: Answer | None) -> None:
        """The step that made us wait has decided, or the responder has its answer."""
        if self.is_finished:
            return
        if answer is None:
            self._walk(self.steps_taken)
        else:
            self.send(answer)

    def _dispatch(self) -> None:
        """To the route, or to who answers without one."""
        route = self.route
        if route is not None:
            if route.exchange_timeout != NEVER and self.limit_timer is None:
                self.limit_timer = self.services.call_later(route.exchange_timeout, self._expire)
            self._attempt(self.started)
            return
        responder = self.course.responder
        assert responder is not None
        answer = responder.respond(self, self.course.head)
        if isinstance(answer, Wait):
            return
        if answer.cause:
            uri = self.target.decode("latin-1")
            self.services.log.error(
                "file not served",
                key=self.site,
                site=self.site,
                uri=uri,
                status=answer.status,
                why=answer.cause,
            )
        self.send(answer)

    def _is_sent_elsewhere(self, head: ResponseHead, is_end: bool) -> bool:
        """X-Accel-Redirect: the backend lets another part of the site answer (directive `internal`)."""
        site = self.course.site
        if site is None or not site.is_internal:
            return False
        target = next((field.value for field in head.fields.all if field.lower == ACCEL_REDIRECT), None)
        if target is None:
            return False
        if is_end:
            self._leave_connection()
        else:
            self._drop_connection()
        if self.continue_timer is not None:
            # The client still waits for its 100, and may never send the body.
            self._stop_continue_timer()
            self.stream.close_after_answer()
        if self.limit_timer is not None:
            # `exchange_timeout` is a route's; where it goes now has its own, or none.
            self.limit_timer.cancel()
            self.limit_timer = None
        course = self.course.redirected(target) if self.course.redirects < MOST_REDIRECTS else None
        if course is None or course.status:
            shown = target[:_SHOWN_BYTES].decode("latin-1")
            why = "is no path" if course is None else "leads nowhere"
            if self.course.redirects >= MOST_REDIRECTS:
                why = f"is one more than {MOST_REDIRECTS}"
            self.answer(
                course.status if course is not None else 502, cause=f"X-Accel-Redirect {shown!r} {why}"
            )
            return True
        self.course = course
        self.route = course.route
        self.body = None
        self.tried = ()
        self.last_failure = None
        # Not at once: the connection that brought the answer is still reading it.
        self.timer = self.services.call_later(0.0, self._go_elsewhere)
        return True

    def kept_fields(self, head: ResponseHead) -> list[Field]:
        """The fields of a 1xx head that go on; where a backend may send a request elsewhere, not that it did."""
        site = self.course.site
        if site is None or not site.is_internal:
            return head.fields.kept
        return [field for field in head.fields.kept if field.lower != ACCEL_REDIRECT]

    def _go_elsewhere(self) -> None:
        self.timer = None
        self.asked = self.services.clock()
        self._dispatch()
