"""ListenerPlan: what one listening address does with requests, in one generation."""

from __future__ import annotations

from typing import Any, Protocol

from posthouse.errors import ProtocolError
from posthouse.observe.process_log import ONCE_A_MINUTE
from posthouse.protocol.h1 import HeadLimits, RequestHead
from posthouse.proxy import reply
from posthouse.proxy.exchange import Exchange
from posthouse.proxy.metering import count
from posthouse.proxy.ports import NEVER, Services, Stream
from posthouse.proxy.site import Sites


class Tally(Protocol):
    """Who counts the exchanges of a generation."""

    in_flight: int

    def on_last_finished(self) -> None:
        """`in_flight` fell to 0."""


class ListenerPlan:
    """Sites, limits and timeouts of one listening address. `timeouts` and `introducers` are net's, handed through.

    is_refusing  new requests are answered with 503; whoever changes it makes the connections forget their courses
    """

    __slots__ = (
        *("has_nodelay", "has_totals", "introducers", "is_refusing", "limits", "services", "sites", "tally"),
        "timeouts",
    )

    def __init__(
        self, sites: Sites, limits: HeadLimits, timeouts: Any, services: Services, tally: Tally
    ) -> None:
        self.sites = sites
        self.limits = limits
        self.timeouts = timeouts
        self.has_totals: bool = timeouts.read != NEVER or timeouts.write != NEVER
        self.is_refusing = False
        self.introducers: Any = None
        self.has_nodelay = True
        self.services = services
        self.tally = tally

    def begin(self, stream: Stream, head: RequestHead, now: float) -> Exchange:
        """A new exchange, pinned to this generation."""
        self.tally.in_flight += 1
        return Exchange(self, stream, head, now)

    def finished(self, exchange: Exchange) -> None:
        """An exchange is over: count it and write its lines."""
        tally = self.tally
        tally.in_flight -= 1
        site = exchange.course.site
        metrics = self.services.metrics
        if metrics is not None:
            exchange.finished = self.services.clock()
            count(exchange, metrics)
        if site is not None and site.logs:
            exchange.finished = exchange.finished or self.services.clock()
            for scope in site.scopes(exchange.course.log_key):
                scope.sink.write(scope.line(exchange))
        if not tally.in_flight:
            tally.on_last_finished()

    def refuse(self, stream: Stream, error: ProtocolError, is_head: bool) -> bytes:
        """The whole answer to a request that could not be read; it never reached a site, so the process log has it."""
        metrics = self.services.metrics
        if metrics is not None:
            metrics.refused[error.status] = metrics.refused.get(error.status, 0) + 1
        self.services.log.info(
            "request refused", key=error.reason, status=error.status, reason=error.reason, peer=stream.peer
        )
        return reply.refusal(error.status, is_head=is_head)

    def refuse_peer(self, peer: str, network: str, reason: str) -> None:
        """A connection that gets no answer: a line for the network that its peer is one of, once a minute."""
        metrics = self.services.metrics
        if metrics is not None:
            metrics.refused_peers += 1
        self.services.log.warn("peer refused", key=network, limit=ONCE_A_MINUTE, reason=reason, peer=peer)
