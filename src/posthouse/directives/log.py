"""`log` · `log FILE` · `log PATH FILE` · `log PATH FILE FORMAT`: one line per exchange."""

from __future__ import annotations

from typing import Literal

from posthouse.caddyfile.dispenser import Arity, Dispenser
from posthouse.caddyfile.lexer import Token
from posthouse.config.specs import LogSpec
from posthouse.directives.arguments import Rejected, path
from posthouse.directives.draft import SiteDraft

Format = Literal["common", "combined", "json"]

_FORMATS: dict[str, Format] = {
    "{common}": "common",
    "{combined}": "combined",
    "json": "json",
    "{json}": "json",
}
_DEFAULT = LogSpec()


def read(dispenser: Dispenser, site: SiteDraft) -> None:
    """Adds to `site.logs`. Raises Rejected."""
    if not dispenser.check_args(Arity(0, 3)):
        return
    args = dispenser.args
    if dispenser.has_block:
        raise Rejected(
            dispenser.name, "the block of `log` (rotate_*, ipmask, except) is not in this release yet"
        )
    scope = path(args[0], "the path of `log`") if len(args) > 1 else _DEFAULT.path
    output = _output(args[0 if len(args) == 1 else 1]) if args else _DEFAULT.output
    form = _format(args[2]) if len(args) == 3 else _DEFAULT.format
    site.logs.append(LogSpec(scope, output, form, dispenser.name.place))


def _output(arg: Token) -> str:
    text = arg.text
    if not text or "\0" in text:
        raise Rejected(arg, "expected a file, `stdout` or `stderr`, found an empty name")
    if text == "syslog" or text.startswith(("syslog://", "syslog+udp://", "syslog+tcp://")):
        raise Rejected(arg, f"logging to `{text}` is not in this release yet", "write a file or `stdout`")
    return text


def _format(arg: Token) -> Format:
    known = _FORMATS.get(arg.text)
    if known is not None:
        return known
    hint = f"did you mean `{{{arg.text}}}`?" if arg.text in ("common", "combined") else ""
    expected = "expected `{common}`, `{combined}` or `json`"
    raise Rejected(arg, f"custom log formats are not in this release yet: {expected}", hint)
