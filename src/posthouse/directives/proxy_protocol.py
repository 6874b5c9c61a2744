"""`proxy_protocol RANGE...`: the peers that must begin with a PROXY header, and are believed what it says."""

from __future__ import annotations

from posthouse.caddyfile.dispenser import Arity, Dispenser
from posthouse.config.specs import ProxyProtocolSpec
from posthouse.directives.arguments import networks
from posthouse.directives.draft import SiteDraft
from posthouse.errors import Notice

_EVERYBODY = ("0.0.0.0/0", "::/0")


def read(dispenser: Dispenser, site: SiteDraft) -> None:
    """Adds to the ranges of `site.proxy_protocol`, networks in CIDR form, each once.

    After a mistake there are none, which is what no other site is compared with.
    """
    before = site.proxy_protocol
    ranges = list(before.ranges) if before is not None else []
    if dispenser.refuse_block() and dispenser.check_args(Arity(1, None)):
        networks(dispenser, ranges)
    if dispenser.mistakes:
        ranges = []
    site.proxy_protocol = ProxyProtocolSpec(tuple(ranges), before.place if before else dispenser.name.place)
    for everybody in _EVERYBODY:
        if everybody in ranges:
            what = f"`{everybody}`: every peer is believed, whatever client address it claims"
            site.notices.append(Notice(dispenser.name.place, what, dispenser.name.width))
