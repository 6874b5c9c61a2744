from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.adapt import AdaptError, adapt
from posthouse.config.specs import GZIP_EXTENSIONS, GzipSpec, SiteSpec


@pytest.mark.parametrize(
    ("text", "gzips"),
    [
        ("", ()),
        ("gzip", (GzipSpec(),)),
        ("gzip {\n}", (GzipSpec(),)),
        ("gzip {\nlevel 9\nnot /raw /img\n}", (GzipSpec(excepts=("/raw", "/img"), level=9),)),
        (
            "gzip { ext .html .css ext * min_length 1KB }",
            (GzipSpec((".html", ".css", "*"), min_length=1024),),
        ),
        ('gzip { ext "" .css .css min_length 1 }', (GzipSpec(("", ".css"), min_length=1),)),
        ("gzip { level 1 level 2 not /a not /b }", (GzipSpec(excepts=("/a", "/b"), level=2),)),
        (
            "gzip {\next .js\n}\ngzip {\nlevel 1\n}",
            (GzipSpec((".js",)), GzipSpec(level=1)),
        ),
    ],
)
def test_forms(read_site: Callable[[str], SiteSpec], text: str, gzips: tuple[GzipSpec, ...]) -> None:
    assert read_site(text).gzips == gzips


def test_the_default_extensions_are_those_of_v1() -> None:
    assert len(GZIP_EXTENSIONS) == len(set(GZIP_EXTENSIONS)) == 18
    assert {"", ".html", ".js", ".json", ".svg"} < set(GZIP_EXTENSIONS)


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("gzip /x", ["1:6 too many arguments for `gzip`: found `/x`, expected no argument"]),
        ("gzip zstd br", ["1:6 expected nothing or a block, found `zstd`"]),
        ("gzip { ext }", ["1:8 too few arguments for `ext`: found none, expected at least 1 argument"]),
        ("gzip { ext html }", ["1:12 an extension must begin with a dot, found `html`"]),
        (
            "gzip { ext .tar.gz }",
            ["1:12 an extension is what follows the last dot of a path, found `.tar.gz`"],
        ),
        ("gzip { not / }", ["1:12 `not /` leaves nothing to compress"]),
        (
            "gzip { not raw }",
            ["1:12 the path of `not` must begin with `/`, found `raw`: it would never match"],
        ),
        (
            "gzip { level 0 level 10 }",
            ["1:14 expected a level from 1 to 9, found `0`", "1:22 expected a level from 1 to 9, found `10`"],
        ),
        ("gzip { min_length 0 }", ["1:19 a limit must be above 0"]),
        ("gzip { min_length off }", ["1:19 expected a size such as `1KB`, found `off`"]),
        ("gzip { minlength 5 }", ["1:8 unknown property `minlength` of `gzip`"]),
    ],
)
def test_mistakes(find_mistakes: Callable[[str], list[str]], text: str, mistakes: list[str]) -> None:
    assert find_mistakes(text) == mistakes


def test_what_caddy_2_calls_it() -> None:
    with pytest.raises(AdaptError) as raised:
        adapt("localhost\nencode zstd gzip", "f", env={})
    (mistake,) = raised.value.mistakes
    assert (mistake.message, mistake.hint) == (
        "unknown directive `encode`",
        "that is Caddy 2's; here it is `gzip`",
    )
