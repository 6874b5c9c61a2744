from __future__ import annotations

from posthouse.config import specs
from posthouse.config.connection_specs import ProxyProtocolSpec, TCPSpec, UpstreamTCPSpec
from posthouse.errors import Place


def test_where_it_was_written_makes_no_difference() -> None:
    assert ProxyProtocolSpec(("::/0",), Place("f", 1, 1)) == ProxyProtocolSpec(("::/0",))


def test_defaults_of_a_site_and_of_a_pool() -> None:
    """Clients are asked after three minutes, as in v1; backends are not."""
    assert specs.SiteSpec(()).tcp == TCPSpec(4096, 180.0, True) and specs.SiteSpec(()).proxy_protocol is None
    assert specs.PoolSpec("p", ()).tcp == UpstreamTCPSpec(None, True)
