"""Backends that switch protocols, and clients that ask them to."""

from __future__ import annotations

from collections.abc import Callable

from kit import BackendConnection, RawClient, Response, request, response
from kit.http1 import Fields

UPGRADE: Fields = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
SWITCHING = response(101, UPGRADE, None, reason="Switching Protocols")

Script = Callable[[BackendConnection], None]


def tunnel(script: Script, switching: bytes = SWITCHING) -> Script:
    """A backend's connection that reads a head, switches, and does as the script says."""

    def serve_tunnel(connection: BackendConnection) -> None:
        asked = connection.read_head()
        assert asked is not None
        connection.backend.record(asked)
        connection.send(switching)
        script(connection)

    return serve_tunnel


def copy_back(connection: BackendConnection) -> None:
    """Send back what comes, until it ends."""
    while True:
        if connection.buffer:
            connection.send(bytes(connection.buffer))
            connection.buffer.clear()
        if connection.fill():
            break


def wait_quietly(connection: BackendConnection) -> None:
    connection.wait_end()


def open_tunnel(client: RawClient, target: str = "/") -> Response:
    answer = client.exchange(request("GET", target, UPGRADE))
    assert answer.status == 101
    return answer


def take(client: RawClient, data: bytes) -> None:
    """These bytes come next, and nothing else has come with them."""
    while len(client.buffer) < len(data):
        assert client.fill() == "", f"ended after {bytes(client.buffer)!r}"
    assert bytes(client.buffer) == data
    client.buffer.clear()
