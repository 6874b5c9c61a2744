"""Where the configuration comes from: --config and --env-file, for every command that reads one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from posthouse.commands.command_line import Given, Option
from posthouse.errors import StartError

if TYPE_CHECKING:
    from posthouse.adapt import Adapted

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


def load(given: Given) -> Adapted:
    """Read and adapt the configuration, with the environment as it is now.

    Raises AdaptError, and StartError if a file cannot be read.
    """
    from posthouse.adapt import adapt_file

    return adapt_file(path_of(given), env=environment(given.last("--env-file")))


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
