"""Options of the commands that serve: what they mean, and what is refused with its reason."""

from __future__ import annotations

import os

import pytest

from posthouse.commands import serving
from posthouse.commands.command_line import Given, UsageError
from posthouse.errors import StartError


def _given(name: str, value: str) -> Given:
    return Given({f"--{name}": [value]}, [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("workers", "1"),
            ("workers", "512"),
            ("workers", "auto"),
            ("admin", "off"),
            ("admin", "x"),
            ("log-format", "text"),
        ),
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
        ("workers", "0", "--workers is '0', expected a number from 1 to 512, or auto"),
        ("workers", "513", "expected a number from 1 to 512, or auto"),
        ("workers", "99999", "expected a number from 1 to 512, or auto"),
        ("workers", "many", "expected a number from 1 to 512, or auto"),
        ("workers", "²", "expected a number from 1 to 512, or auto"),
        ("user", "", "--user is '', expected USER or USER:GROUP"),
        ("user", ":wheel", "expected USER or USER:GROUP"),
        ("user", "www-data:", "expected USER or USER:GROUP"),
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


def test_worker_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2})
    assert serving.worker_count(Given({}, [])) == serving.worker_count(_given("workers", "auto")) == 3
    assert serving.worker_count(_given("workers", "7")) == 7


@pytest.mark.parametrize(("text", "seconds"), [("", 30.0), ("off", 0.0), ("2s", 2.0), ("100ms", 0.1)])
def test_heartbeat(text: str, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(serving.HEARTBEAT, text)
    assert serving._heartbeat() == seconds


@pytest.mark.parametrize("text", ["0", "99ms", "soon", "30"])
def test_a_wrong_heartbeat(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(serving.HEARTBEAT, text)
    with pytest.raises(
        StartError, match=f"POSTHOUSE_HEARTBEAT is '{text}', expected a duration as 30s, or off"
    ):
        serving._heartbeat()


def test_processes_of_workers_are_started_before_anything_is_read() -> None:
    recruits = serving.enlist(_given("workers", "2"))
    assert len(recruits._waiting) == 2
    recruits.dismiss()


@pytest.mark.parametrize(("name", "value"), [("log", "some.log"), ("user", "nobody")])
def test_not_where_they_inherit_what_comes_later(name: str, value: str) -> None:
    assert serving.enlist(_given(name, value)).take() is None
