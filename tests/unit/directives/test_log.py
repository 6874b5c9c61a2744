from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.config.specs import LogSpec, SiteSpec


@pytest.mark.parametrize(
    ("text", "logs"),
    [
        ("", ()),
        ("log", (LogSpec("/", "access.log", "common"),)),
        ("log stdout", (LogSpec("/", "stdout", "common"),)),
        ("log /var/log/a.log", (LogSpec("/", "/var/log/a.log", "common"),)),
        ("log /api stderr", (LogSpec("/api", "stderr", "common"),)),
        ("log / a.log {common}", (LogSpec("/", "a.log", "common"),)),
        ("log / a.log {combined}", (LogSpec("/", "a.log", "combined"),)),
        ('log / a.log "{combined}"', (LogSpec("/", "a.log", "combined"),)),
        ("log / a.log json", (LogSpec("/", "a.log", "json"),)),
        ("log / a.log {json}", (LogSpec("/", "a.log", "json"),)),
        ("log stdout\nlog /x b", (LogSpec("/", "stdout"), LogSpec("/x", "b"))),
    ],
)
def test_forms(read_site: Callable[[str], SiteSpec], text: str, logs: tuple[LogSpec, ...]) -> None:
    assert read_site(text).logs == logs


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("log / a json b", "1:14 too many arguments for `log`: found `b`, expected at most 3 arguments"),
        ("log x y", "1:5 the path of `log` must begin with `/`, found `x`: it would never match"),
        ('log ""', "1:5 expected a file, `stdout` or `stderr`, found an empty name"),
        ("log syslog", "1:5 logging to `syslog` is not in this release yet"),
        ("log / syslog+udp://h:1", "1:7 logging to `syslog+udp://h:1` is not in this release yet"),
        (
            'log / a "{common} {>X}"',
            "1:9 custom log formats are not in this release yet: expected `{common}`, `{combined}` or `json`",
        ),
        (
            "log / a common",
            "1:9 custom log formats are not in this release yet: expected `{common}`, `{combined}` or `json`",
        ),
        (
            "log a {\nrotate_size 5\n}",
            "1:1 the block of `log` (rotate_*, ipmask, except) is not in this release yet",
        ),
    ],
)
def test_mistakes(find_mistakes: Callable[[str], list[str]], text: str, mistake: str) -> None:
    assert find_mistakes(text) == [mistake]
