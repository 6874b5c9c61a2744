"""The proxies, in the order in which rounds take them."""

from __future__ import annotations

from benchmarks.proxies import caddy, envoy, haproxy, nginx, posthouse
from benchmarks.proxies.setup import STATIC, Proxy

PROXIES = {
    proxy.name: proxy
    for proxy in (
        Proxy("posthouse", posthouse.prepare, posthouse.version),
        Proxy("nginx", nginx.prepare, nginx.version),
        Proxy("haproxy", haproxy.prepare, haproxy.version, frozenset({STATIC})),
        Proxy("caddy", caddy.prepare, caddy.version),
        Proxy("envoy", envoy.prepare, envoy.version),
    )
}
