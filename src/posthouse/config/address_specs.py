"""Part of the frozen configuration (`specs`): where Posthouse is called, and whom it calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from posthouse.errors import NOWHERE, Place

Scheme = Literal["http", "https"]
Role = Literal["primary", "fallback"]
HEAVIEST = 1000
"""The largest weight of a backend."""


@dataclass(frozen=True, slots=True)
class AddressSpec:
    """One address of a server block.

    host  lower case, "" = any host, may begin with "*." labels; IPv6 without brackets
    path  "" or "/..." (no trailing-slash change), the site's path prefix
    """

    text: str
    scheme: Scheme
    host: str
    port: int
    path: str
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """A TO of the `proxy` directive after port ranges were expanded: one dialable address.

    text         as written, without credentials, scheme added ("http://127.0.0.1:9000/base", "unix:/run/a.sock"):
                 the value of {upstream} and of logs
    scheme       "https": over TLS; the host is what the certificate must be for
    host, port   what is dialled; host "" = the local machine; for unix sockets host is "" and port 0
    unix         path of the Unix socket, or ""
    authority    the Host field sent unless a rule sets it: "127.0.0.1:9000", "localhost" for unix
    base_path    path of the TO as written, "" or "/...", encoded form
    base_query   query of the TO without "?", or ""
    credentials  "user:password" from the TO, decoded, or ""; never shown
    weight       1 to HEAVIEST: its part of the traffic is this part of all weights
    max_conns    of this backend, 0 = unlimited, None = the pool's
    role         "fallback" = used only while no "primary" can be
    priority     those of the lowest number are chosen from, as long as one of them can be used (SRV records)
    server_name  what its certificate must be for, if not `host`
    """

    text: str
    scheme: Scheme
    host: str
    port: int
    unix: str = ""
    authority: str = ""
    base_path: str = ""
    base_query: str = ""
    credentials: str = field(default="", repr=False, metadata={"is_secret": True})
    weight: int = 1
    max_conns: int | None = None
    role: Role = "primary"
    priority: int = 0
    server_name: str = ""
    place: Place = field(default=NOWHERE, compare=False)
