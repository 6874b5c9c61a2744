"""One `proxy` block while its properties are being read."""

from __future__ import annotations

from dataclasses import replace

from posthouse.caddyfile.lexer import Token
from posthouse.config.queue_spec import QueueSpec
from posthouse.config.specs import (
    EndpointSpec,
    HeaderRule,
    PolicySpec,
    PoolSpec,
    ProxyProtocolVersion,
    RouteSpec,
    SourceSpec,
    TLSSpec,
    UpstreamTCPSpec,
    UpstreamTimeouts,
)
from posthouse.directives.failure_draft import FailureDraft
from posthouse.directives.health_draft import HealthDraft
from posthouse.errors import Notice, Place

_POLICY = PolicySpec()
_QUEUE = QueueSpec()
_TIMEOUTS = UpstreamTimeouts()
_TLS = TLSSpec()
_TCP = UpstreamTCPSpec()


class RouteDraft:
    """What a `proxy` block has said so far; `finish` freezes it.

    site     the site's first address as written, for the pool's default name
    excepts  as written, not yet joined to `base`
    """

    def __init__(self, site: str, place: Place) -> None:
        self.site = site
        self.place = place
        self.base = ""
        self.name = ""
        self.endpoints: list[EndpointSpec] = []
        self.sources: list[SourceSpec] = []
        self.policy = _POLICY
        self.failure = FailureDraft()
        self.timeouts = _TIMEOUTS
        self.timeout_places: dict[str, Place] = {}
        self.max_conns = 0
        self.keepalive = 64
        self.slow_start = 0.0
        self.hash_balance = 0
        self.queue: QueueSpec | None = None
        self.tls = _TLS
        self.tcp = _TCP
        self.proxy_protocol: ProxyProtocolVersion | None = None
        self.without = ""
        self.excepts: list[str] = []
        self.header_upstream: list[HeaderRule] = []
        self.header_downstream: list[HeaderRule] = []
        self.is_transparent = False
        self.health = HealthDraft()
        self.notices: list[Notice] = []

    def set_timeouts(self, name: Token, timeouts: UpstreamTimeouts) -> None:
        """`timeouts` are those of now with the change that property `name` makes."""
        self.timeouts = timeouts
        self.timeout_places[name.text] = name.place

    def finish(self) -> RouteSpec:
        """Raises Rejected for properties that exclude each other."""
        return RouteSpec(
            base=self.base,
            pool=self._pool(),
            excepts=tuple(join_paths(self.base, one) for one in self.excepts),
            without=self.without,
            header_upstream=tuple(self.header_upstream),
            header_downstream=tuple(self.header_downstream),
            is_transparent=self.is_transparent,
            place=self.place,
        )

    def _pool(self) -> PoolSpec:
        self.failure.finish()
        timeouts = self.timeouts
        if self.timeout_places:
            timeouts = replace(timeouts, places=tuple(self.timeout_places.items()))
        return PoolSpec(
            name=self.name or f"{self.site} {self.base}",
            endpoints=tuple(self.endpoints),
            policy=self.policy,
            passive=self.failure.passive,
            retry=self.failure.retry,
            timeouts=timeouts,
            max_conns=self.max_conns,
            keepalive=self.keepalive,
            tls=self.tls,
            health=self.health.finish(),
            sources=tuple(self.sources),
            slow_start=self.slow_start,
            hash_balance=self.hash_balance,
            queue=self.queue or self._queue(),
            tcp=self.tcp,
            proxy_protocol=self.proxy_protocol,
        )

    def _queue(self) -> QueueSpec:
        """Without a `queue` line. `try_duration` promised in v1 that a full pool is waited for so long."""
        assert _QUEUE.wait is not None
        return replace(_QUEUE, wait=max(_QUEUE.wait, self.failure.retry.duration))


def join_paths(base: str, path: str) -> str:
    """`path` below `base`, dot segments and empty ones resolved; a trailing slash of `path` stays."""
    kept: list[str] = []
    for segment in f"{base}/{path}".split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    joined = "/" + "/".join(kept)
    return joined + "/" if path.endswith("/") and kept else joined
