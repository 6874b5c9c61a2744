"""`tcp { backlog N · keepalive D · nodelay on|off }`: settings of listening sockets and what they accept."""

from __future__ import annotations

from dataclasses import replace

from posthouse.caddyfile.dispenser import Arity, Dispenser, Property
from posthouse.caddyfile.lexer import Token
from posthouse.caddyfile.messages import quote
from posthouse.directives.arguments import Rejected, count, each, switch, wait
from posthouse.directives.draft import SiteDraft

_ONE = Arity(1, 1)
_TABLE = {"backlog": _ONE, "keepalive": _ONE, "nodelay": _ONE}
MOST_BACKLOG = 65535
"""More the kernel never keeps: its own limit (net.core.somaxconn) is a number of 16 bits in old ones."""
MOST_IDLE = 32767
"""Seconds; the kernel's limit (MAX_TCP_KEEPIDLE)."""


def read(dispenser: Dispenser, site: SiteDraft) -> None:
    """Sets fields of `site.tcp`. Raises Rejected."""
    if not dispenser.check_args(Arity(0, 0)):
        return
    if not dispenser.has_block:
        raise Rejected(dispenser.name, "`tcp` needs a block", "write `tcp { keepalive 1m }`")
    each(dispenser, dispenser.properties(_TABLE), lambda one: _read_one(one, site))


def _read_one(one: Property, site: SiteDraft) -> None:
    arg, given = one.args[0], site.tcp.given | {one.name.text}
    match one.name.text:
        case "backlog":
            backlog = count(arg, least=1)
            if backlog > MOST_BACKLOG:
                raise Rejected(arg, f"must be at most {MOST_BACKLOG}, found {quote(arg)}")
            site.tcp = replace(site.tcp, backlog=backlog, given=given)
        case "keepalive":
            site.tcp = replace(site.tcp, keepalive=keepalive(arg), given=given)
        case _:
            site.tcp = replace(site.tcp, nodelay=switch(arg), given=given)


def keepalive(arg: Token) -> float | None:
    """Seconds, whole ones, as the kernel counts them; None: off."""
    seconds = wait(arg)
    if seconds is not None and (not 1 <= seconds <= MOST_IDLE or seconds != int(seconds)):
        raise Rejected(
            arg, f"expected whole seconds from `1s` to `{MOST_IDLE}s` or `off`, found {quote(arg)}"
        )
    return seconds
