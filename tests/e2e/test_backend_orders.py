"""`posthouse backend` with real processes: two workers, three backends that answer with their names."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from kit import BackendConnection, Posthouse, RawClient, Request, ScriptedBackend, get, request, response
from kit.http1 import Response
from posthouse.admin.client import ask, fetch
from posthouse.cli import main

CADDYFILE = """
http://site.test:PORT {
    bind 127.0.0.1
    proxy / A B C { policy round_robin name plain }
    proxy /sticky A B C { policy sticky }
    proxy /found file:LIST { policy round_robin name found }
    proxy /only A { name only }
    proxy /checked A B {
        name checked
        policy round_robin
        health_check /health
        health_check_interval 20ms
    }
}
http://two.test:PORT {
    bind 127.0.0.1
    proxy / A
}
"""
WITHOUT_A = CADDYFILE.replace("proxy / A B C {", "proxy / B C {")
HEAVY_A = CADDYFILE.replace(
    "proxy / A B C { policy round_robin name plain }",
    "proxy / { upstream A weight=3 upstream B upstream C policy round_robin name plain }",
)


class Trio:
    """Posthouse before A, B and C; health: what they answer to checks."""

    def __init__(self, folder: Path) -> None:
        self.backends = {name: ScriptedBackend() for name in "ABC"}
        self.health = dict.fromkeys("ABC", 200)
        self.list = folder / "list"
        a, b, c = (backend.address for backend in self.backends.values())
        self.write(a, b)
        self.posthouse = Posthouse(
            CADDYFILE, A=a, B=b, C=c, LIST=str(self.list), workers=2, env={"XDG_DATA_HOME": str(folder)}
        )
        self.port = self.posthouse.named_port()
        self.answer()

    def write(self, *addresses: str) -> None:
        """What the list of backends says."""
        fresh = self.list.with_suffix(".new")
        fresh.write_text("\n".join(addresses) + "\n")
        fresh.replace(self.list)

    def answer(self) -> None:
        """All answer with their names from now on."""

        def saying(name: str) -> Callable[[Request, BackendConnection], bytes]:
            return lambda asked, connection: (
                response(self.health[name])
                if asked.target == b"/health"
                else response(200, body=name.encode())
            )

        for name, backend in self.backends.items():
            backend.on_request = saying(name)

    def name(self, which: str) -> str:
        return f"http://{self.backends[which].address}"

    def order(self, act: str, pool: str, which: str, weight: str = "") -> tuple[int, dict[str, Any]]:
        return self.ask(act, pool, self.name(which), weight)

    def ask(self, act: str, pool: str, backend: str, weight: str = "") -> tuple[int, dict[str, Any]]:
        query = urlencode({"order": act, "pool": pool, "backend": backend, "weight": weight})
        return ask(self.posthouse.admin_socket(), "POST", f"/backend?{query}")

    def obey(self, act: str, pool: str, which: str, weight: str = "") -> dict[str, Any]:
        status, report = self.order(act, pool, which, weight)
        assert (status, report.get("unconfirmed")) == (200, 0), report
        return report

    def command(self, *words: str) -> int:
        """`posthouse backend`, in this process; the exit code."""
        return main(["backend", "--admin", self.posthouse.admin_socket(), *words])

    def get(self, target: str, cookie: str = "") -> Response:
        fields = [("Cookie", cookie)] if cookie else []
        return get(self.port, target, fields)

    def count(self, target: str, times: int = 24) -> Counter[str]:
        """Who answers, each time on a connection of its own, so that both workers are asked."""
        return Counter(self.get(target).body.decode() for _ in range(times))

    def backend(self, pool: str, which: str) -> dict[str, Any]:
        """What `posthouse status` says of it."""
        pools = fetch(self.posthouse.admin_socket(), "/status")["pools"]
        (found,) = [one for one in pools if one["name"] == pool]
        (backend,) = [one for one in found["backends"] if one["name"] == self.name(which)]
        return dict(backend)

    def orders(self) -> list[tuple[str, str, str | None, int | None]]:
        orders = fetch(self.posthouse.admin_socket(), "/status")["orders"]
        return [(one["pool"], one["backend"], one["order"], one["weight"]) for one in orders]

    def reload(self, caddyfile: str) -> None:
        before = self.posthouse.stderr().count("reloaded")
        self.posthouse.reload(caddyfile)
        self.posthouse.wait_stderr(r"(?s)" + r"reloaded.*" * (before + 1))

    def close(self) -> None:
        self.posthouse.stop()
        for backend in self.backends.values():
            backend.close()


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trio]:
    made = Trio(tmp_path_factory.mktemp("orders"))
    yield made
    made.close()


@pytest.fixture
def trio(started: Trio) -> Iterator[Trio]:
    """As good as new: without orders."""
    yield started
    for backend in started.backends.values():
        backend.release()
    started.answer()
    started.health.update(dict.fromkeys("ABC", 200))
    for one in fetch(started.posthouse.admin_socket(), "/status")["orders"]:
        acts = ["weight"] if one["weight"] else []
        acts += [{"drain": "undrain", "disable": "enable"}[one["order"]]] if one["order"] else []
        for act in acts:
            started.ask(act, one["pool"], one["backend"], "default")
    assert not started.orders()


def test_disabled_gets_nothing_until_enabled(trio: Trio) -> None:
    assert set(trio.count("/")) == {"A", "B", "C"}
    report = trio.obey("disable", "plain", "A")
    assert (report["pool"], report["backend"], report["order"]) == ("plain", trio.name("A"), "disable")
    assert set(trio.count("/")) == {"B", "C"}
    assert trio.count("/checked")["A"], "an order is for one pool"
    shown = trio.backend("plain", "A")
    assert (shown["state"], shown["reason"], shown["is_usable"]) == ("disabled", "by order", False)
    assert shown["since"] is not None
    trio.posthouse.wait_stderr(rf"backend ordered.*{trio.name('A')}.*disable")
    assert not trio.obey("disable", "plain", "A")["changed"]
    trio.obey("enable", "plain", "A")
    assert trio.count("/")["A"] >= 4
    assert trio.backend("plain", "A")["state"] == "up" and not trio.orders()


def test_what_runs_is_finished(trio: Trio) -> None:
    came: list[Request] = []
    is_there = threading.Event()

    def late(asked: Request, connection: BackendConnection) -> bytes:
        if asked.target == b"/only":
            came.append(asked)
            is_there.set()
            connection.backend.hold()
        return response(200, body=b"late")

    trio.backends["A"].on_request = late
    with RawClient(trio.port) as client:
        client.send(request("GET", "/only"))
        assert is_there.wait(5)
        trio.obey("disable", "only", "A")
        assert [trio.get("/only").status for _ in range(8)] == [503] * 8
        assert len(came) == 1
        trio.backends["A"].release()
        assert client.read_response().body == b"late"
    trio.posthouse.wait_stderr(r"every backend is disabled \(by order\)")


def test_draining_keeps_its_sessions(trio: Trio) -> None:
    first = trio.get("/sticky")
    home = first.body.decode()
    cookie = first.all("set-cookie")[0].decode().partition(";")[0]
    pool = f"http://site.test:{trio.port} /sticky"
    trio.obey("drain", pool, home)
    for _ in range(6):
        assert trio.get("/sticky", cookie).body.decode() == home
    assert home not in trio.count("/sticky")
    assert trio.backend(pool, home)["state"] == "draining"
    trio.obey("disable", pool, home)
    moved = [trio.get("/sticky", cookie).body.decode() for _ in range(6)]
    assert home not in moved
    status, report = trio.order("undrain", pool, home)
    assert status == 422 and "disabled by order" in report["error"] and "`enable`" in report["error"]
    trio.obey("enable", pool, home)
    assert trio.get("/sticky", cookie).body.decode() == home


def test_weight(trio: Trio) -> None:
    trio.obey("weight", "plain", "A", "10")
    with RawClient(trio.port) as client:
        ask_again = request("GET", "/")
        counts = Counter(client.exchange(ask_again).body.decode() for _ in range(24))
    assert counts == {"A": 20, "B": 2, "C": 2}
    assert trio.backend("plain", "A")["weight"] == 10
    trio.obey("weight", "plain", "A", "default")
    with RawClient(trio.port) as client:
        counts = Counter(client.exchange(ask_again).body.decode() for _ in range(24))
    assert counts == {"A": 8, "B": 8, "C": 8}
    for wrong in ("0", "1001", "x", "", "9" * 5000):
        status, report = trio.order("weight", "plain", "A", wrong)
        assert status == 422 and "from 1 to 1000" in report["error"], wrong[:5]
    assert trio.obey("weight", "plain", "A", "1000")["weight"] == 1000


def wait_for(look: Callable[[], bool]) -> None:
    turn = threading.Event()
    for _ in range(500):
        if look():
            return
        turn.wait(0.01)
    raise AssertionError("it does not come")


def test_an_order_wins_over_checks_and_a_weight_leaves_them_alone(trio: Trio) -> None:
    trio.obey("drain", "checked", "A")
    assert set(trio.count("/checked", 8)) == {"B"}
    trio.health["A"] = 503
    wait_for(lambda: "health checks: down, status 503" in trio.backend("checked", "A")["reason"])
    assert trio.backend("checked", "A")["state"] == "draining"
    trio.obey("undrain", "checked", "A")
    assert trio.backend("checked", "A")["state"] == "down"
    trio.obey("weight", "checked", "A", "7")
    assert trio.backend("checked", "A")["state"] == "down", "that it weighs something else heals nobody"
    assert set(trio.count("/checked", 8)) == {"B"}


def test_a_worker_that_takes_anothers_place_obeys(trio: Trio) -> None:
    trio.obey("disable", "plain", "A")
    trio.obey("weight", "plain", "B", "5")
    replaced = trio.posthouse.stderr().count("worker replaced")
    for worker in trio.posthouse.workers():
        os.kill(worker, signal.SIGKILL)
    trio.posthouse.wait_stderr(r"(?s)" + r"worker replaced.*" * (replaced + 2), timeout=20)
    counts = trio.count("/", 36)
    assert set(counts) == {"B", "C"} and counts["B"] > 2 * counts["C"]


def test_a_reload_keeps_orders_and_drops_those_for_what_it_takes_away(trio: Trio) -> None:
    trio.obey("disable", "plain", "A")
    trio.obey("weight", "plain", "A", "9")
    trio.obey("drain", "plain", "B")
    trio.reload(CADDYFILE)
    assert set(trio.count("/")) == {"C"}
    trio.reload(HEAVY_A)
    assert trio.orders() == [
        ("plain", trio.name("A"), "disable", None),
        ("plain", trio.name("B"), "drain", None),
    ]
    trio.posthouse.wait_stderr(rf"order dropped by the reload.*{trio.name('A')}.*weight")
    assert trio.backend("plain", "A")["weight"] == 3
    trio.reload(WITHOUT_A)
    assert trio.orders() == [("plain", trio.name("B"), "drain", None)]
    trio.reload(CADDYFILE)
    assert set(trio.count("/")) == {"A", "C"}, "what came back comes without an order"


def test_backends_that_are_found(trio: Trio) -> None:
    a, b, c = (trio.backends[name].address for name in "ABC")
    trio.obey("disable", "found", "A")
    trio.obey("weight", "found", "B", "4")
    assert set(trio.count("/found")) == {"B"}
    trio.write(c)
    wait_for(lambda: trio.count("/found", 8) == {"C": 8})
    trio.write(a, b, c)
    wait_for(lambda: trio.count("/found", 8)["B"] > 3)
    assert "A" not in trio.count("/found"), "it left and came back"
    assert trio.backend("found", "B")["weight"] == 4


def test_the_command(trio: Trio, capsys: pytest.CaptureFixture[str]) -> None:
    address = trio.backends["A"].address
    assert trio.command("disable", "plain", address) == 0
    assert capsys.readouterr().out == f"{trio.name('A')} of plain: disabled by order\n"
    assert trio.command("weight", "plain", trio.name("A"), "5", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["order"], told["weight"], told["changed"], told["unconfirmed"]) == ("disable", 5, True, 0)
    assert main(["status", "--admin", trio.posthouse.admin_socket()]) == 0
    assert "disabled  0s ago" in (shown := capsys.readouterr().out) and "by order; weight 5 by order" in shown
    assert trio.command("enable", "plain", address) == 0
    assert trio.command("enable", "plain", address) == 0
    assert "not kept back by order, weight 5 by order (as before)" in capsys.readouterr().out
    assert trio.command("drain", f"http://two.test:{trio.port}", address) == 0, (
        "the site alone, if it has one"
    )


def test_the_command_says_what_there_is(trio: Trio, capsys: pytest.CaptureFixture[str]) -> None:
    assert trio.command("drain", "plane", "x") == 1
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "posthouse: there is no pool 'plane' (did you mean plain?)"
    assert {"  plain", "  found", "  only"} <= set(told[1:])
    assert trio.command("drain", "plain", "x") == 1
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("posthouse: there is no backend 'x'")
    assert set(told[1:]) == {f"  {trio.name(which)}" for which in "ABC"}
    assert trio.command("drain", "found", "x") == 1
    assert f"  {trio.name('B')}" in capsys.readouterr().err.splitlines(), "those that were found"
    for words in (
        ["drane", "plain", "x"],
        ["drain", "plain"],
        ["drain", "plain", "x", "5"],
        ["weight", "p", "x"],
    ):
        assert trio.command(*words) == 2
    assert not trio.orders()
