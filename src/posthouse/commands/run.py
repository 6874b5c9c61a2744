"""`posthouse run`: serve a Caddyfile until stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posthouse.commands import configuration, serving
from posthouse.commands.command_line import Command, Given, Option, UsageError

if TYPE_CHECKING:
    from posthouse.adapt import Adapted
    from posthouse.server.recruits import Recruits


def _act(given: Given) -> int:
    serving.check(given)
    if given.has("--config") and not given.last("--config"):
        raise UsageError("--config needs the name of a file")
    can_change = configuration.can_change(given)
    if given.has("--watch") and not can_change:
        raise UsageError("--watch needs a file, not stdin and not the command line")

    with serving.enlist(given) as recruits:
        return _serve(given, recruits, can_change=can_change)


def _serve(given: Given, recruits: Recruits, *, can_change: bool) -> int:
    first = last = configuration.load(given)

    def again() -> Adapted | None:
        nonlocal last
        if not can_change:
            return None
        sites = [*last.config.sites]
        last = configuration.load(given, last)
        while sites:  # one by one: freeing 5,000 at once would hold up what is served for 40 ms
            sites.pop()
        return last

    config = configuration.path_of(given) if can_change else ""
    return serving.serve(given, first, again, config=config, recruits=recruits)


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
