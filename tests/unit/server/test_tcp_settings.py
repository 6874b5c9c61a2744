from __future__ import annotations

import socket

import pytest

from posthouse.adapt import adapt
from posthouse.config.specs import Config, TCPSpec
from posthouse.server.tcp_settings import DEFAULT, merge_tcp, tcp_settings, tune

ALL = frozenset({"backlog", "keepalive", "nodelay"})


def config(text: str) -> Config:
    return adapt(text, "Caddyfile", env={}).config


def test_by_address() -> None:
    found = tcp_settings(
        config(
            "http://a.test:81, http://a.test:82 {\n tcp { backlog 7 }\n status 404 /\n}\n"
            "http://b.test:82 {\n tcp { keepalive 5s }\n status 404 /\n}\n"
            "http://c.test:83 {\n status 404 /\n}\n"
        )
    )
    assert found == {("", 81): TCPSpec(backlog=7), ("", 82): TCPSpec(backlog=7, keepalive=5.0)}


@pytest.mark.parametrize(
    ("specs", "merged"),
    [
        ([TCPSpec()], DEFAULT),
        ([TCPSpec(9, 30.0, False, ALL), TCPSpec(8, 40.0, False, ALL)], TCPSpec(8, 30.0, False)),
        ([TCPSpec(9, None, False, ALL), TCPSpec(9, 40.0, True, ALL)], TCPSpec(9, 40.0, True)),
        ([TCPSpec(9, None, False, ALL), TCPSpec()], TCPSpec(9, None, False)),
    ],
)
def test_the_smallest_counts(specs: list[TCPSpec], merged: TCPSpec) -> None:
    assert merge_tcp(specs) == merged == merge_tcp(specs[::-1])


def test_tune_reaches_what_is_accepted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        for keepalive in (11.0, None):
            tune(listening, TCPSpec(5, keepalive))
            with socket.create_connection(listening.getsockname(), 2):
                accepted, _ = listening.accept()
                with accepted:
                    is_on = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                    assert bool(is_on) == (keepalive is not None)
                    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 11


def backlog_of(listening: socket.socket) -> int:
    """Of a listening socket the kernel tells it as `tcpi_sacked`."""
    info = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int.from_bytes(info[28:32], "little")


def test_backlog() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        for backlog in (5, 3):
            tune(listening, TCPSpec(backlog))
            assert backlog_of(listening) == backlog
