"""`basicauth PATH USER PASSWORD` · `basicauth USER PASSWORD { realm NAME · PATH... }`: a path asks who it is.

No message repeats a word of the directive's own line: one of them is a password.
"""

from __future__ import annotations

from typing import Final

from posthouse.caddyfile.dispenser import Dispenser, Property
from posthouse.caddyfile.lexer import Token
from posthouse.caddyfile.messages import quote
from posthouse.config.step_specs import BasicAuthSpec
from posthouse.directives.arguments import Rejected, path
from posthouse.directives.draft import SiteDraft

_FILE: Final = "htpasswd="
_FORMS: Final = "expected PATH USER PASSWORD, or USER PASSWORD before a block of paths"
_DEFAULT: Final = BasicAuthSpec("")


def read(dispenser: Dispenser, site: SiteDraft) -> None:
    """Adds to `site.auths`. Raises Rejected."""
    name, args = dispenser.name, dispenser.args
    if len(args) not in (2, 3):
        raise Rejected(name, f"`basicauth` takes 2 or 3 arguments, found {len(args)}: {_FORMS}")
    user, password = args[-2].text, args[-1].text
    paths = [args[0].text] if len(args) == 3 else []
    if paths and not paths[0].startswith("/"):
        raise Rejected(name, "the path of `basicauth` must begin with `/`: it would never match", _FORMS)
    if not user or ":" in user or _has_controls(user):
        raise Rejected(name, "the user of `basicauth` is empty, or has a colon or a control character in it")
    if not password or password == _FILE:
        raise Rejected(name, "the password of `basicauth` is empty")
    realms: list[Token] = []
    for line in dispenser.lines():
        _read_line(line, paths, realms)
    if not paths:
        hint = f"{_FORMS}; `/` is the whole site"
        raise Rejected(name, "`basicauth` has no path: it would protect nothing", hint)
    is_file = password.startswith(_FILE)
    site.auths.append(
        BasicAuthSpec(
            user,
            "" if is_file else password,
            password.removeprefix(_FILE) if is_file else "",
            tuple(paths),
            realms[0].text if realms else _DEFAULT.realm,
            name.place,
        )
    )


def _read_line(line: Property, paths: list[str], realms: list[Token]) -> None:
    """`realm NAME`, and paths; both may share a line."""
    words = [line.name, *line.args]
    while words:
        word = words.pop(0)
        if not word.is_word("realm"):
            paths.append(path(word, "a path of `basicauth`"))
            continue
        if not words:
            raise Rejected(word, "the name of `realm` is missing")
        if realms:
            raise Rejected(word, f"`realm` is there already: {quote(realms[0])}")
        if _has_controls(words[0].text):
            raise Rejected(words[0], "a realm has no control characters in it")
        realms.append(words.pop(0))


def _has_controls(text: str) -> bool:
    return any(ord(char) < 0x20 or ord(char) == 0x7F for char in text)
