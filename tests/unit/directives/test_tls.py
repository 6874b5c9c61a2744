from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.adapt import adapt

PUBLIC = "example.com\nproxy / a\n"


def test_off_is_plain_http_without_a_notice() -> None:
    assert [n.message for n in adapt(PUBLIC, "f", env={}).config.notices] == [
        "`example.com` is served over plain HTTP on port 2015: HTTPS is not in this release yet"
    ]
    assert adapt(PUBLIC + "tls off", "f", env={}).config.notices == ()


@pytest.mark.parametrize(
    "text", ["tls", "tls a@b.test", "tls cert key", "tls off x", "tls off { }", "tls self_signed"]
)
def test_the_rest_is_still_to_come(find_mistakes: Callable[[str], list[str]], text: str) -> None:
    assert find_mistakes(text) == ["1:1 `tls` other than `tls off` is not in this release yet"]
