"""TCP options of single sockets. Both event loops switch Nagle's algorithm off by themselves."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from posthouse.config.specs import UpstreamTCPSpec


def set_nodelay(transport: asyncio.BaseTransport, is_on: bool) -> None:
    """Send small pieces at once, or not. Nothing happens where the socket is no TCP socket, or is gone."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(is_on))


def set_keepalive(sock: socket.socket, seconds: float | None) -> None:
    """Let the kernel ask the peer after so many seconds of silence; None: never. Raises OSError."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(seconds is not None))
    if seconds is not None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, int(seconds))


def tune(transport: asyncio.BaseTransport, spec: UpstreamTCPSpec) -> None:
    """What a `proxy` block says of its connections, where it differs from what the event loop does."""
    if not spec.nodelay:
        set_nodelay(transport, False)
    sock = transport.get_extra_info("socket")
    if spec.keepalive is not None and sock is not None and sock.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):
            set_keepalive(sock, spec.keepalive)
