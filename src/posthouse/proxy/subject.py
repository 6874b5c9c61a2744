"""ExchangeFacts: what an exchange holds, and what logs, placeholders and policies may ask of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from posthouse.balance.backend import Backend
from posthouse.balance.trials import Trials
from posthouse.errors import Failure
from posthouse.observe.timestamps import whole_ms
from posthouse.protocol.fields import Field
from posthouse.protocol.h1 import RequestHead, ResponseHead
from posthouse.proxy import forwarding

if TYPE_CHECKING:
    from posthouse.proxy.answer import Encoder
    from posthouse.proxy.answering import Sending
    from posthouse.proxy.body import RequestBody
    from posthouse.proxy.coding import Coding
    from posthouse.proxy.course import Course
    from posthouse.proxy.ports import Cancellable, Services, Stream, Upstream
    from posthouse.proxy.route import Route
    from posthouse.proxy.waiter import Waiter


class ExchangeFacts:
    """The state of an exchange with its read-only views (observe/record.py: Subject; balance/policy.py: Choice)."""

    __slots__ = (
        *(
            "asked",
            "attempts",
            "backend",
            "body",
            "coding",
            "connection",
            "continue_timer",
            "course",
            "dialling",
            "dials",
            "encoder",
            "finished",
            "head",
        ),
        *("id", "is_answering", "is_continued", "is_finished", "last_backend", "last_failure", "limit_timer"),
        *(
            "response",
            "route",
            "sending",
            "services",
            "size",
            "stale_retries",
            "started",
            "status",
            "stream",
            "timer",
        ),
        *("steps_taken", "trial", "tried", "waiter", "waits"),
    )

    course: Course
    services: Services
    stream: Stream
    head: RequestHead
    response: ResponseHead | None
    route: Route | None
    backend: Backend | None
    last_backend: Backend | None
    connection: Upstream | None
    dialling: Cancellable | None
    timer: Cancellable | None
    limit_timer: Cancellable | None
    continue_timer: Cancellable | None
    body: RequestBody | None
    encoder: Encoder | None
    coding: Coding | None
    sending: Sending | None
    waiter: Waiter | None
    last_failure: Failure | None
    trial: Trials | None
    """The attempt is a trial of its backend (`Backend.acquire`)."""
    tried: tuple[Backend, ...]
    started: float
    asked: float
    """When the backend was given the whole request, or the part of it that there was."""
    finished: float
    status: int
    size: int
    attempts: int
    dials: int
    """How many of the attempts began with a new connection."""
    waits: int
    stale_retries: int
    steps_taken: int
    is_answering: bool
    is_continued: bool
    is_finished: bool
    id: str

    def __repr__(self) -> str:
        method, target = self.head.method.decode("latin-1"), self.head.target.raw.decode("latin-1")
        return f"<Exchange {method} {target} status={self.status} attempts={self.attempts} {self.backend!r}>"

    @property
    def site(self) -> str:
        """The site's first address as written."""
        site = self.course.site
        return site.address if site is not None else ""

    @property
    def method(self) -> bytes:
        """As sent."""
        return self.head.method

    @property
    def target(self) -> bytes:
        """As received, in origin form."""
        return self.head.target.raw

    @property
    def rewrite_target(self) -> bytes:
        """As it is now: without the site's path prefix, and as `rewrite` left it."""
        return (self.course.wire_path or self.head.target.wire_path) + self.course.query

    @property
    def version(self) -> bytes:
        """b"HTTP/1.1" or b"HTTP/1.0"."""
        return self.head.version

    @property
    def scheme(self) -> str:
        """Of the client's connection."""
        return self.stream.scheme

    @property
    def host(self) -> str:
        """As sent."""
        return self.head.host.decode("latin-1")

    @property
    def peer(self) -> str:
        """The peer's IP address."""
        return self.stream.peer

    @property
    def peer_port(self) -> int:
        """The peer's port."""
        return self.stream.peer_port

    @property
    def is_peer_trusted(self) -> bool:
        """Whether the peer is one of the site's `trusted_proxies`."""
        site = self.course.site
        return site is not None and site.has_trusted and site.trusts(self.stream.peer)

    @property
    def client_ip(self) -> str:
        """The client's address, seen through trusted proxies."""
        site = self.course.site
        if site is None or not self.is_peer_trusted:
            return self.stream.peer
        course = self.course
        if not course.client_ip:
            chain = [
                field.value for field in self.head.fields.forwarding if field.lower == b"x-forwarded-for"
            ]
            course.client_ip = site.client_ip(self.stream.peer, chain)
        return course.client_ip

    @property
    def is_secure(self) -> bool:
        """Whether the client came over https: to us, or to a trusted proxy that says so."""
        if self.stream.scheme == "https":
            return True
        if not self.is_peer_trusted:
            return False
        fields = self.head.fields.forwarding
        return any(
            field.lower == b"x-forwarded-proto" and field.value.partition(b",")[0].strip().lower() == b"https"
            for field in fields
        )

    @property
    def request_id(self) -> str:
        """What the `request_id` directive gave."""
        return self.id

    @property
    def user(self) -> str:
        """Who `basicauth` says it is, or ""."""
        return self.course.user

    @property
    def upstream(self) -> str | None:
        """The backend last tried."""
        backend = self.backend or self.last_backend
        return backend.endpoint.text if backend is not None else None

    @property
    def failure(self) -> str | None:
        """The failure that decided the outcome; None after a success, also one that took several attempts."""
        if self.last_failure is None or (self.is_finished and self.is_success):
            return None
        return self.last_failure.kind.value

    @property
    def is_success(self) -> bool:
        """Whether a backend's response went downstream to its end."""
        return self.response is not None and self.last_failure is None

    @property
    def queue_ms(self) -> int:
        """Milliseconds spent waiting for a backend that is not full."""
        return whole_ms(self.waiter.waited(self.services.clock())) if self.waiter is not None else 0

    @property
    def wall(self) -> float:
        """Seconds since 1970 at the start."""
        return time.time() - (self.services.clock() - self.started)

    def field(self, name: bytes) -> bytes | None:
        """A request field by lower-case name, all lines joined."""
        return self.head.fields.value(name)

    def response_field(self, name: bytes) -> bytes | None:
        """A response field by lower-case name, all lines joined."""
        if self.response is None:
            return None
        values = [field.value for field in self.response.fields.all if field.lower == name]
        return b",".join(values) if values else None

    def request_body(self) -> bytes:
        """The first bytes of the request body, where a template asks for it (`{request_body}`)."""
        return self.body.captured() if self.body is not None else b""

    @property
    def key(self) -> str:
        """The path as matchers compare it, as it is now."""
        return self.course.key

    @property
    def path(self) -> str:
        """The decoded path in normal form, as it is now."""
        return self.course.path

    @property
    def wire_path(self) -> bytes:
        """The encoded path, as it is now."""
        return self.course.wire_path

    @property
    def query(self) -> bytes:
        """The query as it is now, with its "?", or b""."""
        return self.course.query

    def request_head(self) -> bytes:
        """Request line and fields."""
        line = b"%b %b %b\r\n" % (self.head.method, self.head.target.raw, self.head.version)
        return line + b"".join([field.wire for field in self.head.fields.all])

    def forwarding_lines(self, is_transparent: bool) -> bytes:
        """Our X-Forwarded-* and Via lines."""
        if self.is_peer_trusted:
            return b"".join([field.wire for field in self.forwarding_fields(is_transparent)])
        return forwarding.untrusted_lines(self, is_transparent=is_transparent)

    def forwarding_fields(self, is_transparent: bool) -> list[Field]:
        """The same as fields, for rules that act on them."""
        return forwarding.fields_of(self, is_trusted=self.is_peer_trusted, is_transparent=is_transparent)
