"""`internal PATH`: a path that only backends can send requests to, with X-Accel-Redirect."""

from __future__ import annotations

from posthouse.caddyfile.dispenser import Arity, Dispenser
from posthouse.directives.arguments import path
from posthouse.directives.draft import SiteDraft


def read(dispenser: Dispenser, site: SiteDraft) -> None:
    """Adds to `site.internals`. Raises Rejected."""
    if dispenser.refuse_block() and dispenser.check_args(Arity(1, 1)):
        site.internals.append(path(dispenser.args[0], "the path of `internal`"))
