"""Where the admin socket is: --admin, or by the configuration's name. One rule for who serves and who asks.

And --admin-listen, the address for metrics, health and readiness.
"""

from __future__ import annotations

import ipaddress
import os
import re
from typing import TYPE_CHECKING

from posthouse.commands import configuration
from posthouse.commands.command_line import Given, Option, UsageError

if TYPE_CHECKING:
    from posthouse.server.parts import AdminPlace

OFF = "off"
OPTION = Option("--admin", "PATH|off", "the admin socket (default: one that the Caddyfile gives its name)")

ASK_OPTIONS = (
    Option("--config", "FILE", "ask who serves that Caddyfile (default: ./Caddyfile)"),
    Option("--admin", "PATH", "ask who has that admin socket"),
)
"""Of commands that ask a Posthouse that runs; see `asked`."""

LISTEN_OPTION = Option(
    "--admin-listen",
    "IP:PORT",
    "answer /metrics, /health, /ready there",
)


def listen_of(given: Given) -> tuple[str, int] | None:
    """IP address and port of --admin-listen; None: it is not given. Raises UsageError."""
    if not given.has("--admin-listen"):
        return None
    text = given.last("--admin-listen")
    host, colon, port = text.rpartition(":")
    expected = f"--admin-listen is {text!r}, expected an IP address and a port as 127.0.0.1:9100 or :9100"
    if not colon or not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 1 << 16:
        raise UsageError(expected)
    if not host:
        return "127.0.0.1", int(port)
    is_bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ipaddress.ip_address(host[1:-1] if is_bracketed else host)
    except ValueError:
        raise UsageError(expected) from None
    if is_bracketed != (address.version == 6):
        raise UsageError(expected)
    return str(address), int(port)


def of(given: Given, config: str) -> AdminPlace | None:
    """Where who serves `config` ("" = no file) has its socket; None: it has none."""
    from posthouse.server.parts import AdminPlace

    path = given.last("--admin")
    if path == OFF or not (path or config):
        return None
    absolute = os.path.abspath(config) if config else None
    return AdminPlace(path or default(config), absolute, is_wanted=bool(path))


def default(config: str) -> str:
    """The socket of who serves the file `config`."""
    from posthouse.admin.socket_file import default_path

    return default_path(config, os.environ.get("XDG_RUNTIME_DIR", ""))


def asked(given: Given) -> str:
    """Whom to ask: --admin, or who serves --config. Raises UsageError, StartError."""
    path = given.last("--admin")
    if path == OFF:
        raise UsageError("--admin off names nobody who could be asked")
    if path:
        return path
    config = configuration.path_of(given)
    if config == configuration.STDIN:
        raise UsageError("who serves stdin has no name: --admin PATH")
    return default(config)
