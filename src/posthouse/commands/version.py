"""`posthouse version`: what runs here, for people and bug reports."""

from __future__ import annotations

import os
import platform

from posthouse import __version__
from posthouse._build import live
from posthouse.commands.command_line import Command, Given


def _act(given: Given) -> int:
    del given
    print(f"posthouse {__version__}")
    for part, what in live(os.environ.get("POSTHOUSE_LOOP", "")).items():
        print(f"{part:<10} {what}")
    print(f"{'python':<10} {platform.python_implementation()} {platform.python_version()}")
    return 0


COMMAND = Command("version", "show the version, and which accelerators are live", _act)
