from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.config.specs import SiteSpec


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "::1"),
        ("0:0::1", "::1"),
        ("LocalHost", "localhost"),
        ("0.0.0.0", "0.0.0.0"),
        ("local", "local"),
        ("ethan.test", "ethan.test"),
    ],
)
def test_an_address(read_site: Callable[[str], SiteSpec], text: str, bind: str) -> None:
    assert read_site(f"bind {text}").bind == bind


def test_the_last_line_counts(read_site: Callable[[str], SiteSpec]) -> None:
    assert read_site("bind 127.0.0.1\nbind 127.0.0.2").bind == "127.0.0.2"
    assert read_site("").bind == ""


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("bind", "1:1 too few arguments for `bind`: found none, expected 1 argument"),
        ("bind a b", "1:8 too many arguments for `bind`: found `b`, expected 1 argument"),
        ("bind 127.0.0.1:80", "1:6 `127.0.0.1:80` is not an address to listen on: it is not an IPv6 address"),
        ("bind a/b", "1:6 `a/b` is not an address to listen on: it is not a host name"),
        ("bind eth0", "1:6 `eth0` is the name of a network interface, not an address"),
        ("bind lo", "1:6 `lo` is the name of a network interface, not an address"),
        ("bind enp3s0", "1:6 `enp3s0` is the name of a network interface, not an address"),
        ("bind a {\n}", "1:8 `bind` takes no block: found `{`, expected the end of the line"),
    ],
)
def test_mistakes(find_mistakes: Callable[[str], list[str]], text: str, mistake: str) -> None:
    assert find_mistakes(text) == [mistake]
