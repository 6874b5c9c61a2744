from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.config.specs import SiteSpec, TimeoutsSpec

ALL = frozenset({"header", "body", "idle", "read", "write"})


@pytest.mark.parametrize(
    ("text", "timeouts"),
    [
        ("", TimeoutsSpec()),
        ("timeouts none", TimeoutsSpec(None, None, None, None, None, ALL)),
        ("timeouts off", TimeoutsSpec(None, None, None, None, None, ALL)),
        ("timeouts 1m", TimeoutsSpec(60.0, 60.0, 60.0, 60.0, 60.0, ALL)),
        (
            "timeouts { header 5s body 6s idle 7s read 8s write 9s }",
            TimeoutsSpec(5.0, 6.0, 7.0, 8.0, 9.0, ALL),
        ),
        (
            "timeouts {\nread 1m\nheader none\nidle 0\n}",
            TimeoutsSpec(None, 30.0, None, 60.0, None, frozenset({"read", "header", "idle"})),
        ),
        ("timeouts 1m\ntimeouts {\nread 2m\n}", TimeoutsSpec(60.0, 60.0, 60.0, 120.0, 60.0, ALL)),
    ],
)
def test_forms(read_site: Callable[[str], SiteSpec], text: str, timeouts: TimeoutsSpec) -> None:
    assert read_site(text).timeouts == timeouts


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("timeouts", ["1:1 `timeouts` takes either one duration or a block"]),
        ("timeouts -1s", ["1:10 expected a duration of 0 or more, found `-1s`"]),
        ("timeouts { reed 1s }", ["1:12 unknown property `reed` of `timeouts`"]),
        (
            "timeouts { read 1d header -5s }",
            [
                "1:17 expected a duration such as `30s`, found `1d`: `d` is no unit; "
                "the units are ns us ms s m h; write `24h`",
                "1:27 expected a duration of 0 or more, found `-5s`",
            ],
        ),
    ],
)
def test_mistakes(find_mistakes: Callable[[str], list[str]], text: str, mistakes: list[str]) -> None:
    assert find_mistakes(text) == mistakes
