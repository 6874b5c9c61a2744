from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.adapt import AdaptError, adapt
from posthouse.config.specs import ProxyProtocolSpec, SiteSpec


def test_ranges(read_site: Callable[[str], SiteSpec]) -> None:
    site = read_site("proxy_protocol 10.1.2.3/8 [::1]\nproxy_protocol 10.0.0.0/8 192.0.2.1")
    assert site.proxy_protocol == ProxyProtocolSpec(("10.0.0.0/8", "::1/128", "192.0.2.1/32"))
    assert site.proxy_protocol.place.line == 2
    assert read_site("").proxy_protocol is None


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        (
            "proxy_protocol",
            ["1:1 too few arguments for `proxy_protocol`: found none, expected at least 1 argument"],
        ),
        (
            "proxy_protocol ::1 v1 10.0.0.0/40",
            [
                "1:20 expected an IP address or network, found `v1`",
                "1:23 expected an IP address or network, found `10.0.0.0/40`",
            ],
        ),
        (
            "proxy_protocol ::1 {\n}",
            ["1:20 `proxy_protocol` takes no block: found `{`, expected the end of the line"],
        ),
    ],
)
def test_mistakes(find_mistakes: Callable[[str], list[str]], text: str, mistakes: list[str]) -> None:
    assert find_mistakes(text) == mistakes


@pytest.mark.parametrize("everybody", ["0.0.0.0/0", "::/0"])
def test_to_believe_everybody_is_odd(everybody: str) -> None:
    config = adapt(f"localhost\nproxy / a\nproxy_protocol {everybody}", "f", env={}).config
    [notice] = config.notices
    assert notice.message == f"`{everybody}`: every peer is believed, whatever client address it claims"


def test_names_of_others() -> None:
    text = "localhost {\nproxyprotocol 10.0.0.0/8\nproxy / a {\nsend_proxy\n}\n}"
    with pytest.raises(AdaptError) as raised:
        adapt(text, "f", env={})
    assert [(one.place.line, one.hint) for one in raised.value.mistakes] == [
        (2, "here it is `proxy_protocol RANGE...`"),
        (4, "here it is `proxy_protocol v1` or `proxy_protocol v2`"),
    ]
