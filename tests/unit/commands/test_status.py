"""`posthouse status`: whom it asks, and how it shows what it was told."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from posthouse.admin import client
from posthouse.commands.status import COMMAND, aligned, describe, span

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
        "exchanges_retiring": 4,
        "exchanges": 5,
        "connections": 9,
        "workers": [
            {"slot": slot, "pid": 13 + slot, "exchanges": 3 - slot, "connections": 4} for slot in (0, 1)
        ],
        "orders": [],
        "sites": [
            {"name": "a", "addresses": ["a", "b:80"], "pools": ["a /"]},
            {"name": ":81", "addresses": [":81"], "pools": []},
        ],
        "pools": [
            {
                "name": "a /",
                "policy": "random",
                "queue": {"length": 2, "size": 100, "wait_s": 1.0, "oldest_ms": 120},
                "sources": [],
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


def test_what_a_worker_is_short_of_is_said() -> None:
    told = report()
    assert not [line for line in describe(told, NOW) if line.startswith("under pressure")]
    told["workers"][0]["short_of"] = []
    told["workers"][1]["short_of"] = ["connections", "descriptors", "memory"]
    assert describe(told, NOW)[4] == (
        "under pressure pid 14 at a limit of connections, new clients wait; without a descriptor, new clients wait; "
        "over its memory, new requests get 503"
    )


def test_for_a_person() -> None:
    assert describe(report(), NOW) == [
        "posthouse 1.2.3, pid 12, up 3h0m",
        "configuration  /etc/Caddyfile, generation 3 (4 exchanges on 1 former one)",
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
    one = quiet | {"generations_retiring": 1, "exchanges_retiring": 1}
    assert describe(one, NOW)[1].endswith("generation 3 (1 exchange on 1 former one)")
    more = quiet | {"generations_retiring": 2, "exchanges_retiring": 7}
    assert describe(more, NOW)[1].endswith("generation 3 (7 exchanges on 2 former ones)")


def test_orders_are_reasons() -> None:
    given = report()
    given["orders"] = [
        {"pool": "a /", "backend": name, "order": None, "weight": weight, "since": None}
        for name, weight in (("http://one:9000", 7), ("unix:/x", 8), ("http://c", None))
    ]
    given["pools"][0]["backends"][1] |= {"state": "disabled", "reason": "by order"}
    one, two, three = describe(given, NOW)[8:11]
    assert one.endswith("  -                        weight 7 by order")
    assert two.split()[:2] == ["unix:/x", "disabled"] and two.endswith("by order; weight 8 by order")
    assert three.endswith("3 failed, back in 7s")


def test_sources() -> None:
    found = report()
    (pool,) = found["pools"]
    missing = {"state": "down", "members": 0, "trouble": "SRV: the name does not exist"}
    pool["sources"] = [
        {"name": "srv://_http._tcp.web.test", "since": "2026-01-31T11:57:55.000Z", **missing},
        {"name": "file:/x", "state": "new", "members": 0, "trouble": None, "since": None},
    ]
    pool["backends"] = pool["backends"][:1]
    assert describe(found, NOW)[7:12] == [
        "    source                     state  since     members  trouble",
        "    srv://_http._tcp.web.test  down   2m5s ago  0        SRV: the name does not exist",
        "    file:/x                    new    -         0        -",
        "    backend          state  since  in flight  fails  last check  reason",
        "    http://one:9000  up     -      2/2        0      -           -",
    ]
    pool["backends"] = []
    assert describe(found, NOW)[9:11] == ["    file:/x                    new    -         0        -", ""]


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
