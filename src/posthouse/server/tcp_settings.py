"""`tcp`: which settings a listening address has, and how they come to its socket."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from posthouse.config.specs import Config, TCPSpec
from posthouse.net.tcp_options import set_keepalive

DEFAULT = TCPSpec()


def tcp_settings(config: Config) -> dict[tuple[str, int], TCPSpec]:
    """Those of each listening address (`sockets.ListenKey`) at which a site sets some."""
    found: dict[tuple[str, int], list[TCPSpec]] = {}
    for site in config.sites:
        if site.tcp.given:
            for key in dict.fromkeys((site.bind, address.port) for address in site.addresses):
                found.setdefault(key, []).append(site.tcp)
    return {key: merge_tcp(specs) for key, specs in found.items()}


def merge_tcp(specs: Sequence[TCPSpec]) -> TCPSpec:
    """Of those that the sites of an address set, the smallest; `nodelay` is off if nobody wants it on."""
    backlogs = [spec.backlog for spec in specs if "backlog" in spec.given]
    waits = [spec.keepalive for spec in specs if "keepalive" in spec.given]
    finite = [seconds for seconds in waits if seconds is not None]
    switches = [spec.nodelay for spec in specs if "nodelay" in spec.given]
    return TCPSpec(
        min(backlogs, default=DEFAULT.backlog),
        min(finite, default=None) if waits else DEFAULT.keepalive,
        any(switches) if switches else DEFAULT.nodelay,
    )


def tune(listening: socket.socket, spec: TCPSpec) -> None:
    """Give a listening socket these settings, one that was inherited too.

    Linux hands keep-alive down to what the socket accepts, so that it costs no system call per connection.
    """
    set_keepalive(listening, spec.keepalive)
    listening.listen(spec.backlog)
