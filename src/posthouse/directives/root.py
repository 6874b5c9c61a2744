"""`root PATH` or `root PATH { dotfiles }`: the folder whose files answer what no `proxy` takes."""

from __future__ import annotations

from posthouse.caddyfile.dispenser import Arity, Dispenser
from posthouse.directives.arguments import Rejected
from posthouse.directives.draft import SiteDraft

_TABLE = {"dotfiles": Arity(0, 0)}


def read(dispenser: Dispenser, site: SiteDraft) -> None:
    """Sets `site.root`; a later line replaces an earlier one. Raises Rejected."""
    if not dispenser.check_args(Arity(1, 1)):
        return
    [folder] = dispenser.args
    if not folder.text or "\0" in folder.text:
        raise Rejected(folder, "expected a folder such as `/srv/www`, found an empty word")
    site.root = folder.text
    site.has_dotfiles = bool(dispenser.properties(_TABLE))
    site.files_place = dispenser.name.place
