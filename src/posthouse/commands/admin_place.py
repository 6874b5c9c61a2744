"""Where the admin socket is: --admin, or by the configuration's name. One rule for who serves and who asks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from posthouse.commands import configuration
from posthouse.commands.command_line import Given, Option, UsageError

if TYPE_CHECKING:
    from posthouse.server.parts import AdminPlace

OFF = "off"
OPTION = Option("--admin", "PATH|off", "the admin socket (default: one that the Caddyfile gives its name)")


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
