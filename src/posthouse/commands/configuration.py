"""Where the configuration comes from: --config and --env-file, for every command that reads one."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from posthouse.commands.command_line import Given, Option, UsageError
from posthouse.errors import StartError

if TYPE_CHECKING:
    from posthouse.adapt import Adapted
    from posthouse.config.addresses import Defaults

DEFAULT_CONFIG = "Caddyfile"
STDIN = "-"

OPTIONS = (
    Option("--config", "FILE|-", "the Caddyfile; - is stdin (default: ./Caddyfile)"),
    Option("--env-file", "FILE", "further environment values for {$NAME}: a KEY=VALUE per line"),
)


def path_of(given: Given) -> str:
    """The file that the command line names: --config, else its word, else ./Caddyfile. Raises StartError."""
    path = given.last("--config") or (given.words[0] if given.words else "")
    if not path and not os.path.exists(DEFAULT_CONFIG):
        raise StartError("there is no Caddyfile in the working directory (--config FILE names another)")
    return path or DEFAULT_CONFIG


def name_of(given: Given) -> str:
    """What the configuration is called when one speaks of it. Raises StartError as `path_of`."""
    if is_command_line(given):
        return "the command line"
    path = path_of(given)
    return "stdin" if path == STDIN else path


def is_command_line(given: Given) -> bool:
    """Whether the command line itself is the configuration: by its lines, or by -root where no file is."""
    has_file = given.has("--config") or given.words or os.path.exists(DEFAULT_CONFIG)
    return bool(given.lines) or (given.has("-root") and not has_file)


def can_change(given: Given) -> bool:
    """Whether the configuration can be read a second time."""
    return not is_command_line(given) and given.last("--config") != STDIN


def load(given: Given, before: Adapted | None = None) -> Adapted:
    """Read and adapt the configuration, with the environment as it is now.

    before  what came of it last time, so that only what has changed is read again
    Raises AdaptError (with the mistakes of policies in it, which only building judges), StartError if a file
    cannot be read, UsageError.
    """
    from posthouse.adapt import adapt_file, adapt_lines

    fallback = defaults(given)
    env = environment(given.last("--env-file"))
    if is_command_line(given):
        return with_all_mistakes(lambda: adapt_lines(given.lines, env=env, defaults=fallback))
    return with_all_mistakes(lambda: adapt_file(path_of(given), env=env, defaults=fallback, before=before))


def with_all_mistakes(adapt: Callable[[], Adapted]) -> Adapted:
    """What `adapt` gives. Its AdaptError also gets the mistakes of policies, which only building would judge."""
    from posthouse.adapt import AdaptError

    try:
        return adapt()
    except AdaptError as error:
        from posthouse.server.process import judge_policies

        further = judge_policies(error.policies)
        raise AdaptError([*error.mistakes, *further], error.sources) from None


def defaults(given: Given) -> Defaults:
    """What -host, -port, -http-port and -root say. Raises UsageError."""
    from posthouse.config.addresses import DEFAULT_PORT, HTTP_PORT, Defaults

    return Defaults(
        _host(given.last("-host")),
        _port(given, "-port", DEFAULT_PORT),
        _port(given, "-http-port", HTTP_PORT),
        given.last("-root"),
    )


def _host(text: str) -> str:
    from posthouse.config.addresses import parse_address
    from posthouse.errors import NOWHERE, ConfigError

    host = f"[{text}]" if text.count(":") > 1 and not text.startswith("[") else text
    try:
        if any(mark in host.rpartition("]")[2] for mark in ":/"):
            raise UsageError(f"-host is {text!r}, expected the name of a host or an address without a port")
        parse_address(f"{host}:1", NOWHERE)
    except ConfigError as wrong:
        raise UsageError(f"-host is {text!r}: {wrong.mistakes[0].message}") from None
    return host


def _port(given: Given, name: str, default: int) -> int:
    text = given.last(name, str(default))
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or int(text) > 65535:
        raise UsageError(f"{name} is {text!r}, expected a port (0 to 65535)")
    return int(text)


def environment(env_file: str) -> dict[str, str]:
    """The environment with the values of `env_file` ("" = none) in front. Raises StartError."""
    values = dict(os.environ)
    if env_file:
        try:
            with open(env_file, encoding="utf-8") as file:
                values.update(parse_environment(file.read(), env_file))
        except OSError as error:
            raise StartError(f"cannot read {env_file}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise StartError(f"cannot read {env_file}: it is not UTF-8 text") from None
    return values


def parse_environment(text: str, file: str) -> dict[str, str]:
    """KEY=VALUE per line, `#` begins a comment line, quotes mean nothing (as in v1). Raises StartError."""
    values: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, mark, value = line.partition("=")
        name = name.strip()
        if not mark or not name or any(character.isspace() for character in name):
            raise StartError(f"{file}:{number}: expected KEY=VALUE")
        values[name] = value.strip()
    return values
