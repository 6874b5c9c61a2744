"""Header rules as `header`, `header_upstream` and `header_downstream` share them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from posthouse.caddyfile.lexer import Token
from posthouse.caddyfile.messages import quote
from posthouse.config.patterns import Pattern
from posthouse.config.specs import HeaderOp, HeaderRule
from posthouse.directives.arguments import Rejected
from posthouse.directives.placeholder_notices import unknown_placeholders
from posthouse.errors import Notice

_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110 5.1: a token."""
_UNSENDABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_FRAMING = ("content-length", "transfer-encoding")
_HOP_BY_HOP = ("keep-alive", "te", "trailer", "expect")
"""Connection and Upgrade are not among them: hand-written forms of the `websocket` preset set those, and upgrades
pass anyway."""


def header_rule(name: Token, values: Sequence[Token]) -> HeaderRule:
    """`NAME VALUE` sets, `+NAME VALUE` adds, `-NAME [VALUE]` removes, `NAME REGEX REPLACEMENT` rewrites.

    Only a name to remove may hold a `*`, at its beginning or end. Values and replacements are templates; a
    replacement may also refer to groups of the expression (`$1`). Raises Rejected.
    """
    op, plain = _sign(name.text)
    if plain.lower() in _FRAMING:
        raise Rejected(name, f"no rule can change `{plain}`: it is part of how a message is framed")
    if plain.lower() in _HOP_BY_HOP:
        raise Rejected(name, f"no rule can change `{plain}`: it ends at each proxy (RFC 9110 7.6.1)")
    if op == "remove":
        if len(values) > 1:
            raise Rejected(values[1], f"too many arguments: a name to remove, {quote(name)}, stands alone")
        return HeaderRule(op, _pattern(name, plain), "", name.place)
    field_name(name, plain)
    if not values:
        raise Rejected(
            name, f"a value for {quote(name)} is missing", f"to remove the field, write `-{plain}`"
        )
    if len(values) > 1:
        return _replacement(op, name, values)
    if _UNSENDABLE.search(values[0].text):
        raise Rejected(values[0], "a field's value has no line breaks or other control characters in it")
    return HeaderRule(op, plain, values[0].text, name.place)


def rule_notices(name: Token, values: Sequence[Token]) -> list[Notice]:
    """What to say of a rule that is used all the same: v1 ignored these things without a word."""
    if not name.text.startswith("-"):
        return unknown_placeholders(values[-1:], is_replacement=len(values) > 1)
    if not (values and values[0].text):
        return []
    plain = name.text[1:]
    what = f"{quote(values[0])} is ignored: `-{plain}` removes the field, whatever its value; `{plain} VALUE` sets it"
    return [Notice(values[0].place, what, values[0].width)]


def _replacement(op: HeaderOp, name: Token, values: Sequence[Token]) -> HeaderRule:
    hint = "a value with blanks in it stands in quotes"
    if len(values) > 2:
        raise Rejected(values[2], f"too many arguments for the rule {quote(name)}", hint)
    if op == "add":
        what = f"{quote(name)} with two arguments: a field cannot be added by a regular expression"
        raise Rejected(name, what, f"write `{name.text[1:]} REGEX REPLACEMENT`; {hint}")
    pattern, replacement = values
    try:
        Pattern(pattern.text)
    except ValueError as wrong:
        raise Rejected(pattern, f"{quote(pattern)} is not a regular expression: {wrong}", hint) from None
    if _UNSENDABLE.search(replacement.text):
        raise Rejected(replacement, "a field's value has no line breaks or other control characters in it")
    return HeaderRule("replace", name.text, replacement.text, name.place, pattern.text)


def field_name(token: Token, name: str) -> str:
    """`name` if it can be a field's name; `token` is where it stands. Raises Rejected."""
    if not name:
        raise Rejected(token, "a field name is empty")
    if _FIELD_NAME.fullmatch(name) is None:
        hint = f"write `{name[:-1]}`" if name.endswith(":") else ""
        raise Rejected(token, f"`{name}` is not a field name", hint)
    if "*" in name:
        raise Rejected(
            token, f"`{name}`: only a name to remove can have a `*` in it", f"`-{name}` would remove"
        )
    return name


def _sign(text: str) -> tuple[HeaderOp, str]:
    if text.startswith("+"):
        return "add", text[1:]
    if text.startswith("-"):
        return "remove", text[1:]
    return "set", text


def _pattern(token: Token, pattern: str) -> str:
    stem = pattern[1:] if pattern.startswith("*") else pattern.removesuffix("*")
    if not stem and pattern:
        raise Rejected(token, f"`-{pattern}` would remove every field")
    if "*" in stem:
        raise Rejected(token, f"`-{pattern}`: a `*` stands at the beginning or at the end of a name, once")
    field_name(token, stem)
    return pattern
