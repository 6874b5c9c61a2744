"""Route: one `proxy` block at work for one site; makes the heads that go to backends. Hop 4."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from posthouse.balance.backend import Backend
from posthouse.balance.judge import Judge
from posthouse.balance.pool import Pool
from posthouse.balance.retry import Retry
from posthouse.config.specs import EndpointSpec, RouteSpec
from posthouse.errors import FailureKind, Place
from posthouse.observe.metrics import Cell
from posthouse.protocol.fields import Field
from posthouse.protocol.target import Target, Targets, cut_prefix, split_authority
from posthouse.proxy.rewrite import HeaderProgram

if TYPE_CHECKING:
    from posthouse.proxy.subject import ExchangeFacts

VIA: Final = Field(b"Via", b"1.1 posthouse")
LOOP_LIMIT: Final = 16
"""A request that carries our mark in Via so often is going round in circles: 508."""

_TIMERS: Final = {
    FailureKind.CONNECT_TIMEOUT: "timeout",
    FailureKind.RESPONSE_TIMEOUT: "response_timeout",
    FailureKind.IDLE_TIMEOUT: "idle_timeout",
    FailureKind.EXCHANGE_TIMEOUT: "exchange_timeout",
}


class Origin:
    """What the head of a request says for one backend."""

    __slots__ = ("authority", "authorization", "base_path", "has_base", "query", "text")

    def __init__(self, endpoint: EndpointSpec) -> None:
        self.text = endpoint.text
        self.authority = endpoint.authority.encode("latin-1", "replace")
        self.base_path = endpoint.base_path.encode("utf-8")
        self.query = endpoint.base_query.encode("utf-8")
        self.has_base = bool(self.base_path or self.query)
        credentials = endpoint.credentials.encode("utf-8")
        self.authorization = b"Authorization: Basic %b\r\n" % b64encode(credentials) if credentials else b""

    def join(self, path: bytes, query: bytes) -> bytes:
        """Base path and path with exactly one slash between; the TO's query first (caddy1.md 2.4)."""
        if self.base_path:
            path = (
                self.base_path.removesuffix(b"/") + path
                if path.startswith(b"/")
                else self.base_path + b"/" + path
            )
        if self.query:
            query = b"?" + self.query + (b"&" + query[1:] if len(query) > 1 else b"")
        return path + query


