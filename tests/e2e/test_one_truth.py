"""Posthouse with four workers is one proxy: its limits, its queue and what it knows of backends hold for all."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kit import BadMessage, Posthouse, RawClient, ScriptedBackend, Truncated, get, request, response
from kit.backend import PATIENCE, BackendConnection
from kit.http1 import Request
from kit.posthouse import workers_of
from posthouse.admin.client import fetch

WORKERS = 4
LIMIT = 10
CADDYFILE = """http://127.0.0.1:PORT {
    bind 127.0.0.1
    proxy /limited LIMITED {
        max_conns 10
        queue 200 20s
        keepalive 0
    }
    proxy /short LIMITED {
        max_conns 2
        queue 3 20s
    }
    proxy /free LIMITED {
        name free
        max_conns 0
        queue off
    }
    metrics
    proxy /failing DEAD LIMITED {
        policy first
        fail_timeout 60s
        max_fails 1
        try_duration 1s
        name failing
    }
ALONE
}
"""
ALONE = 40
"""Pools of a backend that refuses."""
CADDYFILE = CADDYFILE.replace(
    "ALONE", "".join(f"    proxy /alone{number}/ DEAD {{ fail_timeout 60s }}\n" for number in range(ALONE))
)


def until(is_so: Callable[[], object], timeout: float = PATIENCE) -> None:
    """Look again and again; AssertionError when it does not become so."""
    deadline = time.monotonic() + timeout
    while not is_so():
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.01)


class Counting:
    """What the backend does: counts who is there at once, and may hold everybody until told otherwise."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = self.total = 0
        self.gate = threading.Semaphore(0)
        self.is_holding = False

    def answer(self, asked: Request, connection: BackendConnection) -> bytes:
        with self.lock:
            self.now += 1
            self.total += 1
            self.most = max(self.most, self.now)
        if self.is_holding:
            self.gate.acquire()
        else:
            time.sleep(0.001)
        with self.lock:
            self.now -= 1
        return response(200, body=b"ok")

    def begin(self, *, hold: bool) -> None:
        self.most = self.total = 0
        self.gate = threading.Semaphore(0)  # what a test before has released in vain is no longer there
        self.is_holding = hold


class Scene:
    def __init__(self, backend: ScriptedBackend, posthouse: Posthouse) -> None:
        self.counting = Counting()
        backend.on_request = self.counting.answer
        self.posthouse = posthouse
        self.clients: list[RawClient] = []

    def ask(self, path: str) -> RawClient:
        """A request on its way, on a connection of its own."""
        client = RawClient(self.posthouse.port)
        self.clients.append(client)
        client.send(request("GET", path, host="127.0.0.1"))
        return client


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with (
        ScriptedBackend() as backend,
        Posthouse(CADDYFILE, LIMITED=backend.address, DEAD="127.0.0.1:1", workers=WORKERS) as posthouse,
    ):
        made = Scene(backend, posthouse)
        yield made
        for client in made.clients:
            client.close()


