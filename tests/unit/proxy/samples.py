"""What the tests of this folder are configured with, and heads as text."""

from __future__ import annotations

import math
import random
from typing import Any, cast

from posthouse.balance.pool import Pool, build_pool
from posthouse.config.specs import (
    AddressSpec,
    EndpointSpec,
    HeaderRule,
    PassiveSpec,
    PolicySpec,
    PoolSpec,
    RetrySpec,
    RouteSpec,
    UpstreamTimeouts,
)
from posthouse.protocol.h1 import Codec, HeadLimits, RequestHead, ResponseHead
from posthouse.protocol.target import Targets
from posthouse.proxy.route import Route
from posthouse.proxy.site import path_key

OFF = math.inf
START = 1000.0


def endpoint(host: str, **facts: Any) -> EndpointSpec:
    """`endpoint("a")` is http://a, to be dialled at a:80."""
    facts = {"authority": host, **facts}
    return EndpointSpec(f"http://{host}{facts.get('base_path', '')}", "http", host, 80, **facts)


_POOL_PARTS = {"max_conns", "keepalive", "queue", "proxy_protocol"}
_TIMEOUTS = {"connect", "response", "idle", "tunnel", "exchange", "places"}
_RETRY = {
    *("duration", "interval", "replay_limit", "count", "kinds", "all_methods"),
    *("budget", "budget_least"),
}
_PASSIVE = {"fail_timeout", "max_fails", "statuses", "latency", "max_ejected", "panic", "breaker"}


def route(*hosts: str | EndpointSpec, base: str = "/", policy: str = "first", **facts: Any) -> RouteSpec:
    """A `proxy` block; facts: what its RouteSpec, PoolSpec, RetrySpec, PassiveSpec and UpstreamTimeouts hold."""

    def take(names: set[str]) -> dict[str, Any]:
        return {name: facts.pop(name) for name in names & facts.keys()}

    pool = PoolSpec(
        facts.pop("name", f"site {base}"),
        tuple(endpoint(host) if isinstance(host, str) else host for host in hosts or ("a",)),
        PolicySpec(policy),
        PassiveSpec(**take(_PASSIVE)),
        RetrySpec(**take(_RETRY)),
        UpstreamTimeouts(**take(_TIMEOUTS)),
        **take(_POOL_PARTS),
    )
    return RouteSpec(base, pool, **facts)


def rules(*lines: str) -> tuple[HeaderRule, ...]:
    """Header rules as a Caddyfile has them: "X value", "+X value", "-X"."""
    made = []
    for line in lines:
        name, _, value = line.partition(" ")
        op = {"+": "add", "-": "remove"}.get(name[0], "set")
        made.append(HeaderRule(cast(Any, op), name.lstrip("+-"), value))
    return tuple(made)


def address(text: str = "") -> AddressSpec:
    """A site's address without scheme: "", "host", "host/path", "/path"; port 2015."""
    host, slash, path = text.partition("/")
    return AddressSpec(text, "http", host, 2015, slash + path)


def build_route(spec: RouteSpec, targets: Targets, pool: Pool | None = None) -> Route:
    """A route at work, as the generation builds it."""
    if pool is None:
        pool = build_pool(spec.pool, random.Random(1), None)
    keys = [path_key(spec.base, targets), path_key(spec.without, targets) if spec.without else ""]
    return Route(spec, pool, [*keys, *(path_key(path, targets) for path in spec.excepts)], targets)


def read_head(text: str | bytes, codec: Codec | None = None) -> RequestHead:
    """A request head; lines end with a newline."""
    data = text.encode("latin-1") if isinstance(text, str) else text
    data = data.strip(b"\n").replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return (codec or Codec()).read_request(data, len(data), HeadLimits())


def fields_of(head: bytes) -> list[bytes]:
    """The lines of a head without the first, and without the empty one."""
    return head.split(b"\r\n\r\n")[0].split(b"\r\n")[1:]


def read_response(status: str, *lines: str) -> ResponseHead:
    """A response head; a Date is added, so that it passes as it is."""
    data = "\r\n".join((f"HTTP/1.1 {status}", *lines, "Date: Thu, 01 Jan 1970 00:00:00 GMT")).encode(
        "latin-1"
    )
    return Codec().read_response(data, len(data))
