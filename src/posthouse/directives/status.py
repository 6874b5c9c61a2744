"""`status CODE PATH` · `status CODE { PATH... }`: a path is answered with a status."""

from __future__ import annotations

from posthouse.caddyfile.dispenser import Arity, Dispenser
from posthouse.caddyfile.lexer import Token
from posthouse.caddyfile.messages import quote
from posthouse.config.step_specs import StatusSpec
from posthouse.directives.arguments import Rejected, count, path
from posthouse.directives.draft import SiteDraft


def read(dispenser: Dispenser, site: SiteDraft) -> None:
    """Adds to `site.statuses`. Raises Rejected."""
    has_block = dispenser.has_block
    if not dispenser.check_args(Arity(1, 1) if has_block else Arity(2, 2)):
        return
    args = dispenser.args
    code = _code(args[0])
    paths = (
        [word for line in dispenser.lines() for word in (line.name, *line.args)] if has_block else [args[1]]
    )
    if not paths:
        raise Rejected(dispenser.name, "`status` has no path: expected one or more in its block")
    for word in paths:
        try:
            site.statuses.append(StatusSpec(code, _path(word, site), word.place))
        except Rejected as rejected:
            dispenser.fail(rejected.token, rejected.message, rejected.hint)


def _code(arg: Token) -> int:
    code = count(arg)
    if not 200 <= code <= 999:
        hint = "a status below 200 is not an answer (RFC 9110 15.2)" if 100 <= code < 200 else ""
        raise Rejected(arg, f"expected a status from 200 to 999, found {quote(arg)}", hint)
    return code


def _path(word: Token, site: SiteDraft) -> str:
    text = path(word, "the path of `status`")
    for other in site.statuses:
        if other.path == text:
            raise Rejected(word, f"{quote(word)} has a status already: {other.status} ({other.place})")
    return text
