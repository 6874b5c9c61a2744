"""`posthouse reload`: have a Posthouse that runs read its configuration again, and say how that went."""

from __future__ import annotations

import sys

from posthouse.commands import admin_place
from posthouse.commands.command_line import Command, Given
from posthouse.commands.report import complain_of_refusal

SECONDS = 120.0
"""How long the answer is waited for: names that the new configuration needs are asked for on the way."""


def _act(given: Given) -> int:
    from posthouse.admin.client import ask

    status, report = ask(admin_place.asked(given), "POST", "/reload", SECONDS)
    if status == 200:
        print(
            f"reloaded: generation {report['generation']}, sites {report['sites']},"
            f" changed {report['changed']}, {report['took_ms']}ms"
        )
        sys.stdout.flush()
        return 0
    complain_of_refusal("not reloaded, the old configuration stays", status, report)
    return 1


COMMAND = Command(
    "reload",
    "have a Posthouse that runs read its Caddyfile again",
    _act,
    options=admin_place.ASK_OPTIONS,
)
