from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.adapt import AdaptError, adapt
from posthouse.config.specs import LimitsSpec, SiteSpec
from posthouse.config.units import NO_LIMIT

KB, MB = 1 << 10, 1 << 20


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("", LimitsSpec()),
        ("limits 7500", LimitsSpec(header=7500, body=(("/", 7500),), given=frozenset({"header"}))),
        ("limits { body /upload 50mb }", LimitsSpec(body=(("/upload", 50 * MB),))),
        (
            "limits { header 100KB body /upload 100MB body /profile 25KB body 10KB fields 50 connections 9 }",
            LimitsSpec(
                header=100 * KB,
                fields=50,
                body=(("/upload", 100 * MB), ("/profile", 25 * KB), ("/", 10 * KB)),
                connections=9,
                given=frozenset({"header", "fields", "connections"}),
            ),
        ),
        ("limits { body 1KB\nbody 2KB }", LimitsSpec(body=(("/", 2 * KB),))),
        (
            "limits {\nbody 1KB\n}\nlimits {\nheader 2KB\n}",
            LimitsSpec(2 * KB, 128, (("/", KB),), None, frozenset({"header"})),
        ),
        ("limits { body /free off }", LimitsSpec(body=(("/free", NO_LIMIT),))),
    ],
)
def test_forms(read_site: Callable[[str], SiteSpec], text: str, limits: LimitsSpec) -> None:
    assert read_site(text).limits == limits


@pytest.mark.parametrize("name", ["header", "fields", "connections"])
def test_off_is_no_limit_with_a_warning(name: str) -> None:
    config = adapt(f"localhost\nproxy / a\nlimits {{ {name} off }}", "f", env={}).config
    assert getattr(config.sites[0].limits, name) == NO_LIMIT
    (notice,) = config.notices
    assert notice.message.startswith(f"`{name} off`")
    assert notice.place.line == 3


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("limits", ["1:1 `limits` takes either one size or a block"]),
        ("limits 1KB { header 1KB }", ["1:1 `limits` takes either one size or a block"]),
        (
            "limits 1KB 2KB",
            ["1:12 too many arguments for `limits`: found `2KB`, expected at most 1 argument"],
        ),
        ("limits 0", ["1:8 a limit must be above 0"]),
        ("limits { connections 0 }", ["1:22 must be at least 1, found `0`"]),
        ("limits { fields -1 }", ["1:17 must be at least 1, found `-1`"]),
        ("limits { headers 1KB }", ["1:10 unknown property `headers` of `limits`"]),
        (
            "limits { header 0 body x 10KB }",
            [
                "1:17 a limit must be above 0",
                "1:24 the path of `body` must begin with `/`, found `x`: it would never match",
            ],
        ),
        (
            "limits { body 10k }",
            ["1:15 expected a size such as `64KB`, found `10k`: `k` is no unit; the units are B KB MB GB"],
        ),
    ],
)
def test_mistakes(find_mistakes: Callable[[str], list[str]], text: str, mistakes: list[str]) -> None:
    assert find_mistakes(text) == mistakes


def test_a_blank_before_a_unit_is_the_mistake() -> None:
    with pytest.raises(AdaptError) as raised:
        adapt("localhost {\nlimits {\nbody 10 MB\n}\n}", "f", env={})
    (mistake,) = raised.value.mistakes
    assert (mistake.place.column, mistake.hint) == (9, "write `10MB` as one word")
