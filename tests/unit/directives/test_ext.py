from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.config.specs import SiteSpec


def test_endings_add_up(read_site: Callable[[str], SiteSpec]) -> None:
    assert read_site("ext .html .htm\next /index.html").ext == (".html", ".htm", "/index.html")
    assert read_site("").ext == ()


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("ext", "1:1 too few arguments for `ext`: found none, expected at least 1 argument"),
        ("ext .html htm", "1:11 expected an ending such as `.html`, found `htm`"),
        ("ext /../x", "1:5 expected an ending such as `.html`, found `/../x`"),
        ("ext .html {\n}", "1:11 `ext` takes no block: found `{`, expected the end of the line"),
    ],
)
def test_mistakes(find_mistakes: Callable[[str], list[str]], text: str, mistake: str) -> None:
    assert find_mistakes(text) == [mistake]
