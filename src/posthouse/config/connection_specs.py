"""The part of the configuration that is about connections below HTTP: TCP settings, and who is behind a peer.

Import it from `config/specs.py`, which names all of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from posthouse.errors import NOWHERE, Place

ProxyProtocolVersion = Literal["v1", "v2"]


@dataclass(frozen=True, slots=True)
class ProxyProtocolSpec:
    """`proxy_protocol RANGE...` of a site: the peers that must say which client they stand in for.

    ranges  IP networks, CIDR, normalised, each once
    """

    ranges: tuple[str, ...]
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class TCPSpec:
    """`tcp`: a listening socket, and the connections it accepts; `given` names those that the file sets.

    backlog    connections that the kernel keeps for us until we accept them (it caps this at net.core.somaxconn). A
               reload or a pause of accepting must not refuse anybody, hence the generous size
    keepalive  seconds without a byte after which the kernel asks whether the peer still lives, None = never; v1's
    nodelay    small pieces are sent at once
    """

    backlog: int = 4096
    keepalive: float | None = 180.0
    nodelay: bool = True
    given: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class UpstreamTCPSpec:
    """`tcp_keepalive` and `tcp_nodelay` of a `proxy` block: connections to its backends; as in TCPSpec."""

    keepalive: float | None = None
    nodelay: bool = True
