from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.config.specs import SiteSpec


def test_names_add_up_and_replace_the_defaults(read_site: Callable[[str], SiteSpec]) -> None:
    site = read_site("index start.html sub/home.html\nindex other.html")
    assert site.files is not None
    assert site.files.index == ("start.html", "sub/home.html", "other.html")
    assert site.root == ".", "as in v1, the working directory"


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("index", "1:1 too few arguments for `index`: found none, expected at least 1 argument"),
        ("index /a.html", "1:7 expected a file's name such as `index.html`, found `/a.html`"),
        ("index a.html x/../../b", "1:14 expected a file's name such as `index.html`, found `x/../../b`"),
        ('index ""', '1:7 expected a file\'s name such as `index.html`, found `""`'),
        ("index a {\n}", "1:9 `index` takes no block: found `{`, expected the end of the line"),
    ],
)
def test_mistakes(find_mistakes: Callable[[str], list[str]], text: str, mistake: str) -> None:
    assert find_mistakes(text) == [mistake]
