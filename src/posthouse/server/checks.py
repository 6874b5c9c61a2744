"""The health checks of a site: from what the Caddyfile says to what each backend is asked."""

from __future__ import annotations

from dataclasses import replace

from posthouse.config.specs import AddressSpec, EndpointSpec, SiteSpec
from posthouse.probe.check import Check
from posthouse.proxy.check_head import check_head
from posthouse.proxy.route import Route
from posthouse.server.openings import preface_of_checks


def checks_of(site: SiteSpec, route: Route) -> list[Check]:
    """What the backends of a route are asked; nothing without `health_check`."""
    pool = route.pool
    health = pool.spec.health
    if health is None:
        return []
    host = site_host(site.addresses)
    # As with HAProxy: another port is another service, which need not speak the PROXY protocol.
    preface = b"" if health.check.port else preface_of_checks(pool.spec)
    checks = []
    # Not `backend.endpoint`: a backend that stays over a reload has its new endpoint only when the pool starts.
    for backend, own in zip(pool.backends, pool.spec.endpoints, strict=True):
        endpoint = at_port(dialled(own), health.check.port)
        head = check_head(route.spec, endpoint, health, host) if health.check.path else b""
        tls = pool.tls if endpoint.scheme == "https" else None
        checks.append(Check(backend, pool.name, health, endpoint, pool.spec.timeouts, head, tls, preface))
    return checks


def site_host(addresses: tuple[AddressSpec, ...]) -> str:
    """The host that checks call the site by: that of its first address with one, without port; "" if none has."""
    for address in addresses:
        if address.host and "*" not in address.host:
            return f"[{address.host}]" if ":" in address.host else address.host
    return ""


def dialled(endpoint: EndpointSpec) -> EndpointSpec:
    """The endpoint without what only choosing looks at: a backend that weighs something else is asked the same."""
    return replace(endpoint, weight=1, max_conns=None, role="primary", priority=0)


def at_port(endpoint: EndpointSpec, port: int) -> EndpointSpec:
    """The endpoint with another port, which its Host field follows; itself for port 0 and for Unix sockets."""
    if not port or endpoint.unix:
        return endpoint
    name = endpoint.authority.removesuffix(f":{endpoint.port}")
    return replace(endpoint, port=port, authority=f"{name}:{port}")
