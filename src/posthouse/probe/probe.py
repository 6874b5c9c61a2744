"""Probe: one check of one backend, from the dial to its finding.

It uses the connection that requests use, so an answer is judged as strictly here as there, but always a fresh one
with `Connection: close`: what is to be known is whether the next client gets through, and a kept connection would
not tell that nobody listens any more.

Laws:
1. Every probe that is not cancelled says exactly once what it found, within the timeout of its check.
2. Whatever way it ends, its connection is closed, its dial called off, its timer stopped.
3. Without `contains` the head decides, with it at most `text_search.SEARCH_BYTES` of the body. What follows is read,
   within LINGER_BYTES and LINGER_SECONDS, and not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from posthouse.balance.active_health import Finding, Verdict
from posthouse.config.specs import StatusRange
from posthouse.errors import Failure, Side
from posthouse.probe.check import Check
from posthouse.probe.ports import Cancellable, Connection, Services
from posthouse.probe.text_search import TextSearch
from posthouse.protocol.fields import Field
from posthouse.protocol.h1 import ResponseHead

LINGER_BYTES: Final = 64 * 1024
LINGER_SECONDS: Final = 1.0
"""Closing at once would reset a backend that writes head and body apart: its log would have a broken pipe for each
check."""

_NO: Final = frozenset((b"0", b"false", b"no", b"off"))
"""What a field of `health_check_drain` holds where the backend sends it always."""

OnDone = Callable[[Finding | Failure], None]
"""Told what was found, or a Failure of our own that says nothing of the backend (no descriptor left)."""


class Probe:
    """One check on its way; it is the handler of the response that it waits for."""

    __slots__ = (
        "_check",
        "_connection",
        "_deadline",
        "_dialling",
        "_found",
        "_left",
        "_on_done",
        "_search",
        "_services",
        "_timer",
        "_waits_for",
    )

    def __init__(self, check: Check, services: Services, on_done: OnDone) -> None:
        self._check = check
        self._services = services
        self._on_done: OnDone | None = on_done
        self._connection: Connection | None = None
        self._dialling: Cancellable | None = None
        self._timer: Cancellable | None = None
        self._search: TextSearch | None = None
        self._waits_for = "connection"
        self._deadline = services.clock() + check.spec.timeout
        self._found: Finding | None = None
        self._left = LINGER_BYTES

    def __repr__(self) -> str:
        state = "over" if self._on_done is None else f"waits for {self._waits_for}"
        return f"<Probe {self._check.backend.name} {state}>"

    def start(self) -> None:
        """Dial, with an end in sight."""
        check = self._check
        self._timer = self._services.call_later(check.spec.timeout, self._expire)
        self._dialling = self._services.dial_for_probe(
            check.endpoint, check.timeouts, self._on_dialled, check.tls, check.preface
        )

    def cancel(self) -> None:
        """Nobody wants to know any more."""
        self._on_done = None
        self._clean_up()

    def _clean_up(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        dialling, self._dialling = self._dialling, None
        if dialling is not None:
            dialling.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _finish(self, found: Finding | Failure) -> None:
        on_done, self._on_done = self._on_done, None
        self._clean_up()
        if on_done is not None:
            on_done(found)

    def _fail(self, reason: str) -> None:
        self._finish(Finding(Verdict.FAIL, reason))

    def _settle(self, finding: Finding, size: int, is_end: bool) -> None:
        """It is decided. `size` bytes of the body have come; unless that is all, read on for a little while."""
        self._left -= size
        if is_end or self._left <= 0:
            self._finish(finding)
            return
        self._found = finding
        if self._timer is not None:
            self._timer.cancel()
        left = self._deadline - self._services.clock()
        self._timer = self._services.call_later(max(min(left, LINGER_SECONDS), 0.0), self._expire)

    def _expire(self) -> None:
        self._timer = None
        if self._found is not None:
            self._finish(self._found)
            return
        self._fail(f"no {self._waits_for} within {self._check.spec.timeout:g} s")

    def _on_dialled(self, dialled: Connection | Failure) -> None:
        self._dialling = None
        if isinstance(dialled, Failure):
            self.on_upstream_failure(dialled)
            return
        if self._on_done is None:
            dialled.close()
            return
        self._connection = dialled
        head = self._check.head
        if not head:
            self._finish(Finding(Verdict.PASS, "connected"))
            return
        self._waits_for = "answer"
        dialled.begin(self, math.inf, is_bodiless=self._check.spec.check.method == "HEAD")
        dialled.send(head)

    # -- the response, as net/handler.py: ResponseHandler has it --------------------------------------------------

    def on_informational(self, head: ResponseHead) -> None:
        """The answer is still to come."""

    def on_upgrade(self, head: ResponseHead, rest: bytes) -> None:
        """Nobody asked for that."""
        self._fail("status 101")

    def on_response(self, head: ResponseHead, body: bytes, is_end: bool, length: int) -> None:
        """Judge the status; the body only if that counts too."""
        check, status = self._check.spec.check, head.status
        asks = asks_to_drain(head, check.drain_fields) if check.drain_fields else ""
        if asks:
            self._settle(Finding(Verdict.DRAIN, asks), len(body), is_end)
            return
        if is_among(status, check.drain):
            verdict = Verdict.DRAIN
        elif not is_among(status, check.statuses):
            verdict = Verdict.FAIL
        elif not check.contains:
            verdict = Verdict.PASS
        else:
            self._search = TextSearch(check.contains.encode())
            self._waits_for = "end of the body"
            self._look(self._search, body, is_end)
            return
        self._settle(Finding(verdict, f"status {status}"), len(body), is_end)

    def on_response_body(self, data: bytes) -> None:
        """The next piece."""
        if self._found is not None:
            self._left -= len(data)
            if self._left <= 0:
                self._finish(self._found)
        elif self._search is not None:
            self._look(self._search, data, is_end=False)

    def on_response_end(self, trailers: list[Field]) -> None:
        """The body is complete."""
        if self._found is not None:
            self._finish(self._found)
        elif self._search is not None:
            self._look(self._search, b"", is_end=True)

    def _look(self, search: TextSearch, data: bytes, is_end: bool) -> None:
        search.feed(data)
        text = shorten(self._check.spec.check.contains)
        if search.is_found:
            self._settle(Finding(Verdict.PASS, f"body has {text}"), len(data), is_end)
        elif is_end:
            self._fail(f"body lacks {text}")
        elif search.is_over:
            self._fail(f"beginning of the body lacks {text}")

    def on_upstream_failure(self, failure: Failure) -> None:
        """Not dialled, broken off, or no HTTP; the connection is closed already."""
        self._connection = None
        if self._found is not None:
            self._finish(self._found)
        elif failure.side is Side.POSTHOUSE:
            self._finish(failure)
        else:
            self._fail(f"{failure.kind}: {failure.reason}")

    def on_upstream_full(self) -> None:
        """One head is all that is sent."""

    def on_upstream_ready(self) -> None:
        """See `on_upstream_full`."""

    def on_response_pumped(self, size: int) -> None:
        """Nothing is pumped: there is nobody to pump to."""


def is_among(status: int, ranges: tuple[StatusRange, ...]) -> bool:
    """Whether one of the ranges has it."""
    return any(first <= status <= last for first, last in ranges)


def asks_to_drain(head: ResponseHead, names: tuple[str, ...]) -> str:
    """The field among `names` that asks for it, with its value, for the log; "" if none does."""
    wanted = {name.lower().encode() for name in names}
    for field in head.fields.all:
        if field.lower in wanted and field.value.lower() not in _NO:
            value = shorten(field.value.decode("ascii", "backslashreplace"))
            return f"field {field.name.decode('latin-1')} is {value}"
    return ""


def shorten(text: str) -> str:
    """A text in quotes that fits into a line of the log, which escapes it."""
    return f"'{text}'" if len(text) <= 40 else f"'{text[:40]}…'"
