"""`trusted_proxies NETWORK...`: the peers whose X-Forwarded-* fields are believed."""

from __future__ import annotations

from posthouse.caddyfile.dispenser import Arity, Dispenser
from posthouse.directives.arguments import networks
from posthouse.directives.draft import SiteDraft


def read(dispenser: Dispenser, site: SiteDraft) -> None:
    """Adds to `site.trusted_proxies`, networks in CIDR form, each once."""
    if dispenser.refuse_block() and dispenser.check_args(Arity(1, None)):
        networks(dispenser, site.trusted_proxies)
