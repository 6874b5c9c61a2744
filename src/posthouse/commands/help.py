"""`posthouse help [COMMAND]`."""

from __future__ import annotations

from posthouse.commands import COMMANDS, find
from posthouse.commands.command_line import Command, Given, UsageError, suggestion

_HEAD = "posthouse: a reverse proxy and load balancer that speaks the Caddyfile"

_TAIL = """\
Without a command, `posthouse` serves the Caddyfile of the working directory, as `posthouse run`.
Flags of Caddy v1 (-conf, -port ...) and lines of a Caddyfile ("proxy / localhost:9000") work, too.
`posthouse help COMMAND` shows the options of a command.

exit codes  0 done, or stopped as asked
            1 configuration or start failed
            2 wrong command line, or a second signal
signals     TERM INT QUIT drain and stop · USR1 HUP reload and reopen logs"""


def _act(given: Given) -> int:
    if not given.words:
        width = max(map(len, COMMANDS))
        lines = [f"  {name:<{width}}  {find(name).summary}" for name in COMMANDS]
        print("\n".join([_HEAD, "", "commands", *lines, "", _TAIL]))
        return 0
    name = given.words[0]
    if name not in COMMANDS:
        raise UsageError(f"unknown command {name!r}{suggestion(name, COMMANDS)}")
    print(find(name).help())
    return 0


COMMAND = Command("help", "show the commands, or the options of one", _act, usage="[COMMAND]", most=1)
