"""A full pool: who waits, who is next, and who is told to come again, with a backend that counts."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from kit import BackendConnection, Posthouse, RawClient, Request, ScriptedBackend, request, response
from kit.backend import PATIENCE
from posthouse.admin.client import fetch

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    log / access.log json
    log /timed timed.log "{status} {queue_ms}"
    proxy / BACKEND {
        name main
        max_conns 2
        queue 3 20s
    }
    proxy /short BACKEND2 {
        max_conns 1
        queue 3 200ms
    }
    proxy /timed BACKEND2 {
        name timed
        max_conns 1
    }
}
"""


class Counting(ScriptedBackend):
    """Holds each request until `let_one_go`, in the order in which they came; knows how many it had at once."""

    def __init__(self) -> None:
        super().__init__(self.hold_it)
        self.held: dict[bytes, threading.Event] = {}
        self.most = self.running = 0
        self.came = threading.Condition()

    def hold_it(self, asked: Request, connection: BackendConnection) -> bytes:
        gate = threading.Event()
        with self.came:
            self.running += 1
            self.most = max(self.most, self.running)
            self.held[asked.target] = gate
            self.came.notify_all()
        gate.wait(20)
        with self.came:
            self.running -= 1
            self.came.notify_all()
        return response(200, body=asked.target)

    def begin(self) -> None:
        """Hold again; everybody of before has gone."""
        with self.came:
            assert self.came.wait_for(lambda: not self.running, 5)
            self.held.clear()
            self.most = 0
        self.requests.clear()
        self.on_request = self.hold_it

    def wait_for(self, *targets: str) -> None:
        """Until exactly these are here."""
        wanted = {target.encode() for target in targets}
        with self.came:
            assert self.came.wait_for(lambda: self.held.keys() == wanted, 5), (self.held.keys(), wanted)

    def let_go(self, target: str) -> None:
        with self.came:
            self.held.pop(target.encode()).set()

    def open(self) -> None:
        """Nobody is held any more."""
        with self.came:
            for gate in self.held.values():
                gate.set()
            self.held.clear()
        self.on_request = lambda asked, connection: response(200, body=asked.target)


def status(house: House) -> dict[str, Any]:
    return fetch(house.posthouse.admin_socket(), "/status")


def queued(house: House, name: str = "main") -> int:
    """How many wait in the pool of that name."""
    lengths = [pool["queue"]["length"] for pool in status(house)["pools"] if pool["name"] == name]
    return int(lengths[0])


