from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.config.specs import SiteSpec, TCPSpec

ALL = frozenset({"backlog", "keepalive", "nodelay"})


@pytest.mark.parametrize(
    ("text", "tcp"),
    [
        ("", TCPSpec()),
        ("tcp { backlog 1 keepalive 1s nodelay off }", TCPSpec(1, 1.0, False, ALL)),
        ("tcp {\nbacklog 65535\nkeepalive 32767s\nnodelay on\n}", TCPSpec(65535, 32767.0, True, ALL)),
        ("tcp { keepalive off }", TCPSpec(keepalive=None, given=frozenset({"keepalive"}))),
        (
            "tcp { backlog 5 }\ntcp { keepalive 0 }",
            TCPSpec(5, None, True, frozenset({"backlog", "keepalive"})),
        ),
    ],
)
def test_forms(read_site: Callable[[str], SiteSpec], text: str, tcp: TCPSpec) -> None:
    assert read_site(text).tcp == tcp


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("tcp", ["1:1 `tcp` needs a block"]),
        ("tcp 5 { backlog 5 }", ["1:5 too many arguments for `tcp`: found `5`, expected no argument"]),
        (
            "tcp { backlog 0 keepalive 32768s nodelay yes }",
            [
                "1:15 must be at least 1, found `0`",
                "1:27 expected whole seconds from `1s` to `32767s` or `off`, found `32768s`",
                "1:42 expected `on` or `off`, found `yes`",
            ],
        ),
        ("tcp { backlog 65536 }", ["1:15 must be at most 65535, found `65536`"]),
        (
            "tcp { keepalive 500ms }",
            ["1:17 expected whole seconds from `1s` to `32767s` or `off`, found `500ms`"],
        ),
        (
            "tcp { keepalive 1500ms }",
            ["1:17 expected whole seconds from `1s` to `32767s` or `off`, found `1500ms`"],
        ),
        ("tcp { linger 5 }", ["1:7 unknown property `linger` of `tcp`"]),
    ],
)
def test_mistakes(find_mistakes: Callable[[str], list[str]], text: str, mistakes: list[str]) -> None:
    assert find_mistakes(text) == mistakes