def test_no_backend_gets_more_at_once_than_it_may(scene: Scene) -> None:
    scene.counting.begin(hold=False)
    statuses: list[int] = []

    def client() -> None:
        asked = (get(scene.posthouse.port, "/limited", host="127.0.0.1") for _ in range(8))
        statuses.extend(answer.status for answer in asked)

    threads = [threading.Thread(target=client) for _ in range(40)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert set(statuses) == {200} and len(statuses) == 320 == scene.counting.total
    assert LIMIT // 2 < scene.counting.most <= LIMIT


def test_the_bound_of_the_queue_is_one_for_all_and_so_is_its_order(scene: Scene) -> None:
    counting = scene.counting
    counting.begin(hold=True)
    holding = [scene.ask("/short") for _ in range(2)]
    until(lambda: counting.now == 2)
    crowd = {one.socket: one for one in [scene.ask("/short") for _ in range(20)]}
    until(lambda: len(readable(crowd)) >= 17)
    for one in readable(crowd):
        assert crowd.pop(one).read_response().status == 503
    assert len(crowd) == 3, "so many wait"
    for _ in range(5):
        counting.gate.release()
    for client in (*holding, *crowd.values()):
        assert client.read_response().status == 200
    assert (counting.most, counting.total) == (2, 5)


def readable(sockets: Iterable[socket.socket]) -> list[socket.socket]:
    """Those that have been answered."""
    return select.select(list(sockets), [], [], 0)[0]


def test_what_a_killed_worker_held_is_free_at_once(scene: Scene) -> None:
    counting = scene.counting
    counting.begin(hold=True)
    first = [scene.ask("/limited") for _ in range(LIMIT)]
    until(lambda: counting.now == LIMIT)
    late = [scene.ask("/limited") for _ in range(LIMIT)]
    victim = workers_of(scene.posthouse.pid)[0]
    os.kill(victim, signal.SIGKILL)
    until(lambda: victim not in workers_of(scene.posthouse.pid))
    counting.is_holding = False
    for _ in range(2 * LIMIT):
        counting.gate.release()
    ends = [answered(client) for client in (*first, *late)]
    assert all(status in (200, None) for status in ends), "answered, or cut with the worker that was killed"
    assert get(scene.posthouse.port, "/limited", host="127.0.0.1").status == 200


def answered(client: RawClient) -> int | None:
    """The status, or None for a connection that was cut."""
    try:
        return client.read_response().status
    except (BadMessage, Truncated, ConnectionError):
        return None


def test_one_failure_is_known_to_all(scene: Scene) -> None:
    scene.counting.begin(hold=False)
    for _ in range(40):
        assert get(scene.posthouse.port, "/failing", host="127.0.0.1").status == 200
    failures = scene.posthouse.stderr().count("upstream failed")
    assert failures == 1
    assert told(scene, "failing")["fails"] == 1


def status_of(scene: Scene, pool: str) -> dict[str, Any]:
    """What status says of the first backend of a pool."""
    reports = {one["name"]: one for one in fetch(scene.posthouse.admin_socket(), "/status")["pools"]}
    found: dict[str, Any] = reports[pool]["backends"][0]
    return found


def told(scene: Scene, pool: str) -> dict[str, Any]:
    """The same, and metrics say so as well; only where nothing changes, for they are asked one after the other."""
    found = status_of(scene, pool)
    scraped = {
        sample.name: sample.value
        for family in text_string_to_metric_families(
            get(scene.posthouse.port, "/metrics", host="127.0.0.1").body.decode()
        )
        for sample in family.samples
        if sample.labels.get("pool") == pool and sample.labels.get("backend") == found["name"]
    }
    assert scraped["posthouse_backend_in_flight"] == found["in_flight"]
    assert scraped["posthouse_backend_fails"] == found["fails"]
    return found


def test_a_limit_that_a_reload_brings_counts_what_is_there(scene: Scene) -> None:
    """Nobody asked before what workers hold there."""
    counting = scene.counting
    counting.begin(hold=True)
    there = [scene.ask("/free") for _ in range(12)]
    until(lambda: counting.now == 12)
    assert told(scene, "free")["in_flight"] == 12
    scene.posthouse.reload(CADDYFILE.replace("max_conns 0", "max_conns 10"))
    scene.posthouse.wait_stderr(r"reloaded .*generation=2", timeout=20)
    found = fetch(scene.posthouse.admin_socket(), "/status")
    assert (found["generations_retiring"], found["exchanges_retiring"]) == (1, 12)
    assert [scene.ask("/free").read_response().status for _ in range(8)] == [503] * 8
    for _ in range(3):
        counting.gate.release()
    until(lambda: status_of(scene, "free")["in_flight"] == 9)
    there.append(scene.ask("/free"))
    until(lambda: counting.now == 10)
    assert [scene.ask("/free").read_response().status for _ in range(8)] == [503] * 8
    scene.posthouse.reload(CADDYFILE)
    scene.posthouse.wait_stderr(r"reloaded .*generation=3", timeout=20)
    there.append(scene.ask("/free"))
    until(lambda: counting.now == 11)
    assert told(scene, "free")["in_flight"] == 11
    counting.is_holding = False
    for _ in range(11):
        counting.gate.release()
    assert [client.read_response().status for client in there] == [200] * 14
    until(lambda: status_of(scene, "free")["in_flight"] == 0)
    assert told(scene, "free")["in_flight"] == 0


def test_who_was_told_of_a_failure_does_not_meet_it_again_in_another_worker(scene: Scene) -> None:
    for number in range(ALONE):
        statuses = [get(scene.posthouse.port, f"/alone{number}/", host="127.0.0.1").status for _ in range(3)]
        assert statuses == [502, 503, 503]