class House:
    """Posthouse before two such backends, and clients that are closed in the end."""

    def __init__(self) -> None:
        self.backend, self.second = Counting(), Counting()
        self.posthouse = Posthouse(CADDYFILE, BACKEND2=self.second.address, BACKEND=self.backend.address)
        self.port = self.posthouse.named_port()
        self.clients: list[RawClient] = []
        self.generation = 1
        self.is_changed = False

    def ask(self, target: str) -> RawClient:
        client = RawClient(self.port)
        self.clients.append(client)
        client.send(request("GET", target))
        return client

    def fill(self, count: int = 2) -> list[RawClient]:
        """So many are at the backend."""
        targets = [f"/run{number}" for number in range(count)]
        clients = [self.ask(target) for target in targets]
        self.backend.wait_for(*targets)
        return clients

    def reload(self, caddyfile: str) -> None:
        self.generation += 1
        self.is_changed = caddyfile != CADDYFILE
        self.posthouse.reload(caddyfile)
        self.posthouse.wait_stderr(f"reloaded .*generation={self.generation} ")

    def failure_of(self, target: str) -> str | None:
        """What the log has for the last request of that target."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            lines = map(json.loads, reversed(self.posthouse.access_log()))
            for line in lines:
                if line["uri"] == target:
                    return line["failure"]  # type: ignore[no-any-return]
            time.sleep(0.02)
        raise AssertionError(f"{target} is not in the log")

    def clear(self) -> None:
        """As good as new: nobody waits, nothing runs."""
        self.hang_up()
        for backend in (self.backend, self.second):
            backend.open()
        if self.is_changed:
            self.reload(CADDYFILE)
        deadline = time.monotonic() + PATIENCE
        while status(self)["exchanges"]:
            assert time.monotonic() < deadline
        for backend in (self.backend, self.second):
            backend.begin()

    def hang_up(self) -> None:
        for client in self.clients:
            client.close()
        self.clients.clear()

    def close(self) -> None:
        self.hang_up()
        self.posthouse.stop()
        for backend in (self.backend, self.second):
            backend.open()
            backend.close()


@pytest.fixture(scope="module")
def shared_house() -> Iterator[House]:
    made = House()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def house(shared_house: House) -> Iterator[House]:
    shared_house.clear()
    before = len(shared_house.posthouse.stderr())
    yield shared_house
    written = shared_house.posthouse.stderr()[before:]
    print(written)
    assert "internal error" not in written
    assert shared_house.backend.most <= 2 and shared_house.second.most <= 1


def wait_queued(house: House, count: int, name: str = "main") -> None:
    """Until so many wait in the pool."""
    deadline = time.monotonic() + PATIENCE
    while (found := queued(house, name)) != count:
        assert time.monotonic() < deadline, f"{found} wait, not {count}"
        time.sleep(0.005)


def test_who_came_first_is_served_first_and_all_but_the_last_fit(house: House) -> None:
    running = house.fill()
    waiting = []
    for number in range(3):
        waiting.append(house.ask(f"/wait{number}"))
        wait_queued(house, number + 1)
    refused = house.ask("/late").read_response()
    assert refused.status == 503 and refused.field("Retry-After") == b"20"
    here = ["/run0", "/run1"]
    for number in range(3):
        gone = here.pop(0)
        house.backend.let_go(gone)
        here.append(f"/wait{number}")
        house.backend.wait_for(*here)
        assert queued(house) == 2 - number
    for target in here:
        house.backend.let_go(target)
    assert [client.read_response().body for client in running + waiting] == [
        b"/run0",
        b"/run1",
        b"/wait0",
        b"/wait1",
        b"/wait2",
    ]
    assert [house.failure_of(target) for target in ("/late", "/wait2")] == ["full", None]
    house.posthouse.wait_stderr("failure=full .*and 3 wait already")


def test_the_wait_ends_and_the_log_says_how_long_it_was(house: House) -> None:
    house.ask("/short/run")
    house.second.wait_for("/short/run")
    answer = house.ask("/short/wait").read_response()
    assert answer.status == 503 and answer.field("Retry-After") == b"1"
    assert house.failure_of("/short/wait") == "queue_timeout"
    found = house.posthouse.wait_stderr(r"failure=queue_timeout .*queue_ms=(\d+)")
    assert 200 <= int(found[1]) < 5000
    house.second.let_go("/short/run")


def test_the_placeholder_tells_the_time_waited(house: House) -> None:
    first = house.ask("/timed/a")
    house.second.wait_for("/timed/a")
    second = house.ask("/timed/b")
    wait_queued(house, 1, "timed")
    time.sleep(0.05)  # what is measured, not what is waited for
    house.second.let_go("/timed/a")
    house.second.wait_for("/timed/b")
    house.second.let_go("/timed/b")
    assert (first.read_response().status, second.read_response().status) == (200, 200)
    lines = house.posthouse.wait_access(2, "timed.log")
    times = [int(line.split()[1]) for line in lines]
    assert times[0] == 0 and times[1] >= 50


def test_who_hangs_up_leaves_at_once(house: House) -> None:
    house.fill()
    gone, stays = house.ask("/gone"), house.ask("/stays")
    wait_queued(house, 2)
    gone.reset()
    wait_queued(house, 1)
    house.backend.let_go("/run0")
    house.backend.wait_for("/run1", "/stays")
    for target in ("/run1", "/stays"):
        house.backend.let_go(target)
    assert stays.read_response().body == b"/stays"
    assert b"/gone" not in {asked.target for asked in house.backend.requests}


def test_a_crowd_is_never_more_than_the_limit_and_nobody_is_lost(house: House) -> None:
    """Five threads, which just fit (2 run, 3 wait), each with 20 requests."""
    house.backend.open()
    original = house.backend.on_request
    lock, now, most = threading.Lock(), [0], [0]

    def count(asked: Request, connection: BackendConnection) -> bytes | None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.001)
        with lock:
            now[0] -= 1
        return original(asked, connection)

    house.backend.on_request = count
    statuses: list[int] = []

    def ask() -> None:
        with RawClient(house.port) as client:
            got = [client.exchange(request("GET", f"/{number}")).status for number in range(20)]
            statuses.extend(got)

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert statuses == [200] * 100 and most[0] == 2
    assert queued(house) == 0


def test_over_a_reload_everybody_keeps_the_place(house: House) -> None:
    running = house.fill()
    old = house.ask("/old")
    wait_queued(house, 1)
    house.reload(CADDYFILE.replace("queue 3 20s", "queue 5 20s\n        try_interval 1s"))
    new = house.ask("/new")
    wait_queued(house, 2)
    house.backend.let_go("/run0")
    house.backend.wait_for("/run1", "/old")
    house.backend.let_go("/old")
    house.backend.wait_for("/run1", "/new")
    for target in ("/run1", "/new"):
        house.backend.let_go(target)
    assert [one.read_response().status for one in (*running, old, new)] == [200] * 4


def test_who_waits_gets_a_backend_that_a_reload_adds(house: House) -> None:
    """It is why one adds it."""
    running = house.fill()
    old = house.ask("/old")
    wait_queued(house, 1)
    house.reload(CADDYFILE.replace("proxy / BACKEND {", "proxy / BACKEND BACKEND2 {"))
    house.second.wait_for("/old")
    assert queued(house) == 0
    house.second.let_go("/old")
    assert old.read_response().body == b"/old"
    house.backend.open()
    assert [one.read_response().status for one in running] == [200] * 2


def test_not_if_the_rules_for_its_head_are_no_longer_the_same(house: House) -> None:
    """They were written for the backends of that time: a secret may be among them."""
    running = house.fill()
    old = house.ask("/old")
    wait_queued(house, 1)
    house.reload(
        CADDYFILE.replace("proxy / BACKEND {", "proxy / BACKEND BACKEND2 {\n header_upstream X-Secret new")
    )
    assert queued(house) == 1
    house.backend.let_go("/run0")
    house.backend.wait_for("/run1", "/old")
    assert house.second.held == {}
    house.backend.open()
    assert [one.read_response().status for one in (*running, old)] == [200] * 3


def test_a_pool_that_goes_serves_who_waits(house: House) -> None:
    running = house.fill()
    old = house.ask("/old")
    wait_queued(house, 1)
    house.reload("http://:PORT {\n bind 127.0.0.1\n proxy / BACKEND2\n}\n")
    house.backend.let_go("/run0")
    house.backend.wait_for("/run1", "/old")
    for target in ("/run1", "/old"):
        house.backend.let_go(target)
    assert [one.read_response().status for one in (*running, old)] == [200] * 3


def test_a_limit_that_is_raised_wakes(house: House) -> None:
    house.fill()
    waiting = [house.ask(f"/wait{number}") for number in range(2)]
    wait_queued(house, 2)
    house.reload(CADDYFILE.replace("max_conns 2", "max_conns 3"))
    with house.backend.came:
        assert house.backend.came.wait_for(lambda: len(house.backend.held) == 3, 5)
    house.backend.most = 2  # three were meant
    house.backend.open()
    assert [one.read_response().status for one in waiting] == [200] * 2
