"""`header PATH NAME VALUE` or `header PATH { NAME VALUE ... }`: rules for the responses of a path."""

from __future__ import annotations

from collections.abc import Sequence

from posthouse.caddyfile.dispenser import Arity, Dispenser
from posthouse.caddyfile.lexer import Token
from posthouse.config.specs import HeaderRule, HeaderScopeSpec
from posthouse.directives.arguments import Rejected, path
from posthouse.directives.draft import SiteDraft
from posthouse.directives.header_rules import header_rule, rule_notices


def read(dispenser: Dispenser, site: SiteDraft) -> None:
    """Adds to `site.headers`. Raises Rejected."""
    if not dispenser.check_args(Arity(1, 1) if dispenser.has_block else Arity(2, 3)):
        return
    scope = path(dispenser.args[0], "the path of `header`")
    rules: list[HeaderRule] = []
    lines = (
        [(one.name, *one.args) for one in dispenser.lines()] if dispenser.has_block else [dispenser.args[1:]]
    )
    for line in lines:
        for rule in _rules(line):
            try:
                rules.append(header_rule(rule[0], rule[1:]))
                site.notices += rule_notices(rule[0], rule[1:])
            except Rejected as rejected:
                rejected.tell(dispenser)
    if rules:
        site.headers.append(HeaderScopeSpec(scope, tuple(rules), dispenser.name.place))


def _rules(line: Sequence[Token]) -> list[Sequence[Token]]:
    """The rules that stand on one line: a name to remove stands alone, any other has a value after it.

    An odd word at the end is a third word of the last rule.
    """
    rules: list[Sequence[Token]] = []
    at = 0
    while at < len(line):
        width = 1 if line[at].text.startswith("-") else 2
        if at + width + 1 == len(line) and not line[at + width].text.startswith("-"):
            width += 1
        rules.append(line[at : at + width])
        at += width
    return rules
