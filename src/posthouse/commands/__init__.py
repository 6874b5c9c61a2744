"""The commands of `posthouse`, one file each: a `COMMAND` that says what it takes and does it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from posthouse.commands.command_line import Command

COMMANDS = (
    *("run", "proxy", "demo", "status", "backend", "reload", "upgrade", "validate", "plan", "fmt"),
    *("adapt", "version", "help"),
)
"""In the order that `posthouse help` lists them. A command is imported when it is asked for: most of start-up
is imports."""


def find(name: str) -> Command:
    """The command of that name, one of COMMANDS."""
    return cast("Command", import_module(f"posthouse.commands.{name}").COMMAND)
