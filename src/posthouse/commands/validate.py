"""`posthouse validate`: would this Caddyfile be served? Tells every mistake that shows without starting."""

from __future__ import annotations

from posthouse.commands import configuration
from posthouse.commands.command_line import Command, Given
from posthouse.commands.report import complain_of_mistakes, show_notices
from posthouse.errors import ConfigError


def _act(given: Given) -> int:
    from posthouse.server.process import dry_build

    loaded = configuration.load(given)
    try:
        dry_build(loaded.config)
    except ConfigError as error:
        complain_of_mistakes(error, loaded.sources)
        return 1
    show_notices(loaded.config.notices, loaded.sources)
    print(f"{configuration.name_of(given)} is valid")
    return 0


COMMAND = Command(
    "validate",
    "check a Caddyfile without serving it",
    _act,
    options=configuration.OPTIONS,
    usage="[FILE|-]",
    most=1,
)
