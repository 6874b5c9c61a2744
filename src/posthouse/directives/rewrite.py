"""`rewrite [not] FROM TO...` · `rewrite [BASEPATH] { regexp · ext · if · if_op · to }`: another path of the site."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from posthouse.caddyfile.dispenser import Arity, Dispenser, Property
from posthouse.caddyfile.lexer import Token
from posthouse.caddyfile.messages import quote
from posthouse.config.step_specs import RewriteSpec
from posthouse.directives import conditions
from posthouse.directives.arguments import Rejected, each, path
from posthouse.directives.conditions import ConditionsDraft, expression
from posthouse.directives.draft import SiteDraft
from posthouse.directives.placeholder_notices import unknown_placeholders

_PROPERTIES: Final = {
    "regexp": Arity(1, 1),
    "r": Arity(1, 1),
    "ext": Arity(1, None),
    "to": Arity(1, None),
    **conditions.PROPERTIES,
}
_PLACEHOLDER = re.compile(r"(?<!\\)\{.*?(?<!\\)\}", re.DOTALL)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def read(dispenser: Dispenser, site: SiteDraft) -> None:
    """Adds to `site.rewrites`. Raises Rejected."""
    if dispenser.has_block:
        _read_block(dispenser, site)
    elif dispenser.check_args(Arity(2, None)):
        args = dispenser.args
        is_negated = args[0].is_word("not")
        if is_negated:
            args = args[1:]
        if len(args) < 2:
            raise Rejected(args[-1], "a TO is missing: expected `rewrite not FROM TO...`")
        site.rewrites.append(
            RewriteSpec(
                _destinations(args[1:]),
                pattern=expression(args[0]),
                is_negated=is_negated,
                place=dispenser.name.place,
            )
        )
        site.notices += unknown_placeholders(args[1:], has_groups=True)


def _read_block(dispenser: Dispenser, site: SiteDraft) -> None:
    if not dispenser.check_args(Arity(0, 1)):
        return
    base = path(dispenser.args[0], "the base path of `rewrite`") if dispenser.args else "/"
    draft = ConditionsDraft()
    found: dict[str, Property] = {}

    def read_one(one: Property) -> None:
        name = "regexp" if one.name.text == "r" else one.name.text
        if not draft.read(one):
            found[name] = one
            if name == "regexp":
                expression(one.args[0])
            elif name == "ext":
                _extensions(one.args)
            else:
                _destinations(one.args)

    properties = dispenser.properties(_PROPERTIES)
    each(dispenser, properties, read_one)
    if dispenser.mistakes:
        return
    if "to" not in found:
        raise Rejected(dispenser.name, "`rewrite` has no `to`: expected one or more paths to rewrite to")
    site.rewrites.append(
        RewriteSpec(
            _destinations(found["to"].args),
            base,
            pattern=found["regexp"].args[0].text if "regexp" in found else "",
            extensions=_extensions(found["ext"].args) if "ext" in found else (),
            conditions=draft.finish(),
            place=dispenser.name.place,
        )
    )
    site.notices += draft.notices
    site.notices += unknown_placeholders(found["to"].args, has_groups=True)


def _extensions(args: tuple[Token, ...]) -> tuple[str, ...]:
    for arg in args:
        plain = arg.text.removeprefix("!")
        if plain != "/" and (not plain.startswith(".") or len(plain) < 2 or plain.rfind(".") > 0):
            hint = "`/` stands for no extension, a `!` excludes one"
            raise Rejected(arg, f"expected an extension such as `.php`, found {quote(arg)}", hint)
    return tuple(arg.text for arg in args)


def _destinations(args: tuple[Token, ...]) -> tuple[str, ...]:
    """One word may hold several, as in v1."""
    found = []
    for arg in args:
        parts = arg.text.split()
        if not parts:
            raise Rejected(arg, "a TO is empty")
        for part in parts:
            _judge(arg, part)
        found += parts
    return tuple(found)


def _judge(arg: Token, text: str) -> None:
    # Values are encoded as they are filled in, so what is wrong with a target is wrong in what stands between them.
    fixed = _PLACEHOLDER.sub("x", text).replace("\\{", "{").replace("\\}", "}")
    route = fixed.partition("?")[0]
    if _URL.match(fixed):
        hint = "`redir` sends the client there, `proxy` the request"
        raise Rejected(arg, f"a TO of `rewrite` is a path of this site, found {quote(text)}", hint)
    if not route:
        hint = f"to keep the path, write `{{path}}{text}`"
        raise Rejected(arg, f"{quote(text)} has a query and no path", hint)
    if "#" in fixed:
        raise Rejected(arg, f"{quote(text)}: what follows a `#` never reaches a server")
    if any(ord(char) < 0x20 or char == "\x7f" for char in fixed) or _BAD_ESCAPE.search(route):
        raise Rejected(arg, f"{quote(text)} is no path: a control character or a broken %-escape")
    if any(one in (b".", b"..") for one in unquote_to_bytes(route).split(b"/")):
        raise Rejected(arg, f"{quote(text)} has a `.` or `..` in it: write the path that it comes to")
