"""`posthouse status`: whom it asks, and how it shows what it was told."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from posthouse.admin import client
from posthouse.commands import admin_place
from posthouse.commands.command_line import Given, UsageError
from posthouse.commands.status import COMMAND, aligned, describe, span
from posthouse.errors import StartError

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)


def backend(name: str, **facts: Any) -> dict[str, Any]:
    unknown = {"reason": None, "since": None, "max_conns": None, "left_out_s": None, "probe": None}
    return {"name": name, "state": "up", "is_usable": True, "in_flight": 0, "fails": 0, **unknown, **facts}


def report() -> dict[str, Any]:
    probe = {"at": "2026-01-31T11:59:58.000Z", "verdict": "fail", "reason": "status 500"}
    return {
        "version": "1.2.3",
        "pid": 12,
        "config": "/etc/Caddyfile",
        "started": "2026-01-31T09:00:00.000Z",
        "uptime_s": 10800.5,
        "generation": 3,
        "generations_retiring": 1,
        "exchanges": 5,
        "connections": 9,
        "workers": [
            {"slot": slot, "pid": 13 + slot, "exchanges": 3 - slot, "connections": 4} for slot in (0, 1)
        ],
        "sites": [
            {"name": "a", "addresses": ["a", "b:80"], "pools": ["a /"]},
            {"name": ":81", "addresses": [":81"], "pools": []},
        ],
        "pools": [
            {
                "name": "a /",
                "policy": "random",
                "queue": {"length": 2, "size": 100, "wait_s": 1.0, "oldest_ms": 120},
                "backends": [
                    backend("http://one:9000", in_flight=2, max_conns=2),
                    backend(
                        "unix:/x",
                        state="down",
                        reason="status 500",
                        since="2026-01-31T11:57:55.000Z",
                        probe=probe,
                    ),
                    backend("http://c", state="failing", fails=3, reason="3 failed", left_out_s=7.9),
                ],
            }
        ],
    }


def test_for_a_person() -> None:
    assert describe(report(), NOW) == [
        "posthouse 1.2.3, pid 12, up 3h0m",
        "configuration  /etc/Caddyfile, generation 3 (1 former one still at work)",
        "now            9 connections, 5 exchanges",
        "workers        2 (pid 13 3 exchanges, pid 14 2 exchanges)",
        "",
        "a, b:80",
        "  a /  (policy random; 2 of 100 wait, the first for 120ms)",
        "    backend          state    since     in flight  fails  last check               reason",
        "    http://one:9000  up       -         2/2        0      -                        -",
        "    unix:/x          down     2m5s ago  0          0      fail 2s ago: status 500  status 500",
        "    http://c         failing  -         0          3      -                        3 failed, back in 7s",
        "",
        ":81",
        "  no proxy",
    ]


def test_the_quiet_case() -> None:
    quiet = report() | {"config": None, "generations_retiring": 0}
    quiet["pools"][0]["queue"] = {"length": 0, "size": 0, "wait_s": 1.0, "oldest_ms": None}
    lines = describe(quiet, NOW)
    assert lines[1] == "configuration  not from a file, generation 3"
    assert lines[6] == "  a /  (policy random; no queue)"
    assert describe(quiet | {"workers": []}, NOW)[3] == "workers        none serves"
    assert describe(quiet | {"generations_retiring": 2}, NOW)[1].endswith("(2 former ones still at work)")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        *((-1.0, "0s"), (0.9, "0s"), (59.9, "59s"), (60, "1m0s"), (3599, "59m59s"), (3600, "1h0m")),
        *((86399, "23h59m"), (86400, "1d0h"), (1e6, "11d13h")),
    ],
)
def test_spans(seconds: float, shown: str) -> None:
    assert span(seconds) == shown


def test_columns() -> None:
    assert aligned([("a", "bb"), ("ccc", "")]) == ["a    bb", "ccc"]


def test_json_is_what_was_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[tuple[str, str]] = []

    def fetch(path: str, target: str) -> dict[str, Any]:
        asked.append((path, target))
        return report()

    monkeypatch.setattr(client, "fetch", fetch)
    assert COMMAND.run(["--admin", "/x.sock", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == report()
    assert COMMAND.run(["--admin=/x.sock"]) == 0
    assert capsys.readouterr().out.startswith("posthouse 1.2.3, pid 12")
    assert asked == [("/x.sock", "/status")] * 2


def test_whom_it_asks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert admin_place.asked(Given({"--config": ["/etc/Caddyfile"]}, [])) == admin_place.default(
        "/etc/Caddyfile"
    )
    with pytest.raises(StartError, match="there is no Caddyfile in the working directory"):
        admin_place.asked(Given({}, []))
    Path("Caddyfile").write_text("")
    assert admin_place.asked(Given({}, [])) == admin_place.default(str(tmp_path / "Caddyfile"))
    with pytest.raises(UsageError, match="who serves stdin has no name"):
        admin_place.asked(Given({"--config": ["-"]}, []))
    with pytest.raises(UsageError, match="off"):
        admin_place.asked(Given({"--admin": ["off"]}, []))
