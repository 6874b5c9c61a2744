"""`browse [PATH]`: folders without an index file are listed."""

from __future__ import annotations

from posthouse.caddyfile.dispenser import Arity, Dispenser
from posthouse.caddyfile.messages import quote
from posthouse.directives.arguments import Rejected, path
from posthouse.directives.draft import SiteDraft


def read(dispenser: Dispenser, site: SiteDraft) -> None:
    """Adds to `site.browse`. Raises Rejected."""
    if not (dispenser.refuse_block() and dispenser.check_args(Arity(0, 2))):
        return
    args = dispenser.args
    if len(args) == 2:
        what = "templates are written in Go's template language, which Posthouse does not speak"
        raise Rejected(
            args[1], f"{quote(args[1])}: {what}", f"`browse {args[0].text}` makes a page of our own"
        )
    scope = path(args[0], "the path of `browse`") if args else "/"
    if scope in site.browse:
        raise Rejected(args[0] if args else dispenser.name, f"`browse {scope}` stands here twice")
    site.browse.append(scope)
    site.files_place = site.files_place or dispenser.name.place
