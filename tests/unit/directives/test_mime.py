from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.config.specs import SiteSpec

BLOCK = 'mime {\n.SWF application/x-shockwave-flash\n.txt "text/plain; charset=latin1"\n}'
ONE_LINE = 'mime { .swf application/x-shockwave-flash .txt "text/plain; charset=latin1" }'
LINES = 'mime .swf application/x-shockwave-flash\nmime .txt "text/plain; charset=latin1"'


@pytest.mark.parametrize("text", [BLOCK, ONE_LINE, LINES])
def test_endings_and_types(read_site: Callable[[str], SiteSpec], text: str) -> None:
    assert read_site(text).mime == (
        (".swf", "application/x-shockwave-flash"),
        (".txt", "text/plain; charset=latin1"),
    )


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("mime", ["1:1 too few arguments for `mime`: found none, expected 2 arguments"]),
        ("mime .x", ["1:1 too few arguments for `mime`: found only `.x`, expected 2 arguments"]),
        ("mime .x a/b c", ["1:13 too many arguments for `mime`: found `c`, expected 2 arguments"]),
        ("mime x a/b", ["1:6 expected an ending such as `.html`, found `x`"]),
        ("mime .a.b a/b", ["1:6 expected an ending such as `.html`, found `.a.b`"]),
        ("mime .x text", ["1:9 expected a media type such as `text/html`, found `text`"]),
        ('mime .x "a/b; c={d}"', ['1:9 expected a media type such as `text/html`, found `"a/b; c={d}"`']),
        (
            "mime {\n.x a/b\n.X c/d\n.y\n.z nothing\n}",
            [
                "3:1 `.X` stands here twice",
                "4:1 a media type for `.y` is missing",
                "5:4 expected a media type such as `text/html`, found `nothing`",
            ],
        ),
    ],
)
def test_mistakes(find_mistakes: Callable[[str], list[str]], text: str, mistakes: list[str]) -> None:
    assert find_mistakes(text) == mistakes
