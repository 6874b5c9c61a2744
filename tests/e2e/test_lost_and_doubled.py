"""Under load, with backends that close, hang up, stop or die: no GET is lost and no POST is executed twice.

Rules 7 and 8 and topic 2.13 of the specification of reliability. A kept-alive connection may be closed by the backend
just when the next request is on its way: that is nobody's fault, and no 502 for what is safe to send again.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.pair import Pair
from e2e.recording_backend import RecordingBackend
from kit import BackendConnection, Posthouse, RawClient, Request, Stage, Truncated, request, response
from kit.backend import PATIENCE
from kit.posthouse import free_port

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    log / access.log json
    proxy / BACKEND {
        fail_timeout 1m
        max_fails 1
    }
}
"""


@pytest.fixture
def client(stage: Stage) -> Iterator[RawClient]:
    with stage.client() as connected:
        yield connected


# A kept-alive connection that ends at the worst moment; one backend, no `try_duration`, and one failure would mark it.


def test_closed_right_after_the_answer(stage: Stage, client: RawClient) -> None:
    """Without saying so. Whether the close or the next request is first is a matter of luck, hundreds of times."""

    def close_soon(asked: Request, connection: BackendConnection) -> None:
        connection.send(response(200, body=asked.target))
        connection.close()

    stage.backend.on_request = close_soon
    for number in range(400):
        target = b"/%d" % number
        answer = client.exchange(request("GET", target))
        assert (answer.status, answer.body) == (200, target)
    assert client.is_open()


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_closed_with_the_next_request_on_its_way(stage: Stage, client: RawClient, how: str) -> None:
    """The backend has the request in its socket and closes without having looked at it."""

    def serve_one(connection: BackendConnection) -> None:
        connection.read_request()
        connection.send(response(200, body=b"served"))
        connection.fill()
        connection.reset() if how == "rst" else connection.close()

    stage.backend.on_connect = serve_one
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] * 20:
        answer = client.exchange(request(method, "/", body=b"body" if method == "PUT" else None), method)
        assert answer.status == 200
    line = json.loads(stage.posthouse.wait_access(1)[-1])
    assert line["failure"] is None
    assert client.is_open()


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_post_is_not_sent_again(stage: Stage, client: RawClient, how: str) -> None:
    """Read and perhaps executed before the connection broke: 502, and the backend is not marked for it."""
    executed: Counter[bytes] = Counter()

    def execute_and_hang_up(asked: Request, connection: BackendConnection) -> bytes | None:
        executed[asked.target] += 1
        if asked.method == b"GET":
            return response(200, body=b"fine")
        connection.reset() if how == "rst" else connection.close()
        return None

    stage.backend.on_request = execute_and_hang_up
    for number in range(30):
        assert client.exchange(request("GET", f"/warm/{number}")).status == 200
        assert client.exchange(request("POST", f"/post/{number}", body=b"body")).status == 502
    assert set(executed.values()) == {1}
    assert len(executed) == 60


def wait_closed(connection: BackendConnection) -> None:
    """Until its FIN has been sent, which on loopback is until it has arrived."""
    deadline = time.monotonic() + PATIENCE
    while connection.socket.fileno() != -1:
        assert time.monotonic() < deadline
        time.sleep(0.0005)


def test_a_post_on_a_connection_that_is_closed_already(stage: Stage, client: RawClient) -> None:
    """The close has arrived before the request: the connection is not used, and the POST is not lost."""

    def close_soon(asked: Request, connection: BackendConnection) -> None:
        connection.send(response(200, body=asked.target))
        connection.finish_sending()  # a socket looks closed a moment before its FIN has gone
        connection.close()

    stage.backend.on_request = close_soon
    for number in range(200):
        target = b"/%d" % number
        assert client.exchange(request("POST", target, body=b"body")).body == target
        wait_closed(stage.backend.connections[-1])
    posted = [asked.target for asked in stage.backend.requests if asked.method == b"POST"]
    assert posted == [b"/%d" % number for number in range(200)]


# Processes that stop and die.


