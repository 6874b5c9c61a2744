from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.config.specs import SiteSpec


@pytest.mark.parametrize(
    ("text", "scopes", "root"),
    [
        ("browse", ("/",), "."),
        ("browse /a\nbrowse /b", ("/a", "/b"), "."),
        ("browse\nroot www", ("/",), "www"),
    ],
)
def test_folders(read_site: Callable[[str], SiteSpec], text: str, scopes: tuple[str, ...], root: str) -> None:
    site = read_site(text)
    assert site.files is not None
    assert (site.files.browse, site.root) == (scopes, root)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("browse a", "1:8 the path of `browse` must begin with `/`, found `a`: it would never match"),
        ("browse /a\nbrowse /a", "2:8 `browse /a` stands here twice"),
        ("browse\nbrowse", "2:1 `browse /` stands here twice"),
        (
            "browse / page.tpl",
            "1:10 `page.tpl`: templates are written in Go's template language, which Posthouse does not speak",
        ),
        ("browse / a b", "1:12 too many arguments for `browse`: found `b`, expected at most 2 arguments"),
        ("browse {\n}", "1:8 `browse` takes no block: found `{`, expected the end of the line"),
    ],
)
def test_mistakes(find_mistakes: Callable[[str], list[str]], text: str, mistake: str) -> None:
    assert find_mistakes(text) == [mistake]
