"""Upgrades: who may leave HTTP, and how the two sides are joined (reliability.md rule 10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posthouse.protocol.fields import parse_list
from posthouse.protocol.h1 import RequestHead, ResponseHead
from posthouse.proxy.tunnel import Tunnel

if TYPE_CHECKING:
    from posthouse.proxy.exchange import Exchange
    from posthouse.proxy.ports import Upstream


def is_wanted(head: RequestHead) -> bool:
    """Whether Upgrade goes on: a GET of HTTP/1.1 without a body, for a protocol that does not hide HTTP or TLS."""
    return head.fields.protocols is not None and head.method == b"GET" and head.version == b"HTTP/1.1"


def is_answered(head: RequestHead, response: ResponseHead) -> bool:
    """Whether a 101 is for a protocol that this request asked for."""
    answered = response.fields.protocol
    if answered is None or head.fields.protocols is None or not is_wanted(head):
        return False
    wanted, given = parse_list(head.fields.protocols), parse_list(answered)
    return bool(given) and all(protocol in wanted for protocol in given)


def join(exchange: Exchange, connection: Upstream, head: ResponseHead, rest: bytes) -> None:
    """Send the 101 on, with the rules that responses get, and make a tunnel of the two connections."""
    assert exchange.route is not None
    program = exchange.course.program
    lines = b"".join(program.apply(exchange.kept_fields(head), exchange))
    if exchange.route.sessions is not None and exchange.backend is not None:
        lines += exchange.route.sessions.cookie(exchange, exchange.backend)
    stream, services = exchange.stream, exchange.services
    protocol = head.fields.protocol or b""
    early = stream.leave_http()
    stream.transport.write(
        b"HTTP/1.1 101 %b\r\n%bConnection: Upgrade\r\nUpgrade: %b\r\n\r\n" % (head.reason, lines, protocol)
    )

    ends = (exchange.on_tunnel_end, stream.tunnel_ended)
    tunnel = Tunnel(services.timers, services.clock, exchange.route.tunnel_timeout, ends)
    tunnel.join(stream.transport, connection.transport, early, rest)
