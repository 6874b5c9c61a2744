from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.config.specs import SiteSpec


def test_networks_are_normalised_and_kept_once(read_site: Callable[[str], SiteSpec]) -> None:
    site = read_site("trusted_proxies 10.1.2.3/8 127.0.0.1 10.0.0.0/8\ntrusted_proxies FD00::1/8 [::1]")
    assert site.trusted_proxies == ("10.0.0.0/8", "127.0.0.1/32", "fd00::/8", "::1/128")


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        (
            "trusted_proxies",
            ["1:1 too few arguments for `trusted_proxies`: found none, expected at least 1 argument"],
        ),
        (
            "trusted_proxies 10.0.0.0/33 x 10.0.0.1",
            [
                "1:17 expected an IP address or network, found `10.0.0.0/33`",
                "1:29 expected an IP address or network, found `x`",
            ],
        ),
        (
            "trusted_proxies ::1 {\n}",
            ["1:21 `trusted_proxies` takes no block: found `{`, expected the end of the line"],
        ),
    ],
)
def test_mistakes(find_mistakes: Callable[[str], list[str]], text: str, mistakes: list[str]) -> None:
    assert find_mistakes(text) == mistakes
