"""The ready line: where Posthouse listens, for people and for programs that wait for it.

One address per listener: the address it is bound to. A listener on every address is shown as 127.0.0.1, or as
localhost where its only sites are named localhost, because that opens and 127.0.0.1 would find no site.
"""

from __future__ import annotations

from collections.abc import Mapping

from posthouse.config.specs import Config
from posthouse.server.sockets import ListenKey, show

_LOOPBACK = "127.0.0.1"
_EVERY_HOST = frozenset({"", "0.0.0.0", "::"})


def ready_line(config: Config, ports: Mapping[ListenKey, int], pid: int, workers: int) -> str:
    """ "ready: http://127.0.0.1:8080 … (pid N, workers N)", addresses sorted; no line end.

    `ports` has the real port of each listener.
    """
    addresses = sorted(_address(config, key, port) for key, port in ports.items())
    return f"ready: {' '.join(addresses)} (pid {pid}, workers {workers})"


def _address(config: Config, key: ListenKey, port: int) -> str:
    named = [
        (address.scheme, address.host)
        for site in config.sites
        for address in site.addresses
        if (site.bind, address.port) == key
    ]
    scheme = named[0][0] if named else "http"
    host = key[0]
    if host in _EVERY_HOST:
        only_localhost = bool(named) and all(name == "localhost" for _, name in named)
        host = "localhost" if only_localhost else _LOOPBACK
    return f"{scheme}://{show((host, port))}"
