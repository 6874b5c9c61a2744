"""`log` · `log FILE` · `log PATH FILE` · `log PATH FILE FORMAT`, each with a block: one line per exchange."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import replace

from posthouse.caddyfile.dispenser import Arity, Dispenser, Property
from posthouse.caddyfile.lexer import Token
from posthouse.caddyfile.messages import quote
from posthouse.config.specs import LogSpec
from posthouse.directives.arguments import Rejected, each, path
from posthouse.directives.draft import SiteDraft
from posthouse.directives.log_output import ROTATION, read_output, read_rotation, rotation_notices
from posthouse.directives.placeholder_notices import LINES, unknown_placeholders

_FORMATS = {"{common}": "common", "{combined}": "combined", "json": "json", "{json}": "json"}
_PLACEHOLDER = re.compile(r"(?<!\\)\{.*?(?<!\\)\}", re.DOTALL)
_TABLE = {"except": Arity(1, None), "ipmask": Arity(1, 2), **ROTATION}
_ELSEWHERE = {
    "output": "that is Caddy 2's; here it is `log FILE`",
    "format": "that is Caddy 2's; here it is `log PATH FILE FORMAT`, where `json` is a format",
    "level": "that is Caddy 2's; here each request is one line",
}
_DEFAULT = LogSpec()


def read(dispenser: Dispenser, site: SiteDraft) -> None:
    """Adds to `site.logs`. Raises Rejected."""
    if not dispenser.check_args(Arity(0, 3)):
        return
    args = dispenser.args
    scope = path(args[0], "the path of `log`") if len(args) > 1 else _DEFAULT.path
    output = read_output(args[0 if len(args) == 1 else 1]) if args else _DEFAULT.output
    form = _format(args[2]) if len(args) == 3 else _DEFAULT.format
    log = LogSpec(scope, output, form, dispenser.name.place)

    def read_one(one: Property) -> None:
        nonlocal log
        log = _with(log, one)

    each(dispenser, dispenser.properties(_TABLE, _ELSEWHERE), read_one)
    site.notices += rotation_notices(output, log.rotation)
    if log.format not in _FORMATS.values():
        site.notices += unknown_placeholders(args[2:], LINES)
    site.logs.append(log)


def _with(log: LogSpec, one: Property) -> LogSpec:
    match one.name.text:
        case "except":
            excepts = tuple(path(token, "a path of `except`") for token in one.args)
            return replace(log, excepts=(*log.excepts, *excepts))
        case "ipmask":
            v6 = _mask(one.args[1], 6) if len(one.args) == 2 else ""
            return replace(log, ipmask=(_mask(one.args[0], 4), v6))
        case _:
            return replace(log, rotation=read_rotation(one, log.rotation))


def _mask(token: Token, version: int) -> str:
    """A mask as an address in normal form; `""` is none."""
    if not token.text:
        return ""
    example = "255.255.0.0" if version == 4 else "ffff:ffff::"
    try:
        mask = ipaddress.ip_address(token.text)
    except ValueError:
        mask = None
    if mask is None or mask.version != version:
        what = f"`ipmask` expects a mask for IPv{version} such as `{example}`, found {quote(token)}"
        raise Rejected(token, what, 'write `""` to leave such addresses as they are')
    return str(mask)


def _format(arg: Token) -> str:
    known = _FORMATS.get(arg.text)
    if known is not None:
        return known
    if _PLACEHOLDER.search(arg.text) is None:
        hint = f"did you mean `{{{arg.text}}}`?" if arg.text in ("common", "combined") else ""
        what = f"a log format needs a placeholder such as `{{common}}` or `{{uri}}`, found {quote(arg)}"
        raise Rejected(arg, f"{what}: every line would be the same", hint)
    if "\n" in arg.text or "\r" in arg.text:
        raise Rejected(arg, "a log format has no line break in it: one request is one line")
    if "{json}" in arg.text:
        raise Rejected(arg, "`{json}` is a whole line and cannot be a part of another format")
    return arg.text
