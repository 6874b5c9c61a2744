"""What `log` and `errors` share: outputs and rotation."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.adapt import adapt
from posthouse.config.specs import RotationSpec, SiteSpec

DAY = 86_400.0


@pytest.mark.parametrize("directive", ["log a.log", "errors a.log"])
@pytest.mark.parametrize(
    ("block", "rotation"),
    [
        ("", None),
        ("{\n}", None),
        ("{\nrotate_size 5\n}", RotationSpec(5 << 20)),
        ("{\nrotate_age 3\n}", RotationSpec(age=3 * DAY)),
        ("{\nrotate_age 0\n}", RotationSpec(age=None)),
        ("{\nrotate_keep 2\n}", RotationSpec(keep=2)),
        ("{\nrotate_keep 0\n}", RotationSpec(keep=None)),
        ("{\nrotate_compress\n}", RotationSpec(is_compressed=True)),
        ("{\nrotate_disable\n}", RotationSpec(is_off=True)),
        (
            "{ rotate_size 1 rotate_age 2 rotate_keep 3 rotate_compress }",
            RotationSpec(1 << 20, 2 * DAY, 3, True),
        ),
    ],
)
def test_rotation(
    read_site: Callable[[str], SiteSpec], directive: str, block: str, rotation: RotationSpec | None
) -> None:
    site = read_site(f"{directive} {block}")
    spec = site.logs[0] if site.logs else site.errors
    assert spec is not None
    assert spec.rotation == rotation


def test_defaults_are_those_of_v1() -> None:
    assert RotationSpec() == RotationSpec(100 << 20, 14 * DAY, 10, False, False)


@pytest.mark.parametrize("directive", ["log a.log", "errors a.log"])
@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        ("rotate_size 0", "2:13 `rotate_size` expects a whole number of megabytes, 1 or more: found `0`"),
        ("rotate_size 5MB", "2:13 `rotate_size` expects a whole number of megabytes, 1 or more: found `5MB`"),
        ("rotate_size -1", "2:13 `rotate_size` expects a whole number of megabytes, 1 or more: found `-1`"),
        ("rotate_age 1d", "2:12 `rotate_age` expects a whole number of days, 0 or more: found `1d`"),
        ("rotate_keep x", "2:13 `rotate_keep` expects a whole number of files, 0 or more: found `x`"),
        ("rotate_keep", "2:1 too few arguments for `rotate_keep`: found none, expected 1 argument"),
        ("rotate_size 5 6", "2:15 too many arguments for `rotate_size`: found `6`, expected 1 argument"),
        (
            "rotate_compress yes",
            "2:17 too many arguments for `rotate_compress`: found `yes`, expected no argument",
        ),
    ],
)
def test_wrong_rotation(
    find_mistakes: Callable[[str], list[str]], directive: str, line: str, mistake: str
) -> None:
    assert find_mistakes(f"{directive} {{\n{line}\n}}") == [mistake]


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("log stdout {\nrotate_size 5\n}", "stdout"),
        ("log syslog://h:1 {\nrotate_size 5\n}", "syslog://h:1"),
        ("errors {\nrotate_size 5\n}", "stderr"),
        ("errors visible {\nrotate_size 5\n}", "visible"),
    ],
)
def test_rotation_of_what_is_no_file_is_noticed(text: str, output: str) -> None:
    notices = adapt(f"http://a:80 {{\nproxy / b\n{text}\n}}\n", "Caddyfile", env={}).config.notices
    assert [(one.place.line, one.message) for one in notices] == [
        (4, f"`rotate_*` has no effect: `{output}` is not a file")
    ]


@pytest.mark.parametrize("directive", ["log", "errors"])
@pytest.mark.parametrize(
    ("output", "mistake"),
    [
        ('""', "expected a file, `stdout`, `stderr` or `syslog`, found an empty name"),
        (
            "syslog+tls://h",
            "`syslog+tls://h` is no address of a syslog daemon: syslog is reached over udp or tcp, not `tls`",
        ),
        ("off", "`off` is no place to write to"),
        ("syslog://h:x", "`syslog://h:x` is no address of a syslog daemon: `x` is not a port (1 to 65535)"),
    ],
)
def test_wrong_outputs(
    find_mistakes: Callable[[str], list[str]], directive: str, output: str, mistake: str
) -> None:
    assert find_mistakes(f"{directive} {output}") == [f"1:{len(directive) + 2} {mistake}"]


@pytest.mark.parametrize("output", ["./off", '"off"'])
def test_a_file_may_be_called_off(read_site: Callable[[str], SiteSpec], output: str) -> None:
    assert read_site(f"log {output}").logs[0].output == output.strip('"')
