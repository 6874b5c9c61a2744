"""`bind ADDRESS`: the local address that the site's listeners take, instead of every one."""

from __future__ import annotations

import re

from posthouse.caddyfile.dispenser import Arity, Dispenser
from posthouse.caddyfile.messages import quote
from posthouse.config.hosts import normal_name, normal_v6
from posthouse.directives.arguments import Rejected
from posthouse.directives.draft import SiteDraft

_INTERFACE = re.compile(
    r"lo[0-9]*|(?:eth|ens|enp|eno|enx|wlan|wlp|wlx|wwan|bond|br|docker|tun|tap|wg|veth)[0-9][\w.:-]*"
)
"""Names that Linux gives to interfaces. A host could be called so too, and would be looked up at the start."""


def read(dispenser: Dispenser, site: SiteDraft) -> None:
    """Sets `site.bind`; a later line replaces an earlier one. Raises Rejected."""
    if not (dispenser.refuse_block() and dispenser.check_args(Arity(1, 1))):
        return
    address = dispenser.args[0]
    text = address.text
    if _INTERFACE.fullmatch(text):
        hint = "write an address that it has, such as `127.0.0.1`; `ip address` lists them"
        raise Rejected(address, f"{quote(address)} is the name of a network interface, not an address", hint)
    try:
        site.bind = normal_v6(text.strip("[]")) if ":" in text else normal_name(text)
    except ValueError as wrong:
        hint = "the port belongs to the site's address, as in `localhost:8080`" if ":" in text else ""
        raise Rejected(address, f"{quote(address)} is not an address to listen on: {wrong}", hint) from None
