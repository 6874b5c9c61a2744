"""`timeouts D` or `timeouts { header|body|idle|read|write D }`: how long a downstream peer may take."""

from __future__ import annotations

from dataclasses import replace

from posthouse.caddyfile.dispenser import Arity, Dispenser, Property
from posthouse.caddyfile.lexer import Token
from posthouse.config.specs import TimeoutsSpec
from posthouse.directives.arguments import Rejected, each, wait
from posthouse.directives.draft import SiteDraft

_NAMES = ("header", "body", "idle", "read", "write")
_TABLE = {name: Arity(1, 1) for name in _NAMES}


def read(dispenser: Dispenser, site: SiteDraft) -> None:
    """Sets fields of `site.timeouts`. A single duration is meant for all of them. Raises Rejected."""
    if not dispenser.check_args(Arity(0, 1)):
        return
    args = dispenser.args
    if bool(args) == dispenser.has_block:
        raise Rejected(dispenser.name, "`timeouts` takes either one duration or a block")
    if args:
        for name in _NAMES:
            site.timeouts = _with(site.timeouts, name, args[0])
        return

    def read_one(one: Property) -> None:
        site.timeouts = _with(site.timeouts, one.name.text, one.args[0])

    each(dispenser, dispenser.properties(_TABLE), read_one)


def _with(timeouts: TimeoutsSpec, name: str, arg: Token) -> TimeoutsSpec:
    seconds = wait(arg)
    given = timeouts.given | {name}
    match name:
        case "header":
            return replace(timeouts, header=seconds, given=given)
        case "body":
            return replace(timeouts, body=seconds, given=given)
        case "idle":
            return replace(timeouts, idle=seconds, given=given)
        case "read":
            return replace(timeouts, read=seconds, given=given)
        case _:
            return replace(timeouts, write=seconds, given=given)
