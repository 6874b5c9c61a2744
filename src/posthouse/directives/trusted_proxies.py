"""`trusted_proxies NETWORK...`: the peers whose X-Forwarded-* fields are believed."""

from __future__ import annotations

import ipaddress

from posthouse.caddyfile.dispenser import Arity, Dispenser
from posthouse.caddyfile.lexer import Token
from posthouse.caddyfile.messages import quote
from posthouse.directives.arguments import Rejected
from posthouse.directives.draft import SiteDraft


def read(dispenser: Dispenser, site: SiteDraft) -> None:
    """Adds to `site.trusted_proxies`, networks in CIDR form, each once."""
    if not (dispenser.refuse_block() and dispenser.check_args(Arity(1, None))):
        return
    for arg in dispenser.args:
        try:
            network = _network(arg)
        except Rejected as rejected:
            dispenser.fail(rejected.token, rejected.message, rejected.hint)
            continue
        if network not in site.trusted_proxies:
            site.trusted_proxies.append(network)


def _network(arg: Token) -> str:
    try:
        return str(ipaddress.ip_network(arg.text.strip("[]"), strict=False))
    except ValueError:
        found = f"expected an IP address or network, found {quote(arg)}"
        raise Rejected(arg, found, "write `10.0.0.0/8` or `fd00::/8`") from None
