"""X-Forwarded-*, X-Real-IP, Via: who the client was, as we know it (reliability.md 2.8, stance.md "Headers").

From a peer outside `trusted_proxies` whatever it claims is replaced; from a trusted one X-Forwarded-For is
appended to and the rest passes. X-Forwarded-For, -Proto, -Host and Via are always written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from posthouse.protocol.fields import Field
from posthouse.proxy.route import VIA

if TYPE_CHECKING:
    from posthouse.proxy.subject import ExchangeFacts


def untrusted_lines(exchange: ExchangeFacts, *, is_transparent: bool) -> bytes:
    """All lines for a request of an untrusted peer."""
    head, stream = exchange.head, exchange.stream
    lines = stream.peer_lines
    if not lines:
        peer = stream.peer.encode("ascii", "replace")
        lines = b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\n" % (peer, stream.scheme.encode("ascii"))
        stream.peer_lines = lines
    via = b"".join([field.wire for field in head.fields.via]) if head.fields.via else b""
    if is_transparent:
        via = b"X-Real-IP: %b\r\nX-Forwarded-Port: %b\r\n%b" % (
            stream.peer.encode("ascii", "replace"),
            server_port(exchange),
            via,
        )
    if not head.host:
        return b"%b%bVia: 1.1 posthouse\r\n" % (lines, via)
    return b"%bX-Forwarded-Host: %b\r\n%bVia: 1.1 posthouse\r\n" % (lines, head.host, via)


def fields_of(exchange: ExchangeFacts, *, is_trusted: bool, is_transparent: bool) -> list[Field]:
    """The same as fields, for rules that act on them, and for trusted peers."""
    given = exchange.head.fields.forwarding if is_trusted else []
    peer = exchange.peer.encode("ascii", "replace")
    chain = [field.value for field in given if field.lower == b"x-forwarded-for" and field.value]
    ours = [Field(b"X-Forwarded-For", b", ".join([*chain, peer]))]
    defaults = [
        (b"X-Forwarded-Proto", exchange.scheme.encode("ascii")),
        (b"X-Forwarded-Host", exchange.head.host),
    ]
    if is_transparent:
        defaults += [
            (b"X-Real-IP", exchange.client_ip.encode("ascii", "replace")),
            (b"X-Forwarded-Port", server_port(exchange)),
        ]
    names = {field.lower for field in given}
    ours += [Field(name, value) for name, value in defaults if value and name.lower() not in names]
    ours += [field for field in given if field.lower != b"x-forwarded-for"]
    return [*ours, *exchange.head.fields.via, VIA]


def server_port(exchange: ExchangeFacts) -> bytes:
    """The port in the Host field, else 80 or 443 by the scheme (caddy1.md 5.3)."""
    _, colon, port = exchange.head.host.rpartition(b":")
    if colon and port.isdigit():
        return port
    return b"443" if exchange.scheme == "https" else b"80"


def count_passages(via: list[Field]) -> int:
    """How often a request has passed a Posthouse, by its Via lines (RFC 9110 7.6.3)."""
    return sum(
        member.strip(b" \t").lower().startswith(b"1.1 posthouse")
        for field in via
        for member in field.value.split(b",")
    )
