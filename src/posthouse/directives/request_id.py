"""`request_id [FIELD]`: every request gets an id, taken from the request field if that holds one."""

from __future__ import annotations

from posthouse.caddyfile.dispenser import Arity, Dispenser
from posthouse.config.specs import RequestIdSpec
from posthouse.directives.draft import SiteDraft
from posthouse.directives.header_rules import field_name


def read(dispenser: Dispenser, site: SiteDraft) -> None:
    """Sets `site.request_id`; a later line replaces an earlier one. Raises Rejected."""
    if not (dispenser.refuse_block() and dispenser.check_args(Arity(0, 1))):
        return
    args = dispenser.args
    source = field_name(args[0], args[0].text) if args else ""
    site.request_id = RequestIdSpec(dispenser.name.place, source)
