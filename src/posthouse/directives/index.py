"""`index FILE...`: which file stands for a folder."""

from __future__ import annotations

from posthouse.caddyfile.dispenser import Arity, Dispenser
from posthouse.caddyfile.lexer import Token
from posthouse.caddyfile.messages import quote
from posthouse.directives.arguments import Rejected
from posthouse.directives.draft import SiteDraft


def read(dispenser: Dispenser, site: SiteDraft) -> None:
    """Adds to `site.index`. Raises Rejected."""
    if not (dispenser.refuse_block() and dispenser.check_args(Arity(1, None))):
        return
    site.index += [_name(token) for token in dispenser.args]
    site.files_place = site.files_place or dispenser.name.place


def _name(token: Token) -> str:
    name = token.text
    if not name or "\0" in name or name.startswith("/") or ".." in name.split("/"):
        raise Rejected(token, f"expected a file's name such as `index.html`, found {quote(token)}")
    return name
