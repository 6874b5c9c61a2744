"""What the commands that serve have in common: their options, and the way from those to a running server."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from posthouse.commands import admin_place, configuration
from posthouse.commands.command_line import Given, Option, UsageError
from posthouse.commands.report import complain_of_mistakes
from posthouse.errors import ConfigError

if TYPE_CHECKING:
    import socket

    from posthouse.adapt import Adapted
    from posthouse.server.sockets import ListenKey

OPTIONS = (
    Option("--workers", "N|auto", "processes that serve: 1 in this release (auto is 1 too)"),
    Option("--grace", "DURATION", "how long stopping waits for running exchanges (default: 30s)"),
    Option("--pidfile", "FILE", "write the process id there; removed at the end"),
    Option("--user", "USER[:GROUP]", "not in this release yet"),
    admin_place.OPTION,
    Option("--log", "FILE|stderr|stdout", "where the process log goes (default: stderr)"),
    Option("--log-format", "text|json", "its format (default: text)"),
)

DEFAULT_GRACE = "30s"
_FORMATS = ("text", "json")


def check(given: Given) -> None:
    """Refuse option values that are wrong or not in this release. Raises UsageError."""
    workers = given.last("--workers", "auto")
    if workers not in ("1", "auto"):
        if not (workers.isascii() and workers.isdigit()) or int(workers) < 1:
            raise UsageError(f"--workers is {workers!r}, expected a number from 1 or auto")
        raise UsageError("more than one worker is not in this release yet: --workers 1")
    if given.has("--user"):
        raise UsageError("--user is not in this release yet: start Posthouse as the user it is to run as")
    if given.last("--log-format", "text") not in _FORMATS:
        raise UsageError(f"--log-format is {given.last('--log-format')!r}, expected text or json")
    for name in ("--log", "--pidfile", "--admin"):
        if given.has(name) and not given.last(name):
            raise UsageError(f"{name} needs the name of a file")
    grace(given)


def grace(given: Given, default: str = DEFAULT_GRACE) -> float:
    """--grace in seconds. Raises UsageError."""
    from posthouse.config.units import parse_duration

    text = given.last("--grace", default)
    try:
        seconds = parse_duration(text)
        if seconds < 0:
            raise ValueError("it is negative")
    except ValueError as wrong:
        raise UsageError(f"--grace is {text!r}, expected a duration as 30s: {wrong}") from None
    return seconds


def serve(
    given: Given,
    loaded: Adapted,
    reload: Callable[[], Adapted | None],
    bound: Mapping[ListenKey, socket.socket] | None = None,
    default_grace: str = DEFAULT_GRACE,
    config: str = "",
) -> int:
    """Serve `loaded` until stopped; the exit code. `check` has been asked before.

    reload  reads the configuration again; None: it did not come from a file
    bound   sockets that listen already
    config  the file that it came from; "" = none
    Raises StartError.
    """
    from posthouse.adapt import CASE_SENSITIVE
    from posthouse.server import descriptors
    from posthouse.server.process import Process, open_log
    from posthouse.server.worker import Settings

    settings = Settings(
        grace=grace(given, default_grace),
        connections=descriptors.connection_limit(descriptors.raise_limit()),
        pidfile=given.last("--pidfile"),
        is_watching=given.has("--watch"),
        is_quiet=given.has("-quiet"),
        bound=bound or {},
        admin=admin_place.of(given, config),
    )
    log = open_log(given.last("--log", "stderr"), "json" if given.last("--log-format") == "json" else "text")
    values = configuration.environment(given.last("--env-file"))
    process = Process(
        log,
        os.environ.get("POSTHOUSE_LOOP", ""),
        reload,
        is_case_sensitive=values.get(CASE_SENSITIVE) in ("1", "true"),
        env=values,
    )
    try:
        return process.serve(loaded, settings)
    except ConfigError as error:
        complain_of_mistakes(error, loaded.sources)
        return 1
