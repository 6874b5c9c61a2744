from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.config.specs import SiteSpec


def test_lines_add_up(read_site: Callable[[str], SiteSpec]) -> None:
    assert read_site("internal /a\ninternal /b/").internals == ("/a", "/b/")


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("internal", "1:1 too few arguments for `internal`: found none, expected 1 argument"),
        ("internal /a /b", "1:13 too many arguments for `internal`: found `/b`, expected 1 argument"),
        ("internal a", "1:10 the path of `internal` must begin with `/`, found `a`: it would never match"),
        ("internal {\n/a\n}", "1:10 `internal` takes no block: found `{`, expected the end of the line"),
    ],
)
def test_mistakes(find_mistakes: Callable[[str], list[str]], text: str, mistake: str) -> None:
    assert find_mistakes(text) == [mistake]
