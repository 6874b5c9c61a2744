"""`posthouse run`: serve a Caddyfile until stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posthouse.commands import configuration, serving
from posthouse.commands.command_line import Command, Given, Option, UsageError

if TYPE_CHECKING:
    from posthouse.adapt import Adapted


def _act(given: Given) -> int:
    serving.check(given)
    if given.has("--config") and not given.last("--config"):
        raise UsageError("--config needs the name of a file")
    is_stdin = given.last("--config") == configuration.STDIN
    if is_stdin and given.has("--watch"):
        raise UsageError("--watch needs a file, not stdin")

    def again() -> Adapted | None:
        return None if is_stdin else configuration.load(given)

    return serving.serve(given, configuration.load(given), again)


COMMAND = Command(
    "run",
    "serve a Caddyfile until stopped",
    _act,
    options=(
        *configuration.OPTIONS,
        Option("--watch", "", "look at the files each second and reload when they change"),
        *serving.OPTIONS,
    ),
)
