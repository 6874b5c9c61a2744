"""Options of the commands that serve: what they mean, and what is refused with its reason."""

from __future__ import annotations

import pytest

from posthouse.commands import serving
from posthouse.commands.command_line import Given, UsageError


def _given(name: str, value: str) -> Given:
    return Given({f"--{name}": [value]}, [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("workers", "1"), ("workers", "auto"), ("admin", "off"), ("admin", "x"), ("log-format", "text")),
        *(("log-format", "json"), ("grace", "0"), ("grace", "1h30m"), ("log", "x"), ("pidfile", "x")),
    ],
)
def test_accepted(name: str, value: str) -> None:
    given = _given(name, value)
    serving.check(given)
    assert given.last(f"--{name}") == value


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("workers", "2", "more than one worker is not in this release yet"),
        ("workers", "0", "--workers is '0', expected a number from 1 or auto"),
        ("workers", "many", "expected a number from 1 or auto"),
        ("workers", "²", "expected a number from 1 or auto"),
        ("user", "www-data", "--user is not in this release yet"),
        ("admin", "", "--admin needs the name of a file"),
        ("log-format", "xml", "--log-format is 'xml', expected text or json"),
        ("grace", "10", "--grace is '10', expected a duration as 30s: "),
        ("grace", "-1s", "it is negative"),
        ("log", "", "--log needs the name of a file"),
        ("pidfile", "", "--pidfile needs the name of a file"),
    ],
)
def test_refused(name: str, value: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        serving.check(_given(name, value))
    assert said in str(raised.value)


def test_grace() -> None:
    assert serving.grace(Given({}, [])) == 30.0
    assert serving.grace(_given("grace", "1m500ms")) == 60.5
