"""Which backend a request goes to: every policy end to end, and `max_conns` to the letter.

"Choosing" of the stance, chapter 4 of what v1 does.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from e2e.pair import hang_up, named
from kit import BackendConnection, Posthouse, RawClient, Request, ScriptedBackend, get, request, response
from kit.backend import PATIENCE
from kit.http1 import Fields

POLICIES = (
    *("random", "round_robin", "least_conn", "first", "ip_hash", "uri_hash", "header X-User", "header Host"),
    *("query user", "cookie user"),
)
CADDYFILE = (
    """
http://:PORT {
    bind 127.0.0.1
"""
    + "".join(
        f"    proxy /{name.replace(' ', '-')} A B C {{\n        policy {name}\n    }}\n" for name in POLICIES
    )
    + """
    proxy /default A B C
    proxy /one A {
        policy header X-User
    }
    proxy /marked/uri_hash A B C {
        policy uri_hash
        fail_timeout 1m
        try_duration 5s
    }
    proxy /marked/first A B C {
        policy first
        fail_timeout 1m
        try_duration 5s
    }
    proxy /full A B C {
        queue off
        policy POLICY
        max_conns 2
    }
    proxy /full/wait A B C {
        max_conns 2
        try_duration 20s
        try_interval 10ms
    }
}
"""
)


class Trio:
    """Posthouse before A, B and C, which answer with their names."""

    def __init__(self, policy: str = "least_conn") -> None:
        self.backends = {name: ScriptedBackend(named(name.encode())) for name in "ABC"}
        a, b, c = (backend.address for backend in self.backends.values())
        self.posthouse = Posthouse(CADDYFILE.replace("POLICY", policy), A=a, B=b, C=c)
        self.port = self.posthouse.named_port()

    def clear(self) -> None:
        for name, backend in self.backends.items():
            backend.clear()
            backend.on_request = named(name.encode())

    def choose(self, target: str, fields: Fields = (), host: str = "site.test") -> str:
        """Who answered."""
        answer = get(self.port, target, fields, host=host)
        assert answer.status == 200
        return answer.body.decode()

    def close(self) -> None:
        self.posthouse.stop()
        for backend in self.backends.values():
            backend.close()


@pytest.fixture(scope="module")
def started() -> Iterator[Trio]:
    made = Trio()
    yield made
    made.close()


@pytest.fixture
def trio(started: Trio) -> Trio:
    started.clear()
    return started


@pytest.mark.parametrize("target", ["/random", "/default"])
def test_random_takes_all(trio: Trio, target: str) -> None:
    """Each a third of 240, within six times the expected spread."""
    counts = Counter(trio.choose(target) for _ in range(240))
    assert set(counts) == set("ABC")
    assert all(36 < count < 124 for count in counts.values()), counts


def test_round_robin_is_even(trio: Trio) -> None:
    chosen = [trio.choose("/round_robin") for _ in range(30)]
    assert chosen == chosen[:3] * 10
    assert set(chosen) == set("ABC")


def test_first_is_first(trio: Trio) -> None:
    assert {trio.choose("/first") for _ in range(10)} == {"A"}


def test_first_goes_on_to_the_next(trio: Trio) -> None:
    trio.backends["A"].on_request = hang_up
    assert [trio.choose("/marked/first") for _ in range(3)] == ["B", "B", "B"]
    assert len(trio.backends["A"].requests) == 1


def test_least_conn(trio: Trio) -> None:
    """Who has the fewest requests running gets the next."""
    for backend in trio.backends.values():
        backend.on_request = lambda asked, connection: connection.backend.hold()
    clients = []
    for number in range(1, 7):
        client = RawClient(trio.port)
        client.send(request("GET", "/least_conn"))
        clients.append(client)
        deadline = time.monotonic() + PATIENCE
        while sum(len(backend.requests) for backend in trio.backends.values()) < number:
            assert time.monotonic() < deadline
            time.sleep(0.002)
    assert [len(backend.requests) for backend in trio.backends.values()] == [2, 2, 2]
    for client in clients:
        client.close()


class From(RawClient):
    """A client with an address of its own."""

    def __init__(self, port: int, source: str) -> None:
        self.timeout = 10.0
        self.buffer = bytearray()
        self.socket = socket.create_connection(("127.0.0.1", port), self.timeout, source_address=(source, 0))


def test_ip_hash(trio: Trio) -> None:
    """The peer's address decides, not its port, and not what it says in X-Forwarded-For."""
    chosen: dict[str, bytes] = {}
    for number in range(1, 40):
        source = f"127.0.0.{number}"
        for forwarded in ("1.1.1.1", "2.2.2.2"):
            with From(trio.port, source) as client:
                answer = client.exchange(request("GET", "/ip_hash", [("X-Forwarded-For", forwarded)]))
            assert chosen.setdefault(source, answer.body) == answer.body
    assert set(chosen.values()) == {b"A", b"B", b"C"}


HASHES: dict[str, Callable[[Trio, str], str]] = {
    "uri_hash": lambda trio, key: trio.choose(f"/uri_hash/{key}?q={key}"),
    "header": lambda trio, key: trio.choose("/header-X-User", [("x-user", key)]),
    "host": lambda trio, key: trio.choose("/header-Host", host=f"{key}.test"),
    "query": lambda trio, key: trio.choose(f"/query-user?a=1&user={key}&b={key * 2}"),
    "cookie": lambda trio, key: trio.choose("/cookie-user", [("Cookie", f"a=1; user={key}; b=2")]),
}


