"""`metrics [PATH] [{ health [PATH] · ready [PATH] }]`: a path of the site says how Posthouse fares."""

from __future__ import annotations

from posthouse.caddyfile.dispenser import Arity, Dispenser, Property
from posthouse.caddyfile.lexer import Token
from posthouse.caddyfile.messages import quote
from posthouse.config.specs import MetricsSpec
from posthouse.directives.arguments import Rejected, each, path
from posthouse.directives.draft import SiteDraft

_TABLE = {"health": Arity(0, 1), "ready": Arity(0, 1)}


def read(dispenser: Dispenser, site: SiteDraft) -> None:
    """Sets `site.metrics`. Raises Rejected."""
    if not dispenser.check_args(Arity(0, 1)):
        return
    if site.metrics is not None:
        raise Rejected(dispenser.name, f"this site has `metrics` already ({site.metrics.place})")
    args = dispenser.args
    paths = {"metrics": _path(args[0], "metrics") if args else "/metrics"}

    def read_one(one: Property) -> None:
        name = one.name.text
        if name in paths:
            raise Rejected(one.name, f"{quote(one.name)} is here already")
        text = _path(one.args[0], name) if one.args else f"/{name}"
        other = next((known for known, taken in paths.items() if taken == text), None)
        if other is not None:
            raise Rejected((*one.args, one.name)[0], f"`{text}` is the path of `{other}` already")
        paths[name] = text

    each(dispenser, dispenser.properties(_TABLE), read_one)
    site.metrics = MetricsSpec(
        paths["metrics"], paths.get("health", ""), paths.get("ready", ""), dispenser.name.place
    )


def _path(arg: Token, of: str) -> str:
    text = path(arg, f"the path of `{of}`")
    if "?" in text or "#" in text:
        raise Rejected(arg, f"expected a path without a query, found {quote(arg)}")
    return text
