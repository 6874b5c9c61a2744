"""`posthouse upgrade`: have the version that is installed now take the place of one that runs."""

from __future__ import annotations

import sys

from posthouse.commands import admin_place
from posthouse.commands.command_line import Command, Given
from posthouse.commands.report import complain_of_refusal

SECONDS = 120.0
"""How long the answer is waited for; Posthouse itself gives up before."""


def _act(given: Given) -> int:
    from posthouse.admin.client import ask

    status, report = ask(admin_place.asked(given), "POST", "/upgrade", SECONDS)
    if status == 200:
        before = report["before"]
        print(
            f"upgraded: {before['version']} (pid {before['pid']}) drains, "
            f"{report['version']} (pid {report['pid']}) serves"
        )
        sys.stdout.flush()
        return 0
    complain_of_refusal("not upgraded, the old process stays", status, report)
    return 1


COMMAND = Command(
    "upgrade",
    "have the version that is installed now take over",
    _act,
    options=admin_place.ASK_OPTIONS,
)
