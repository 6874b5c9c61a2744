"""`posthouse adapt`: the configuration that a Caddyfile means, as JSON."""

from __future__ import annotations

import sys

from posthouse.commands import configuration
from posthouse.commands.command_line import Command, Given
from posthouse.commands.report import show_notices


def _act(given: Given) -> int:
    from posthouse.config.dump import dump

    adapted = configuration.load(given)
    show_notices(adapted.config.notices, adapted.sources)
    sys.stdout.write(dump(adapted.config))
    sys.stdout.flush()
    return 0


COMMAND = Command(
    "adapt",
    "print what a Caddyfile means, as JSON (credentials are shown as ***)",
    _act,
    options=configuration.OPTIONS,
    usage="[FILE|-]",
    most=1,
)
