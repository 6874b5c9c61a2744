"""TCP options, on real sockets and on transports that have none."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

import pytest

from posthouse.config.specs import UpstreamTCPSpec
from posthouse.net.tcp_options import set_keepalive, set_nodelay, tune


class Plain:
    """A transport with a socket, or without."""

    def __init__(self, sock: socket.socket | None) -> None:
        self._sock = sock

    def get_extra_info(self, name: str) -> Any:
        return self._sock if name == "socket" else None


def over(sock: socket.socket | None) -> asyncio.BaseTransport:
    return cast(asyncio.BaseTransport, Plain(sock))


def options(sock: socket.socket) -> tuple[bool, int, bool]:
    """keep-alive, its idle time, nodelay"""
    return (
        bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)),
        sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
        bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)),
    )


def test_keepalive() -> None:
    with socket.socket() as sock:
        before = options(sock)
        set_keepalive(sock, 42.0)
        assert options(sock) == (True, 42, False)
        set_keepalive(sock, None)
        assert options(sock) == (False, 42, False) and before[0] is False


def test_nodelay() -> None:
    with socket.socket() as sock:
        set_nodelay(over(sock), True)
        assert options(sock)[2]
        set_nodelay(over(sock), False)
        assert not options(sock)[2]
    set_nodelay(over(sock), True)  # closed
    set_nodelay(over(None), True)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (UpstreamTCPSpec(), (False, True)),
        (UpstreamTCPSpec(keepalive=30.0), (True, True)),
        (UpstreamTCPSpec(nodelay=False), (False, False)),
    ],
)
def test_tune(spec: UpstreamTCPSpec, expected: tuple[bool, bool]) -> None:
    with socket.socket() as sock:
        set_nodelay(over(sock), True)  # as both event loops do
        tune(over(sock), spec)
        assert options(sock)[::2] == expected


def test_a_unix_socket_has_none() -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        tune(over(sock), UpstreamTCPSpec(30.0, False))
        assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
