"""What `GET /status` says of a worker, on a clock that stands still."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from posthouse import __version__
from posthouse.adapt import adapt
from posthouse.balance.active_health import State
from posthouse.probe.prober import Last
from posthouse.server.discoverer import NOTHING_HEARD, Heard
from posthouse.server.generation import Generation, build
from posthouse.server.pressure import Shortage
from posthouse.server.runtime import Runtime
from posthouse.server.status import POOLS_AT_ONCE, Moment, Status, joined, probe_report, source_report
from unit.server.fakes import Remembering

NOW = 1000.0
WALL = 1_800_000_000.25

CADDYFILE = """
example.com:80, :8080 {
    proxy /api http://user:secret@a:1 b:2 {
        max_conns 3
        fail_timeout 10s
        queue 7 250ms
    }
}
:81 {
    status 404 /
}
"""


@dataclass
class Work:
    serving: Generation | None
    began: float = NOW - 61.5
    retiring: int = 1
    exchanges_retiring: int = 2
    exchanges: int = 5
    connections: int = 9
    connections_limit: int = 480
    shortages: Mapping[str, Shortage] = field(
        default_factory=lambda: {"connections": Shortage(False, 3), "memory": Shortage(True, 1)}
    )


@pytest.fixture
def runtime(log: Remembering) -> Iterator[Runtime]:
    loop = asyncio.new_event_loop()
    made = Runtime(loop, log)
    yield made
    made.close()
    loop.close()


class Guest:
    """Waits, and is never served."""

    is_passed = False

    def __init__(self, pool: object, since: float) -> None:
        self.pool = pool
        self.since = since

    def take(self) -> bool:
        return False


def test_everything(runtime: Runtime) -> None:
    generation = build(adapt(CADDYFILE, "Caddyfile", env={}).config, runtime, None)
    generation.start()
    (pool,) = generation.pools.values()
    first, second = pool.backends
    pool.acquire(first)
    pool.fail(first, NOW - 4.0, "connect: refused")
    second.believe(State.DOWN, "status 500", NOW - 2.0)
    pool.queue.join(Guest(pool, NOW - 0.125))
    status = Status(Work(generation), "/etc/Caddyfile", lambda: Moment(NOW, WALL))
    report = joined(status.pieces())
    assert json.loads(json.dumps(report)) == {
        "version": __version__,
        "pid": os.getpid(),
        "config": "/etc/Caddyfile",
        "started": "2027-01-15T07:58:58.750Z",
        "uptime_s": 61.5,
        "generation": 1,
        "generations_retiring": 1,
        "exchanges_retiring": 2,
        "exchanges": 5,
        "connections": 9,
        "connections_limit": 480,
        "short_of": ["memory"],
        "sites": [
            {
                "name": "example.com:80",
                "addresses": ["example.com:80", ":8080"],
                "pools": ["example.com:80 /api"],
            },
            {"name": ":81", "addresses": [":81"], "pools": []},
        ],
        "pools": [
            {
                "name": "example.com:80 /api",
                "policy": "random",
                "queue": {"length": 1, "size": 7, "wait_s": 0.25, "oldest_ms": 125},
                "sources": [],
                "backends": [
                    {
                        "name": "http://a:1",
                        "state": "failing",
                        "reason": "connect: refused",
                        "since": "2027-01-15T07:59:56.250Z",
                        "is_usable": False,
                        "in_flight": 1,
                        "max_conns": 3,
                        "weight": 1,
                        "warmth": 1.0,
                        "role": "primary",
                        "fails": 1,
                        "left_out_s": 6.0,
                        "probe": None,
                    },
                    {
                        "name": "http://b:2",
                        "state": "down",
                        "reason": "status 500",
                        "since": "2027-01-15T07:59:58.250Z",
                        "is_usable": False,
                        "in_flight": 0,
                        "max_conns": 3,
                        "weight": 1,
                        "warmth": 1.0,
                        "role": "primary",
                        "fails": 0,
                        "left_out_s": None,
                        "probe": None,
                    },
                ],
            }
        ],
    }
    pool.release(first)


def test_checks() -> None:
    moment = Moment(NOW, WALL)
    found = probe_report(Last(NOW - 2.0, "fail", "status 500"), moment)
    assert found == {"at": "2027-01-15T07:59:58.250Z", "verdict": "fail", "reason": "status 500"}
    assert probe_report(None, moment) is None


def test_sources() -> None:
    text = ":80 {\n proxy / srv://a dns://b:1 file:/c srv://d\n}\n"
    sources = adapt(text, "Caddyfile", env={}).config.sites[0].routes[0].pool.sources
    trouble = "SRV: the name does not exist"
    heard = {
        "srv://a": Heard(0, trouble, NOW - 3.0),
        "dns://b:1": Heard(2, "A: no answer within 5 s", NOW - 2.0),
        "file:/c": Heard(1, "", NOW - 1.0),
        "srv://d": NOTHING_HEARD,
    }
    since = [f"2027-01-15T07:59:5{second}.250Z" for second in (7, 8, 9)]
    assert [source_report(one, heard[one.text], Moment(NOW, WALL)) for one in sources] == [
        {"name": "srv://a", "state": "down", "members": 0, "trouble": trouble, "since": since[0]},
        {
            "name": "dns://b:1",
            "state": "stale",
            "members": 2,
            "trouble": "A: no answer within 5 s",
            "since": since[1],
        },
        {"name": "file:/c", "state": "up", "members": 1, "trouble": None, "since": since[2]},
        {"name": "srv://d", "state": "new", "members": 0, "trouble": None, "since": None},
    ]


def test_nothing_is_known_yet(runtime: Runtime) -> None:
    generation = build(adapt(":80 {\n proxy / a:1\n}\n", "Caddyfile", env={}).config, runtime, None)
    work = Work(generation, retiring=0)
    status = Status(work, None, lambda: Moment(NOW, WALL))
    report = json.loads(json.dumps(joined(status.pieces())))
    (pool,) = report["pools"]
    assert report["config"] is None
    assert pool["queue"] == {"length": 0, "size": 100, "wait_s": 1.0, "oldest_ms": None}
    assert pool["backends"] == [
        {
            "name": "http://a:1",
            "state": "up",
            "reason": None,
            "since": None,
            "is_usable": True,
            "in_flight": 0,
            "max_conns": None,
            "weight": 1,
            "warmth": 1.0,
            "role": "primary",
            "fails": 0,
            "left_out_s": None,
            "probe": None,
        }
    ]
    work.serving = None
    report = joined(status.pieces())
    assert (report["generation"], report["sites"], report["pools"]) == (0, [], [])


def test_a_piece_has_no_more_than_so_many_sites_or_pools(runtime: Runtime) -> None:
    count = 2 * POOLS_AT_ONCE + 1
    text = "".join(f"{number}.test {{\n proxy / a\n}}\n" for number in range(count))
    generation = build(adapt(text, "Caddyfile", env={}).config, runtime, None)
    status = Status(Work(generation), None, lambda: Moment(NOW, WALL))
    first, *others = status.pieces()
    assert (first["sites"], first["pools"]) == ([], [])
    sizes = [{name: len(values) for name, values in piece.items()} for piece in map(dict[str, Any], others)]
    for name in ("sites", "pools"):
        assert [one[name] for one in sizes if name in one] == [POOLS_AT_ONCE, POOLS_AT_ONCE, 1]
    assert all(len(one) == 1 for one in sizes)
    report = joined([first, *others])
    assert [one["name"] for one in report["sites"]] == [f"{number}.test" for number in range(count)]
    assert [one["name"] for one in report["pools"]] == [f"{number}.test /" for number in range(count)]
    generation.retire()
