"""How a new connection to a backend begins: its TLS identity, its TCP options, and whom it says it is for."""

from __future__ import annotations

from typing import Final, Protocol, cast

from posthouse.balance.backend import Backend
from posthouse.config.specs import PoolSpec
from posthouse.net.connector import PLAIN, Opening
from posthouse.net.idle import IdleConnections
from posthouse.net.tls import ClientTLS
from posthouse.protocol import proxy_protocol
from posthouse.protocol.proxy_protocol import Introduction

MOST_OWN: Final = 4
"""Idle connections of one client, each to another backend. One client's requests may go to a thousand of them, and must
not take a thousand descriptors."""


class Client(Protocol):
    """What is asked of a client's connection (net/downstream_answer.py)."""

    peer: str
    peer_port: int
    own: IdleConnections | None

    @property
    def addressed(self) -> tuple[str, int]: ...


def opening_for(backend: Backend, pool: PoolSpec, client: Client) -> Opening:
    """How a connection of this pool begins.

    With `proxy_protocol` it is for this client alone: what it says of it is true of no other. So it is kept with the
    client's connection while idle, and ends with it.
    """
    tls = cast(ClientTLS | None, backend.tls)
    version = pool.proxy_protocol
    if version is None:
        return Opening(tls, tcp=pool.tcp) if tls is not None or pool.tcp != PLAIN.tcp else PLAIN
    if client.own is None:
        client.own = IdleConnections()
    elif len(client.own) >= MOST_OWN:
        client.own.close_all()
    return Opening(tls, proxy_protocol.encode(version, introduction_of(client)), pool.tcp, client.own)


def introduction_of(client: Client) -> Introduction | None:
    """Who it is and what it asked for; None where it has no IP address."""
    addressed = client.addressed
    if not (client.peer and addressed[0]):
        return None
    return Introduction((client.peer, client.peer_port), addressed)


def preface_of_checks(pool: PoolSpec) -> bytes:
    """What health checks begin with: they are our own connections, and say so."""
    return b"" if pool.proxy_protocol is None else proxy_protocol.encode(pool.proxy_protocol, None)
