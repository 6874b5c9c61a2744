"""Judging: what the head of a response means for its backend, and whether it goes to the client. Hop 7.

Laws:
1. Only where the pool's settings have a use for it (`Course.is_judged`); elsewhere a response costs nothing here.
2. A response is only dropped where another attempt can follow; who gives up passes on what the backend said.
"""

from __future__ import annotations

from posthouse.protocol.h1 import ResponseHead
from posthouse.proxy.attempts import Attempts


class Judging(Attempts):
    """The part of an exchange that looks at the heads of responses before they are passed on."""

    __slots__ = ()

    def _is_passed_over(self, head: ResponseHead, is_end: bool) -> bool:
        """Tell the pool of the response; True if another backend is asked instead (`retry_on 503`)."""
        judge = self.route.judge  # type: ignore[union-attr]
        assert judge is not None
        if judge.budget is not None and not self.tried:
            judge.budget.count(self.started)
        if not judge.is_brief or self.trial is not None:
            self._hear(head)
        return head.status in judge.statuses and self._is_asked_elsewhere(head, is_end)

    def _hear(self, head: ResponseHead) -> None:
        route, backend, body = self.route, self.backend, self.body
        assert route is not None and route.judge is not None and backend is not None
        now = self.services.clock()
        seconds = now - self.asked if body is None or body.is_complete else None
        trial, self.trial = self.trial, None
        route.judge.hear(backend, head.status, seconds, trial, now)

    def _is_asked_elsewhere(self, head: ResponseHead, is_end: bool) -> bool:
        route, backend = self.route, self.backend
        assert route is not None and backend is not None
        now = self.services.clock()
        if not route.pool.has_untried(now, ()):
            return False  # nobody is there to be asked
        tried = self.tried
        self.tried = (*tried, backend)
        delay = self._ask_again(None, route, now)
        if delay is None:
            self.tried = tried
            return False
        self.services.log.warn(
            "answer passed over",
            key=f"{head.status} {backend.name}",
            status=head.status,
            upstream=backend.endpoint.text,
            attempt=self.attempts,
            site=self.site,
            method=self.head.method.decode("latin-1"),
            uri=self.head.target.raw.decode("latin-1"),
        )
        if is_end:
            self._leave_connection()
        else:
            self._drop_connection()
        self._stop_continue_timer()
        # Not at once even for 0.0: the connection that brought the answer is still reading it.
        self._block_client()
        self._wait_for_again(delay)
        return True
