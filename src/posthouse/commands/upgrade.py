"""`posthouse upgrade`: have the version that is installed now take the place of one that runs."""

from __future__ import annotations

import sys

from posthouse.commands import admin_place
from posthouse.commands.command_line import Command, Given, Option
from posthouse.commands.report import complain

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
    for mistake in report.get("mistakes", ()):
        print(mistake["shown"], file=sys.stderr)
    complain(f"not upgraded, the old process stays: {report.get('error', f'it says {status}')}")
    return 1


COMMAND = Command(
    "upgrade",
    "have the version that is installed now take over",
    _act,
    options=(
        Option("--config", "FILE", "ask who serves that Caddyfile (default: ./Caddyfile)"),
        Option("--admin", "PATH", "ask who has that admin socket"),
    ),
)