@pytest.mark.parametrize("policy", list(HASHES))
def test_the_same_key_the_same_backend(trio: Trio, policy: str) -> None:
    choose = HASHES[policy]
    keys = [f"key{number}" for number in range(40)]
    chosen = {key: choose(trio, key) for key in keys}
    assert set(chosen.values()) == set("ABC")
    assert {key: choose(trio, key) for key in reversed(keys)} == chosen


ABSENT: dict[str, Callable[[Trio], str]] = {
    "header": lambda trio: trio.choose("/header-X-User"),
    "query": lambda trio: trio.choose("/query-user?users=1"),
    "cookie": lambda trio: trio.choose("/cookie-user", [("Cookie", "users=1")]),
}


@pytest.mark.parametrize("policy", list(ABSENT))
def test_without_the_key_round_robin(trio: Trio, policy: str) -> None:
    counts = Counter(ABSENT[policy](trio) for _ in range(12))
    assert counts == {"A": 4, "B": 4, "C": 4}


def test_a_down_backend_moves_only_its_keys(trio: Trio) -> None:
    """And its keys are spread over the others, without a miss."""
    targets = [f"/marked/uri_hash/{number}" for number in range(60)]
    before = {target: trio.choose(target) for target in targets}
    assert set(before.values()) == set("ABC")
    trio.backends["B"].on_request = hang_up
    after = {target: trio.choose(target) for target in targets}
    assert {target: name for target, name in after.items() if before[target] != "B"} == {
        target: name for target, name in before.items() if name != "B"
    }
    assert {after[target] for target in targets if before[target] == "B"} == {"A", "C"}
    # One try on a kept connection, which may die without blame, and one on a fresh one.
    assert len(trio.backends["B"].requests) <= sum(name == "B" for name in before.values()) + 2


def test_one_backend_needs_no_policy(trio: Trio) -> None:
    assert {trio.choose("/one"), trio.choose("/one", [("X-User", "x")])} == {"A"}


# max_conns.


class Crowd:
    """How many requests run on each backend at once, and the most there ever were."""

    def __init__(self, trio: Trio, work: float) -> None:
        self._lock = threading.Lock()
        self._work = work
        self.now: Counter[int] = Counter()
        self.most: Counter[int] = Counter()
        for backend in trio.backends.values():
            backend.on_request = self.serve

    def serve(self, asked: Request, connection: BackendConnection) -> bytes:
        port = connection.backend.port
        with self._lock:
            self.now[port] += 1
            self.most[port] = max(self.now[port], self.most[port])
        time.sleep(self._work)
        with self._lock:
            self.now[port] -= 1
        return response(200)


def ask_at_once(port: int, target: str, clients: int, times: int) -> Counter[int]:
    """The statuses of so many clients, each asking so many times."""
    statuses: Counter[int] = Counter()
    lock = threading.Lock()
    start = threading.Barrier(clients)

    def ask() -> None:
        with RawClient(port, timeout=30) as client:
            start.wait(20)
            for _ in range(times):
                status = client.exchange(request("GET", target)).status
                with lock:
                    statuses[status] += 1

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return statuses


def test_max_conns_is_exact_when_full(trio: Trio) -> None:
    """2 for each of 3: of 20 at once 6 run and 14 are told so, without a wait, whoever the policy would like."""
    for backend in trio.backends.values():
        backend.on_request = lambda asked, connection: connection.backend.hold() or response(200)  # type: ignore[func-returns-value]
    running, refused = [], 0
    clients = [RawClient(trio.port) for _ in range(20)]
    for client in clients:
        client.send(request("GET", "/full"))
    for client in clients:
        if client.is_open(0.02):
            running.append(client)
        else:
            assert client.read_response().status == 503
            refused += 1
    assert (len(running), refused) == (6, 14)
    assert [len(backend.requests) for backend in trio.backends.values()] == [2, 2, 2]
    for backend in trio.backends.values():
        backend.release()
    assert {client.read_response().status for client in running} == {200}
    for client in clients:
        client.close()


def test_max_conns_is_never_exceeded(trio: Trio) -> None:
    """30 clients wait for 6 slots by `try_duration`: everybody is served, and never by a third at once."""
    crowd = Crowd(trio, 0.005)
    assert ask_at_once(trio.port, "/full/wait", 30, 8) == {200: 240}
    assert len(crowd.most) == 3
    assert max(crowd.most.values()) == 2


def test_a_refused_crowd_leaves_no_slot_taken(trio: Trio) -> None:
    crowd = Crowd(trio, 0.002)
    statuses = ask_at_once(trio.port, "/full", 30, 10)
    assert set(statuses) <= {200, 503}
    assert max(crowd.most.values()) <= 2
    trio.clear()
    assert {trio.choose("/full") for _ in range(30)} <= set("ABC")


@pytest.mark.parametrize("policy", ["first", "round_robin", "uri_hash", "random", "ip_hash"])
def test_every_policy_goes_past_full_backends(policy: str) -> None:
    """Six slots, six requests: all of them run."""
    trio = Trio(policy)
    try:
        for backend in trio.backends.values():
            backend.on_request = lambda asked, connection: connection.backend.hold()
        clients = [RawClient(trio.port) for _ in range(6)]
        for client in clients:
            client.send(request("GET", "/full"))
        for backend in trio.backends.values():
            backend.wait_requests(2)
        assert get(trio.port, "/full").status == 503
        for client in clients:
            client.close()
    finally:
        trio.close()