class Route:
    """One `proxy` block: which requests, which backends, what is changed on the way."""

    __slots__ = (
        *(
            "_excepts",
            "_targets",
            "_without",
            "base_key",
            "cell",
            "connect_timeout",
            "downstream_program",
            "exchange_timeout",
        ),
        *(
            "idle_timeout",
            "is_direct",
            "is_introducing",
            "is_plain",
            "judge",
            "keepalive",
            "origins",
            "pool",
            "replay_limit",
            "response_timeout",
            "retry",
        ),
        *("sessions", "spec", "tunnel_timeout", "upstream_program"),
    )

    def __init__(self, spec: RouteSpec, pool: Pool, keys: Sequence[str], targets: Targets) -> None:
        """keys: FROM, `without` ("" = none) and the excepted paths, as matchers compare them."""
        self.spec = spec
        self.pool = pool
        self.base_key, self._without, *excepts = keys
        self._excepts = tuple(excepts)
        self._targets = targets
        self.retry = Retry(spec.pool.retry)
        judge = Judge(pool)
        self.judge = judge if judge.is_needed else None
        self.replay_limit = spec.pool.retry.replay_limit
        self.keepalive = spec.pool.keepalive
        self.is_introducing = spec.pool.proxy_protocol is not None
        self.upstream_program = HeaderProgram(spec.header_upstream)
        self.downstream_program = HeaderProgram(spec.header_downstream)
        self.origins: dict[Backend, Origin] = {backend: Origin(backend.endpoint) for backend in pool.backends}
        timeouts = spec.pool.timeouts
        self.response_timeout = _or_never(timeouts.response)
        self.idle_timeout = _or_never(timeouts.idle)
        self.tunnel_timeout = _or_never(timeouts.tunnel)
        self.exchange_timeout = _or_never(timeouts.exchange)
        self.cell: Cell | None = None
        """Where its exchanges are counted, once somebody can ask."""
        self.sessions = pool.sessions
        self.is_direct = pool.sessions is None and not pool.observes
        """Whether no part of choosing a backend looks at its responses."""
        self.is_plain = self.upstream_program.is_empty and not self.upstream_program.has_host

    def __repr__(self) -> str:
        return f"<Route {self.base_key!r} {self.pool!r}>"

    def use(self, pool: Pool) -> None:
        """Another pool from now on, because its members have changed. Attempts that run keep their backends."""
        self.pool = pool
        self.sessions = pool.sessions
        if self.judge is not None:
            self.judge = Judge(pool)
        self.origins = {backend: Origin(backend.endpoint) for backend in pool.backends}

    def is_same_but_backends(self, other: Route) -> bool:
        """Whether the other does the same with a request, and only who its backends are may differ. O(backends)."""
        return _without_backends(self.spec) == _without_backends(other.spec)

    def origin(self, backend: Backend) -> Origin:
        """What a head says for `backend`, which may have left the pool while it was dialled."""
        return self.origins.get(backend) or Origin(backend.endpoint)

    def is_excepted(self, key: str) -> bool:
        """Whether `except` takes this path out."""
        excepts = self._excepts
        return bool(excepts) and key.startswith(excepts)

    def timer_place(self, kind: FailureKind) -> Place | None:
        """Where the Caddyfile sets the timer whose end this failure is; None for a default, or another failure."""
        return dict(self.spec.pool.timeouts.places).get(_TIMERS.get(kind, ""))

    def wire_target(self, exchange: ExchangeFacts, origin: Origin) -> bytes:
        """The request target that goes to a backend."""
        course = exchange.course
        path = course.wire_path
        if self._without and course.key.startswith(self._without):
            cut = Target(b"", course.path, course.key, path, course.query)
            path = cut_prefix(cut, self._without, self._targets)[1]
        if origin.has_base:
            return origin.join(path, course.query)
        return path + course.query

    def request_head(self, exchange: ExchangeFacts, backend: Backend) -> bytes:
        """The whole head of an attempt, built afresh; ends with the empty line.

        Where no rule of the site makes it differ from request to request, the course keeps it for the next one.
        """
        origin = self.origin(backend)
        head = exchange.course.head
        fields = head.fields
        authority = head.host if self.spec.is_transparent and head.host else origin.authority
        if self.is_plain:
            lines = fields.kept_wire + exchange.forwarding_lines(self.spec.is_transparent)
        else:
            authority, lines = self._apply_rules(exchange, authority)
        if origin.authorization and not self._has_authorization(exchange):
            lines += origin.authorization
        data = b"%b %b HTTP/1.1\r\nHost: %b\r\n%b%b\r\n" % (
            head.method,
            self.wire_target(exchange, origin),
            authority,
            lines,
            exchange.course.framing_lines,
        )
        if self.upstream_program.is_stable:
            exchange.course.heads[backend] = data
        return data

    def _has_authorization(self, exchange: ExchangeFacts) -> bool:
        program = self.upstream_program
        if program.writes_authorization:
            return True
        return exchange.field(b"authorization") is not None and not program.drops(b"authorization")

    def _apply_rules(self, exchange: ExchangeFacts, authority: bytes) -> tuple[bytes, bytes]:
        program = self.upstream_program
        if program.has_host:
            made = program.host(authority, exchange)
            if split_authority(made) is not None:
                authority = made
        fields = exchange.course.head.fields
        if program.touches_ours:
            lines = program.apply(
                [*fields.kept, *exchange.forwarding_fields(self.spec.is_transparent)], exchange
            )
            return authority, b"".join(lines)
        lines = program.apply(fields.kept, exchange)
        lines.append(exchange.forwarding_lines(self.spec.is_transparent))
        return authority, b"".join(lines)


def _without_backends(spec: RouteSpec) -> RouteSpec:
    return replace(spec, pool=replace(spec.pool, endpoints=(), sources=(), max_conns=0))


def _or_never(seconds: float | None) -> float:
    return math.inf if seconds is None else seconds
