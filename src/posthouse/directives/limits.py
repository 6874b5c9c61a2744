"""`limits SIZE` or `limits { header SIZE · fields N · body [PATH] SIZE · connections N }`."""

from __future__ import annotations

from dataclasses import replace

from posthouse.caddyfile.dispenser import Arity, Dispenser, Property
from posthouse.caddyfile.lexer import Token
from posthouse.caddyfile.messages import unit_hint
from posthouse.config.specs import LimitsSpec
from posthouse.config.units import NO_LIMIT
from posthouse.directives.arguments import OFF, Rejected, count, each, path, size
from posthouse.directives.draft import SiteDraft
from posthouse.errors import Notice

_TABLE = {"header": Arity(1, 1), "fields": Arity(1, 1), "body": Arity(1, 2), "connections": Arity(1, 1)}


def read(dispenser: Dispenser, site: SiteDraft) -> None:
    """Sets fields of `site.limits`. A single size is meant for heads and for bodies. Raises Rejected."""
    if not dispenser.check_args(Arity(0, 1)):
        return
    args = dispenser.args
    if bool(args) == dispenser.has_block:
        raise Rejected(dispenser.name, "`limits` takes either one size or a block")
    if args:
        bytes_ = size(args[0])
        site.limits = _with_header(_with_body(site.limits, "/", bytes_), bytes_)
        return
    each(dispenser, dispenser.properties(_TABLE), lambda one: _read_one(one, site))


def _read_one(one: Property, site: SiteDraft) -> None:
    last = one.args[-1]
    match one.name.text:
        case "header":
            site.limits = _with_header(site.limits, size(last))
        case "body":
            if hint := unit_hint(one.args[0], last):
                raise Rejected(last, "found a blank before the unit, expected one size", hint)
            scope = path(one.args[0], "the path of `body`") if len(one.args) == 2 else "/"
            site.limits = _with_body(site.limits, scope, size(last))
            return
        case "fields":
            site.limits = replace(site.limits, fields=_count(last), given=site.limits.given | {"fields"})
        case _:
            given = site.limits.given | {"connections"}
            site.limits = replace(site.limits, connections=_count(last), given=given)
    if last.text == OFF:
        what = f"`{one.name.text} off`: what one client can make Posthouse hold is without limit"
        site.notices.append(Notice(last.place, what, last.width))


def _count(arg: Token) -> int:
    return NO_LIMIT if arg.text == OFF else count(arg, least=1)


def _with_header(limits: LimitsSpec, bytes_: int) -> LimitsSpec:
    return replace(limits, header=bytes_, given=limits.given | {"header"})


def _with_body(limits: LimitsSpec, scope: str, bytes_: int) -> LimitsSpec:
    """A path that comes twice counts as written last."""
    kept = tuple(one for one in limits.body if one[0] != scope)
    return replace(limits, body=(*kept, (scope, bytes_)))
