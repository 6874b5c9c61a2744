"""`mime .EXT TYPE` or `mime { .EXT TYPE ... }`: the Content-Type of paths with an ending."""

from __future__ import annotations

import re
from collections.abc import Sequence

from posthouse.caddyfile.dispenser import Arity, Dispenser
from posthouse.caddyfile.lexer import Token
from posthouse.caddyfile.messages import quote
from posthouse.directives.arguments import Rejected
from posthouse.directives.draft import SiteDraft

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_MEDIA_TYPE = re.compile(rf'{_TOKEN}/{_TOKEN}(?:[ \t]*;[ \t]*{_TOKEN}=(?:{_TOKEN}|"[ !#-\[\]-z|~]*"))*')
"""RFC 9110 8.3.1."""


def read(dispenser: Dispenser, site: SiteDraft) -> None:
    """Adds to `site.mime`. Raises Rejected."""
    if not dispenser.check_args(Arity(0, 0) if dispenser.has_block else Arity(2, 2)):
        return
    if not dispenser.has_block:
        _add(dispenser.args, site)
        return
    for line in dispenser.lines():
        words = (line.name, *line.args)
        # v1 took line breaks for blanks: several pairs may share a line.
        for at in range(0, len(words), 2):
            try:
                _add(words[at : at + 2], site)
            except Rejected as rejected:
                dispenser.fail(rejected.token, rejected.message, rejected.hint)


def _add(pair: Sequence[Token], site: SiteDraft) -> None:
    ending = pair[0].text.lower()
    if not re.fullmatch(r"\.[^./\0]+", ending):
        raise Rejected(pair[0], f"expected an ending such as `.html`, found {quote(pair[0])}")
    if len(pair) == 1:
        raise Rejected(pair[0], f"a media type for {quote(pair[0])} is missing")
    if _MEDIA_TYPE.fullmatch(pair[1].text) is None:
        raise Rejected(pair[1], f"expected a media type such as `text/html`, found {quote(pair[1])}")
    if ending in site.mime:
        raise Rejected(pair[0], f"{quote(pair[0])} stands here twice")
    site.mime[ending] = pair[1].text
