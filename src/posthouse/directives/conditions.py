"""`if A COND B` and `if_op and|or`, as the blocks of `rewrite` and `redir` share them."""

from __future__ import annotations

from typing import Final

from posthouse.caddyfile.dispenser import Arity, Property
from posthouse.caddyfile.lexer import Token
from posthouse.caddyfile.messages import MATCHER_HINT, did_you_mean, quote
from posthouse.config.patterns import Pattern
from posthouse.config.step_specs import ConditionSpec, ConditionsSpec
from posthouse.directives.arguments import Rejected
from posthouse.directives.placeholder_notices import unknown_placeholders
from posthouse.errors import Notice

PROPERTIES: Final = {"if": Arity(3, 3), "if_op": Arity(1, 1)}

_PLAIN = ("is", "not", "has", "starts_with", "ends_with", "match")
_OPERATORS = (*_PLAIN, *(f"not_{op}" for op in _PLAIN))


class ConditionsDraft:
    """The conditions of one block while it is being read."""

    def __init__(self) -> None:
        self._all: list[ConditionSpec] = []
        self._is_any = False
        self.notices: list[Notice] = []
        """What to say of the lines that were read."""

    def read(self, one: Property) -> bool:
        """Read a line; False if it is neither `if` nor `if_op`. Raises Rejected."""
        if one.name.text == "if":
            self._all.append(_condition(one))
            is_pattern = self._all[-1].op.endswith("match")
            self.notices += unknown_placeholders(one.args[: 1 if is_pattern else None : 2])
        elif one.name.text == "if_op":
            self._is_any = _is_any(one.args[0])
        else:
            return False
        return True

    def finish(self) -> ConditionsSpec:
        return ConditionsSpec(tuple(self._all), self._is_any)


def expression(token: Token) -> str:
    """A regular expression. Raises Rejected."""
    try:
        Pattern(token.text)
    except ValueError as wrong:
        hint = MATCHER_HINT if token.is_word("*") else ""
        raise Rejected(token, f"{quote(token)} is not a regular expression: {wrong}", hint) from None
    return token.text


def _condition(one: Property) -> ConditionSpec:
    left, op, right = one.args
    if op.text not in _OPERATORS:
        what = f"unknown condition {quote(op)}: expected one of {', '.join(_PLAIN)}, or one with `not_` before it"
        raise Rejected(op, what, did_you_mean(op.text, _OPERATORS))
    if op.text.removeprefix("not_") == "match":
        expression(right)
    return ConditionSpec(left.text, op.text, right.text, one.name.place)


def _is_any(arg: Token) -> bool:
    if arg.text not in ("and", "or"):
        raise Rejected(arg, f"expected `and` or `or`, found {quote(arg)}")
    return arg.text == "or"
