"""`tls off`: the one form of `tls` that plain HTTP knows."""

from __future__ import annotations

from posthouse.caddyfile.dispenser import Dispenser
from posthouse.directives.arguments import OFF, Rejected
from posthouse.directives.draft import SiteDraft


def read(dispenser: Dispenser, site: SiteDraft) -> None:
    """Notes that the author wants plain HTTP, so that no notice about HTTPS is due. Raises Rejected."""
    if dispenser.has_block or [arg.text for arg in dispenser.args] != [OFF]:
        raise Rejected(dispenser.name, "`tls` other than `tls off` is not in this release yet")
    site.is_tls_off = True
