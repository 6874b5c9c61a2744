"""What the commands that serve have in common: their options, and the way from those to a running server."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from posthouse.commands import admin_place, configuration, succession
from posthouse.commands.command_line import Given, Option, UsageError
from posthouse.commands.report import complain_of_mistakes
from posthouse.errors import ConfigError, StartError

if TYPE_CHECKING:
    import socket

    from posthouse.adapt import Adapted
    from posthouse.config.specs import Config
    from posthouse.server.recruits import Recruits
    from posthouse.server.sockets import ListenKey

OPTIONS = (
    Option("--workers", "N|auto", "processes that serve (default: auto, one for each core)"),
    Option("--grace", "DURATION", "how long stopping waits for running exchanges (default: 30s)"),
    Option("--pidfile", "FILE", "write the process id there; removed at the end"),
    Option("--user", "USER[:GROUP]", "whom workers run as; only root can say so"),
    admin_place.OPTION,
    admin_place.LISTEN_OPTION,
    Option("--max-connections", "N", "clients' connections per worker (default: what descriptors allow)"),
    Option("--max-memory", "SIZE", "memory of all workers, above which requests get 503 (default: off)"),
    Option("--log", "FILE|stderr|stdout", "where the process log goes (default: stderr)"),
    Option("--log-format", "text|json", "its format (default: text)"),
)

DEFAULT_GRACE = "30s"
MOST_WORKERS = 512
"""More than any machine has cores; a slip of the finger shall not start thousands of processes."""
LEAST_HEARTBEAT = 0.1
"""Seconds. A collection of garbage may take a tenth of that."""
HEARTBEAT = "POSTHOUSE_HEARTBEAT"
_FORMATS = ("text", "json")


def check(given: Given) -> None:
    """Refuse option values that are wrong or not in this release. Raises UsageError."""
    workers = given.last("--workers", "auto")
    if workers != "auto":
        is_number = workers.isascii() and workers.isdigit() and len(workers) < 5
        if not is_number or not 1 <= int(workers) <= MOST_WORKERS:
            raise UsageError(f"--workers is {workers!r}, expected a number from 1 to {MOST_WORKERS}, or auto")
    if given.last("--log-format", "text") not in _FORMATS:
        raise UsageError(f"--log-format is {given.last('--log-format')!r}, expected text or json")
    for name in ("--log", "--pidfile", "--admin"):
        if given.has(name) and not given.last(name):
            raise UsageError(f"{name} needs the name of a file")
    if given.has("--user") and not all(given.last("--user").split(":", 1)):
        raise UsageError(f"--user is {given.last('--user')!r}, expected USER or USER:GROUP")
    admin_place.listen_of(given)
    grace(given)
    most_connections(given)
    most_memory(given)


def most_connections(given: Given) -> int | None:
    """--max-connections, or None. Raises UsageError."""
    text = given.last("--max-connections", "off")
    if text == "off":
        return None
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise UsageError(f"--max-connections is {text!r}, expected a number from 1 or off")
    return int(text)


def most_memory(given: Given) -> int:
    """--max-memory in bytes, 0 = off. Raises UsageError."""
    from posthouse.config.units import parse_size

    text = given.last("--max-memory", "off")
    if text == "off":
        return 0
    try:
        size = parse_size(text)
        if size <= 0:
            raise ValueError("it is 0")
    except ValueError as wrong:
        raise UsageError(f"--max-memory is {text!r}, expected a size as 512MB or off: {wrong}") from None
    return size


def grace(given: Given) -> float:
    """--grace in seconds. Raises UsageError."""
    from posthouse.config.units import parse_duration

    text = given.last("--grace", DEFAULT_GRACE)
    try:
        seconds = parse_duration(text)
        if seconds < 0:
            raise ValueError("it is negative")
    except ValueError as wrong:
        raise UsageError(f"--grace is {text!r}, expected a duration as 30s: {wrong}") from None
    return seconds


def worker_count(given: Given) -> int:
    """How many workers --workers means. `check` has been asked before."""
    from posthouse.server.cores import usable_cores

    workers = given.last("--workers", "auto")
    return usable_cores() if workers == "auto" else int(workers)


def enlist(given: Given) -> Recruits:
    """Start the processes of the workers, so that they import while we read the configuration.

    None where they inherit something that comes later: other rights, or the descriptor of a log.
    """
    from posthouse.server import descriptors
    from posthouse.server.recruits import Recruits

    recruits = Recruits()
    if not given.has("--user") and given.last("--log", "stderr") in ("stderr", "stdout"):
        descriptors.raise_limit()  # theirs is ours
        recruits.enlist(worker_count(given), os.environ)
    return recruits


def serve(
    given: Given,
    loaded: Adapted,
    reload: Callable[[], Adapted | None],
    bound: Mapping[ListenKey, Sequence[socket.socket]] | None = None,
    config: str = "",
    recruits: Recruits | None = None,
) -> int:
    """Serve `loaded` until stopped; the exit code. `check` has been asked before.

    reload  reads the configuration again; None: it did not come from a file
    bound   sockets that listen already, one for each worker
    config  the file that it came from; "" = none
    recruits  see `enlist`
    Raises StartError.
    """
    from posthouse.adapt import CASE_SENSITIVE
    from posthouse.server import descriptors
    from posthouse.server.gauge import share
    from posthouse.server.group import Group, Options
    from posthouse.server.parts import Settings
    from posthouse.server.pressure import Limits
    from posthouse.server.rights import identity_of

    settings = Settings(
        workers=worker_count(given),
        grace=grace(given),
        pidfile=given.last("--pidfile"),
        is_watching=given.has("--watch"),
        is_quiet=given.has("-quiet"),
        heartbeat=_heartbeat(),
        bound=bound or _given(loaded.config),
        admin=admin_place.of(given, config),
        admin_listen=admin_place.listen_of(given),
        predecessor=succession.predecessor(),
    )
    values = configuration.environment(given.last("--env-file"))
    options = Options(
        values,
        Limits(
            descriptors=descriptors.raise_limit(),
            connections=most_connections(given),
            memory=share(most_memory(given), settings.workers),
        ),
        given.last("--log", "stderr"),
        "json" if given.last("--log-format") == "json" else "text",
        is_case_sensitive=values.get(CASE_SENSITIVE) in ("1", "true"),
        identity=identity_of(given.last("--user")) if given.has("--user") else None,
        origin=succession.origin(given, has_sockets=bound is not None),
        recruits=recruits,
    )
    try:
        return Group(options, reload).serve(loaded, settings)
    except ConfigError as error:
        succession.refuse(error, loaded.sources)
        complain_of_mistakes(error, loaded.sources)
        return 1


def _given(config: Config) -> Mapping[ListenKey, Sequence[socket.socket]]:
    """The sockets that the service manager has opened for us. Raises StartError."""
    from posthouse.server import service_manager
    from posthouse.server.bindings import listen_keys

    try:
        predecessor = succession.predecessor()
        given = service_manager.given_sockets(os.environ) if predecessor is None else predecessor.given
        service_manager.forget_sockets(os.environ)
        return service_manager.by_address(given, listen_keys(config))
    except ValueError as wrong:
        raise StartError(str(wrong)) from None


def _heartbeat() -> float:
    """Seconds until a worker that does not answer is replaced; 0 = never. Raises StartError."""
    from posthouse.config.units import parse_duration
    from posthouse.server.heartbeat import LIMIT_SECONDS

    text = os.environ.get(HEARTBEAT, "")
    if not text:
        return LIMIT_SECONDS
    if text == "off":
        return 0.0
    try:
        seconds = parse_duration(text)
        if seconds < LEAST_HEARTBEAT:
            raise ValueError(f"it is less than {LEAST_HEARTBEAT:g}s")
    except ValueError as wrong:
        raise StartError(f"{HEARTBEAT} is {text!r}, expected a duration as 30s, or off: {wrong}") from None
    return seconds
