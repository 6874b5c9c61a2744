"""`redir [FROM] TO [CODE]` · `redir [CODE] { FROM TO [CODE] · if · if_op }`: the client is sent elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from posthouse.caddyfile.dispenser import Arity, Dispenser, Property
from posthouse.caddyfile.lexer import Token
from posthouse.caddyfile.messages import quote
from posthouse.config.step_specs import ConditionsSpec, RedirectSpec
from posthouse.directives.arguments import Rejected, path
from posthouse.directives.conditions import PROPERTIES, ConditionsDraft
from posthouse.directives.draft import SiteDraft
from posthouse.directives.placeholder_notices import unknown_placeholders
from posthouse.errors import Notice

META: Final = "meta"
_CODES: Final = ("300", "301", "302", "303", "304", "305", "307", "308")
_DEFAULT: Final = RedirectSpec("/", "")


def read(dispenser: Dispenser, site: SiteDraft) -> None:
    """Adds to `site.redirects`. Raises Rejected."""
    draft = ConditionsDraft()
    lines: list[tuple[Token, ...]] = []
    for line in dispenser.lines():
        rest = (line.name, *line.args)
        # As many properties as a line has; what is left of it is a redirect.
        while rest and rest[0].text in PROPERTIES and not rest[0].quoted:
            width = PROPERTIES[rest[0].text].least + 1
            if len(rest) < width:
                hint = "`if A COND B`, `if_op and|or`"
                raise Rejected(rest[0], f"too few arguments for {quote(rest[0])}", hint)
            draft.read(Property(rest[0], rest[1:width]))
            rest = rest[width:]
        if rest:
            lines.append(rest)
    conditions = draft.finish()
    site.notices += draft.notices
    args = dispenser.args
    if not lines:
        if dispenser.check_args(Arity(1, 3)):
            _add(_redirect(args, _DEFAULT, conditions), args, site)
        return
    if not dispenser.check_args(Arity(0, 1)):
        return
    default = _with_code(_DEFAULT, args[0]) if args else _DEFAULT
    for words in lines:
        try:
            _add(_redirect(words, default, conditions), words, site)
        except Rejected as rejected:
            rejected.tell(dispenser)


def _redirect(words: Sequence[Token], default: RedirectSpec, conditions: ConditionsSpec) -> RedirectSpec:
    """TO · FROM TO · FROM TO CODE."""
    if len(words) > 3:
        raise Rejected(words[3], f"too many arguments: found {quote(words[3])}, expected FROM TO [CODE]")
    source, to = ("/", words[0]) if len(words) == 1 else (_source(words[0]), words[1])
    if len(words) == 1 and (to.text in _CODES or to.text == META):
        raise Rejected(to, f"{quote(to)} is a code: a TO is missing")
    spec = _with_code(default, words[2]) if len(words) == 3 else default
    if not to.text.strip():
        raise Rejected(to, "TO is empty")
    if source == to.text:
        raise Rejected(to, f"FROM and TO are the same, {quote(to)}: that would go round in circles")
    return RedirectSpec(source, to.text, spec.status, spec.is_meta, conditions, words[0].place)


def _source(arg: Token) -> str:
    source = path(arg, "FROM")
    if "?" in source:
        hint = "to look at an argument, write `if {?NAME} is VALUE` in a block"
        raise Rejected(arg, f"FROM is a path without a query, found {quote(arg)}: it would never match", hint)
    return source


def _with_code(default: RedirectSpec, arg: Token) -> RedirectSpec:
    if arg.text == META:
        return RedirectSpec("/", "", default.status, is_meta=True)
    if arg.text not in _CODES:
        raise Rejected(arg, f"expected a code, 300 to 308 but 306, or `{META}`, found {quote(arg)}")
    return RedirectSpec("/", "", int(arg.text))


def _add(spec: RedirectSpec, words: Sequence[Token], site: SiteDraft) -> None:
    first = words[0]
    for other in site.redirects:
        if other.source == spec.source and not other.conditions.all and not spec.conditions.all:
            what = f"`{spec.source}` is redirected already, to `{other.to}` ({other.place})"
            raise Rejected(first, what, "the first line that matches is used")
    if spec.source == "/" and spec.to.startswith("/") and "{" not in spec.to and not spec.conditions.all:
        what = f"every request is redirected to `{spec.to}`, that for `{spec.to}` too: this goes round in circles"
        site.notices.append(Notice(first.place, what, first.width))
    site.notices += unknown_placeholders(words[:2][-1:])
    site.redirects.append(spec)
