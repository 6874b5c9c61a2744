from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.config.specs import LogSpec, RotationSpec, SiteSpec


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
        ("log syslog", (LogSpec("/", "syslog"),)),
        ("log /x syslog+tcp://h:1 json", (LogSpec("/x", "syslog+tcp://h:1", "json"),)),
        ('log / a "{common} {>X}"', (LogSpec("/", "a", "{common} {>X}"),)),
        ("log / a {method}", (LogSpec("/", "a", "{method}"),)),
        ("log a {\nexcept /b /c\nexcept /d\n}", (LogSpec("/", "a", excepts=("/b", "/c", "/d")),)),
        ("log a {\nipmask 255.255.0.0\n}", (LogSpec("/", "a", ipmask=("255.255.0.0", "")),)),
        (
            "log a {\nipmask 255.255.0.0 FFFF:ffff::\n}",
            (LogSpec("/", "a", ipmask=("255.255.0.0", "ffff:ffff::")),),
        ),
        ('log a {\nipmask "" ffff::\n}', (LogSpec("/", "a", ipmask=("", "ffff::")),)),
        (
            "log a { except /x ipmask 255.0.0.0 rotate_keep 3 }\nlog /y b",
            (
                LogSpec("/", "a", excepts=("/x",), ipmask=("255.0.0.0", ""), rotation=RotationSpec(keep=3)),
                LogSpec("/y", "b"),
            ),
        ),
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
        (
            "log / a common",
            "1:9 a log format needs a placeholder such as `{common}` or `{uri}`, found `common`:"
            " every line would be the same",
        ),
        (
            r"log / a \{x\}",
            "1:9 a log format needs a placeholder such as `{common}` or `{uri}`, found `\\{x\\}`:"
            " every line would be the same",
        ),
        ('log / a "{uri}\n"', "1:9 a log format has no line break in it: one request is one line"),
        ('log / a "{json} x"', "1:9 `{json}` is a whole line and cannot be a part of another format"),
        (
            "log a {\nexcept x\n}",
            "2:8 a path of `except` must begin with `/`, found `x`: it would never match",
        ),
        (
            "log a {\nexcept\n}",
            "2:1 too few arguments for `except`: found none, expected at least 1 argument",
        ),
        (
            "log a {\nipmask 16\n}",
            "2:8 `ipmask` expects a mask for IPv4 such as `255.255.0.0`, found `16`",
        ),
        (
            "log a {\nipmask ffff::\n}",
            "2:8 `ipmask` expects a mask for IPv4 such as `255.255.0.0`, found `ffff::`",
        ),
        (
            "log a {\nipmask 255.0.0.0 255.0.0.0\n}",
            "2:18 `ipmask` expects a mask for IPv6 such as `ffff:ffff::`, found `255.0.0.0`",
        ),
        ("log a {\nrotate 5\n}", "2:1 unknown property `rotate` of `log`"),
    ],
)
def test_mistakes(find_mistakes: Callable[[str], list[str]], text: str, mistake: str) -> None:
    assert find_mistakes(text) == [mistake]