class Load:
    """Clients that ask one request after the other, each with an id of its own, until stopped.

    lost       what did not get its own answer: (target, status or what was raised)
    answered   how many did
    """

    def __init__(self, port: int, method: str, clients: int = 6) -> None:
        self.lost: list[tuple[str, object]] = []
        self.answered = 0
        self._port, self._method = port, method
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def wait(self, count: int) -> None:
        """Until so many more were answered."""
        wanted, deadline = self.answered + count, time.monotonic() + PATIENCE
        while self.answered < wanted:
            assert time.monotonic() < deadline, f"{self.answered} answered, {self.lost[:10]} lost"
            time.sleep(0.01)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)

    def _ask(self, number: int) -> None:
        client = RawClient(self._port)
        count = 0
        while not self._stop.is_set():
            target = f"/{number}/{count}"
            count += 1
            body = b"body" if self._method == "POST" else None
            try:
                answer = client.exchange(request(self._method, target, body=body))
                result: object = answer.status
                is_fine = answer.status == 200 and answer.body == target.encode()
            except (Truncated, TimeoutError) as error:
                result, is_fine = error, False
                client.close()
                client = RawClient(self._port)
            with self._lock:
                self.answered += is_fine
                if not is_fine:
                    self.lost.append((target, result))
        client.close()


@pytest.fixture
def recorders(tmp_path: Path) -> Iterator[list[RecordingBackend]]:
    """Two backend processes that share one record."""
    record = tmp_path / "executed"
    started = [RecordingBackend(free_port(), record) for _ in range(2)]
    yield started
    for backend in started:
        if backend.process.poll() is None:
            backend.signal(signal.SIGCONT)
            backend.kill()


@pytest.fixture
def pair(start_posthouse: Callable[..., Posthouse]) -> Iterator[Pair]:
    made = Pair(start_posthouse)
    yield made
    made.close()


POOL = """
http://:PORT {
    bind 127.0.0.1
    proxy / FIRST SECOND {
        policy round_robin
        PROPERTIES
    }
}
"""


def serve(pair: Pair, recorders: list[RecordingBackend], *properties: str) -> int:
    names = {"FIRST": recorders[0].address, "SECOND": recorders[1].address}
    return pair.serve(*properties, site=POOL, **names).named_port()


def test_no_get_is_lost_when_a_backend_is_killed(pair: Pair, recorders: list[RecordingBackend]) -> None:
    """Killed and restarted twice under load."""
    load = Load(serve(pair, recorders, "try_duration 10s", "fail_timeout 500ms"), "GET")
    try:
        load.wait(100)
        for _ in range(2):
            recorders[0].kill()
            load.wait(200)
            recorders[0].start()
            load.wait(200)
    finally:
        load.stop()
    assert load.lost == []


def assert_executed_once(recorders: list[RecordingBackend], load: Load) -> None:
    executed = Counter(recorders[0].executed())
    twice = [what for what, count in executed.items() if count > 1]
    assert twice == []
    assert len(executed) >= load.answered


def test_no_post_is_doubled_when_a_backend_is_killed(pair: Pair, recorders: list[RecordingBackend]) -> None:
    """What was in flight there is lost, each client at most its one; everything else is answered."""
    load = Load(serve(pair, recorders, "try_duration 10s", "fail_timeout 500ms"), "POST")
    try:
        load.wait(100)
        for _ in range(2):
            recorders[0].kill()
            load.wait(200)
            recorders[0].start()
            load.wait(200)
    finally:
        load.stop()
    assert_executed_once(recorders, load)
    assert len(load.lost) <= 2 * 6
    assert {result for _, result in load.lost} <= {502}


def test_no_post_is_doubled_when_a_backend_is_stopped(pair: Pair, recorders: list[RecordingBackend]) -> None:
    """Stopped, its kernel still takes connections and requests; it executes them when it goes on."""
    properties = ["try_duration 10s", "fail_timeout 1s", "response_timeout 300ms"]
    load = Load(serve(pair, recorders, *properties), "POST")
    try:
        load.wait(100)
        recorders[0].signal(signal.SIGSTOP)
        load.wait(200)
        recorders[0].signal(signal.SIGCONT)
        load.wait(400)
    finally:
        load.stop()
    assert_executed_once(recorders, load)
    assert {result for _, result in load.lost} <= {504}
