"""Policies beyond v1 with real processes: sessions, clients behind proxies, weights, fallbacks, slow starts."""

from __future__ import annotations

import re
import socket
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.pair import hang_up
from kit import BackendConnection, Posthouse, RawClient, Request, ScriptedBackend, get, request, response
from kit.backend import PATIENCE
from kit.http1 import Fields, Response, chunk

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    trusted_proxies 127.0.0.2
    proxy /sticky A B C { policy sticky }
    proxy /app A B C { policy sticky app ttl=1h path=/app samesite=strict header_downstream X-Rule yes }
    proxy /short A B C { policy sticky short ttl=1s }
    proxy /failing A B C { policy sticky failing fail_timeout 1m try_duration 5s }
    proxy /one A { policy sticky one }
    proxy /client_ip_hash A B C { policy client_ip_hash }
    proxy /weights { upstream A weight=4 upstream B weight=2 upstream C policy round_robin }
    proxy /weights/random { upstream A weight=10 upstream B weight=10 upstream C }
    proxy /limits { upstream A max_conns=1 upstream B max_conns=3 upstream C max_conns=2 max_conns 9 }
    proxy /fallback { upstream A role=fallback upstream B policy first fail_timeout 1m try_duration 5s }
    proxy /unmarked { upstream A role=fallback upstream B policy first try_duration 5s }
    proxy /random_choose A B C { policy random_choose 3 }
    proxy /ewma A B C { policy ewma 1m }
    proxy /balance A B C { policy uri_hash hash_balance 150% }
}
"""
CHECKED = """
http://:PORT {
    bind 127.0.0.1
    proxy /drained A B C {
        policy sticky drained
        health_check /health
        health_check_interval 20ms
        health_check_drain 429
    }
    proxy /slow {
        upstream A
        upstream B
        policy round_robin
        slow_start 1h
        health_check /health
        health_check_interval 20ms
    }
}
"""

Script = Callable[[Request, BackendConnection], bytes | None]


class Trio:
    """Posthouse before A, B and C, which answer with their names, and to checks with `health`, by name, or 200."""

    def __init__(self, data: Path, caddyfile: str = CADDYFILE) -> None:
        self.data = data
        self.health: dict[str, int] = {}
        self.backends = {name: ScriptedBackend() for name in "ABC"}
        self.clients: list[RawClient] = []
        # Before the first check: clear() ends the connections, and a check in flight would fail with its own.
        self.clear()
        self.names = {name: backend.address for name, backend in self.backends.items()}
        self.posthouse = self.start(caddyfile, data)
        self.port = self.posthouse.named_port()

    def start(self, caddyfile: str, data: Path) -> Posthouse:
        a, b, c = self.names.values()
        return Posthouse(caddyfile, env={"XDG_DATA_HOME": str(data)}, A=a, B=b, C=c)

    def hold(self, target: str) -> None:
        """Send a request that nobody answers."""
        self.clients.append(RawClient(self.port))
        self.clients[-1].send(request("GET", target))

    def held(self) -> list[int]:
        """How many requests each backend has got."""
        return [
            sum(asked.target != b"/health" for asked in backend.requests)
            for backend in self.backends.values()
        ]

    def clear(self) -> None:
        for client in self.clients:
            client.close()
        self.clients.clear()
        self.health.clear()
        for name, backend in self.backends.items():
            backend.clear()
            self.answer(name, response(200, body=name.encode()))

    def script(self, name: str, script: Script) -> None:
        """What a backend does with everything but checks."""

        def serve(asked: Request, connection: BackendConnection) -> bytes | None:
            if not asked.target.startswith(b"/health"):
                return script(asked, connection)
            return response(self.health.get(name, 200))

        self.backends[name].on_request = serve

    def answer(self, name: str, data: bytes) -> None:
        """What a backend says to everything but checks."""
        self.script(name, lambda asked, connection: data)

    def hold_all(self) -> None:
        """Nobody answers anything but checks."""
        for name in self.backends:
            self.script(name, lambda asked, connection: connection.backend.hold())

    def get(self, target: str, fields: Fields = ()) -> Response:
        return get(self.port, target, fields)

    def choose(self, target: str, fields: Fields = ()) -> str:
        """Who answered."""
        answer = self.get(target, fields)
        assert answer.status == 200
        return answer.body.decode()

    def count(self, target: str, times: int) -> Counter[str]:
        with RawClient(self.port) as client:
            return Counter(client.exchange(request("GET", target)).body.decode() for _ in range(times))

    def close(self) -> None:
        self.clear()
        self.posthouse.stop()
        for backend in self.backends.values():
            backend.close()


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trio]:
    made = Trio(tmp_path_factory.mktemp("data"))
    yield made
    made.close()


@pytest.fixture
def trio(started: Trio) -> Trio:
    started.clear()
    return started


@pytest.fixture
def checked(tmp_path: Path) -> Iterator[Trio]:
    """With health checks: not shared, because they go on between tests."""
    made = Trio(tmp_path, CHECKED)
    yield made
    made.close()


# Sessions.

COOKIE = re.compile(rb"([^=;]+)=([A-Za-z0-9_-]{12}\.[0-9a-f]+\.[A-Za-z0-9_-]{22})(.*)")


class Jar:
    """What a browser does with the cookies of answers."""

    def __init__(self, trio: Trio, target: str) -> None:
        self.trio = trio
        self.target = target
        self.value = b""
        self.attributes = b""

    def ask(self) -> str:
        """Who answered; a cookie that is set replaces the one before, and is in `attributes`, else that is b""."""
        answer = self.trio.get(self.target, [("Cookie", b"a=1; " + self.value)] if self.value else ())
        assert answer.status == 200
        cookies = answer.all("set-cookie")
        assert len(cookies) <= 1
        self.attributes = b""
        if cookies:
            found = COOKIE.fullmatch(cookies[0])
            assert found, cookies
            self.value, self.attributes = found[1] + b"=" + found[2], found[3]
        return answer.body.decode()


def test_a_session_stays_and_its_cookie_is_set_once(trio: Trio) -> None:
    jars = [Jar(trio, "/sticky") for _ in range(6)]
    homes = [jar.ask() for jar in jars]
    assert Counter(homes) == {"A": 2, "B": 2, "C": 2}, "new ones take turns"
    assert {jar.attributes for jar in jars} == {b"; Path=/; HttpOnly; SameSite=Lax"}
    for _ in range(3):
        assert [jar.ask() for jar in jars] == homes
        assert {jar.attributes for jar in jars} == {b""}


def test_the_cookie_names_nobody(trio: Trio) -> None:
    jar = Jar(trio, "/sticky")
    jar.ask()
    for address in trio.names.values():
        assert address.partition(":")[2].encode() not in jar.value


def test_attributes(trio: Trio) -> None:
    jar = Jar(trio, "/app/x")
    jar.ask()
    assert jar.value.startswith(b"app=")
    assert jar.attributes == b"; Path=/app; HttpOnly; SameSite=Strict; Max-Age=3600"


def test_secure_where_the_client_came_over_https(trio: Trio) -> None:
    def attributes(source: str) -> bytes:
        fields = [("X-Forwarded-Proto", "https")]
        with From(trio.port, source) as client:
            [cookie] = client.exchange(request("GET", "/sticky", fields)).all("set-cookie")
        return cookie

    assert attributes("127.0.0.2").endswith(b"; SameSite=Lax; Secure"), "a trusted proxy says so"
    assert attributes("127.0.0.3").endswith(b"; SameSite=Lax"), "anybody can say so"


def test_forged_cookies_count_for_nothing(trio: Trio) -> None:
    jar = Jar(trio, "/sticky")
    home = jar.ask()
    name, _, value = jar.value.partition(b"=")
    identity, until, mac = value.split(b".")
    other = Jar(trio, "/sticky")
    while other.ask() == home:
        other.value = b""
    stranger = other.value.partition(b"=")[2].split(b".")[0]
    forged = [
        *(
            b"",
            b".",
            b"..",
            b"x",
            b"A",
            trio.names["A"].encode(),
            identity,
            value[:-1],
            value + b"A",
            b"." + value,
        ),
        *(identity + b".1." + mac, stranger + b"." + until + b"." + mac, identity + b".." + mac),
        *(
            identity + b"." + until + b"." + mac[::-1],
            identity.swapcase() + b"." + until + b"." + mac,
            b"\xff" * 300,
        ),
    ]
    for wrong in forged:
        for _ in range(3):
            answer = trio.get("/sticky", [("Cookie", name + b"=" + wrong)])
            assert (answer.status, len(answer.all("set-cookie"))) == (200, 1), wrong
    taken = {trio.choose("/sticky", [("Cookie", name + b"=" + forged[11])]) for _ in range(6)}
    assert taken == set("ABC"), "it takes turns, wherever it points"


def test_an_expired_cookie_is_as_absent(trio: Trio) -> None:
    jar = Jar(trio, "/short")
    home = jar.ask()
    assert b"; Max-Age=1" in jar.attributes
    until = int(jar.value.split(b".")[1], 16)
    while time.time() < until:
        time.sleep(0.02)
    again = [Jar(trio, "/short") for _ in range(3)]
    for one in again:
        one.value = jar.value
    assert {one.ask() for one in again} == set("ABC") and home in "ABC"
    assert all(one.attributes for one in again)


def test_another_backend_when_the_own_one_is_down(trio: Trio) -> None:
    jar = Jar(trio, "/failing")
    home = jar.ask()
    trio.script(home, hang_up)
    new = jar.ask()
    assert new != home and jar.attributes, "the cookie is set anew"
    assert [jar.ask() for _ in range(3)] == [new] * 3
    assert not jar.attributes


def test_a_draining_backend_keeps_its_sessions_and_gets_no_new_ones(checked: Trio) -> None:
    jars = [Jar(checked, "/drained") for _ in range(3)]
    homes = [jar.ask() for jar in jars]
    assert sorted(homes) == ["A", "B", "C"], checked.posthouse.stderr()
    checked.health["A"] = 429
    checked.posthouse.wait_stderr(r"draining")
    assert [jar.ask() for jar in jars] == homes
    assert checked.count("/drained", 6) == {"B": 3, "C": 3}
    checked.health["B"] = checked.health["C"] = 429
    deadline = time.monotonic() + PATIENCE
    while checked.get("/drained").status != 503:
        assert time.monotonic() < deadline
    assert [jar.ask() for jar in jars] == homes, "also when all are draining"


def test_every_kind_of_response_gets_the_cookie(trio: Trio) -> None:
    big = b"x" * 3_000_000
    kinds = {
        "sized": response(200, [("Set-Cookie", "own=1")], b"small"),
        "pumped": response(200, [("Set-Cookie", "own=1")], big),
        "chunked": response(200, [("Transfer-Encoding", "chunked"), ("Set-Cookie", "own=1")], None)
        + chunk(b"ab"),
        "error": response(500, [("Set-Cookie", "own=1")], b"oh"),
        "upgraded": response(
            101, [("Upgrade", "websocket"), ("Connection", "upgrade"), ("Set-Cookie", "own=1")], None
        ),
    }
    for kind, data in kinds.items():
        for name in "ABC":
            trio.answer(name, data)
        fields = [("Upgrade", "websocket"), ("Connection", "Upgrade")] if kind == "upgraded" else []
        answer = trio.get("/app", fields)
        own, ours = answer.all("set-cookie")
        assert own == b"own=1" and ours.startswith(b"app="), kind
        if kind != "upgraded":
            assert answer.field("x-rule") == b"yes"
            assert answer.body in (b"small", big, b"ab", b"oh")
    for name in "ABC":
        trio.answer(name, response(200, [("Content-Length", "7")], None))
    head = get(trio.port, "/app", (), method="HEAD")
    assert head.all("set-cookie") and head.field("content-length") == b"7"


def test_one_backend_has_sessions_too(trio: Trio) -> None:
    """They go on when it is no longer alone."""
    jar = Jar(trio, "/one")
    assert jar.ask() == "A" and jar.attributes
    assert jar.ask() == "A" and not jar.attributes


def test_sessions_outlive_reloads_and_restarts(trio: Trio) -> None:
    jars = [Jar(trio, "/sticky") for _ in range(3)]
    homes = [jar.ask() for jar in jars]
    key = trio.data / "posthouse" / "sticky.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and len(key.read_bytes()) == 32
    caddyfile = "http://:PORT2 {\n bind 127.0.0.1\n proxy /sticky C A B { policy sticky }\n}\n"
    with trio.start(caddyfile, trio.data) as second:
        for _ in range(2):
            port, trio.port = trio.port, second.named_port("PORT2")
            assert [jar.ask() for jar in jars] == homes
            assert {jar.attributes for jar in jars} == {b""}
            trio.port = port
            second.reload(caddyfile.replace("C A B", "A C B"))
            second.wait_stderr("reloaded")


def test_a_key_of_ones_own(trio: Trio, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("correct horse battery staple\n")
    caddyfile = f"http://:PORT2 {{\n bind 127.0.0.1\n proxy / A B C {{ policy sticky secret={tmp_path}/secret }}\n}}\n"
    jar = Jar(trio, "/")
    with trio.start(caddyfile, tmp_path) as second:
        port, trio.port = trio.port, second.named_port("PORT2")
        home = jar.ask()
    with trio.start(caddyfile, tmp_path) as third:
        trio.port = third.named_port("PORT2")
        assert [jar.ask() for _ in range(4)] == [home] * 4
    trio.port = port
    assert not (tmp_path / "posthouse").exists(), "no other key was made"


def test_a_secret_that_cannot_be_read_is_a_mistake_with_its_place(tmp_path: Path) -> None:
    caddyfile = tmp_path / "Caddyfile"
    caddyfile.write_text(":8080\nproxy / a b {\n    policy sticky secret=nowhere\n}\n")
    for command in ("validate", "run"):
        run = subprocess.run(
            [sys.executable, "-m", "posthouse", command, "--config", str(caddyfile)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert run.returncode == 1
        assert "Caddyfile:3:12: `policy sticky`: cannot read the secret 'nowhere': No such file" in run.stderr


def test_a_data_directory_that_cannot_be_written_is_a_warning(trio: Trio, tmp_path: Path) -> None:
    (tmp_path / "posthouse").write_text("in the way")
    caddyfile = "http://:PORT2 {\n bind 127.0.0.1\n proxy / A B C { policy sticky }\n}\n"
    with trio.start(caddyfile, tmp_path) as second:
        second.wait_stderr("WARN session key not kept")
        port, trio.port = trio.port, second.named_port("PORT2")
        jar = Jar(trio, "/")
        assert len({jar.ask() for _ in range(4)}) == 1, "sessions last as long as the process"
        trio.port = port


# The client's address.


class From(RawClient):
    """A client with an address of its own."""

    def __init__(self, port: int, source: str) -> None:
        self.timeout = 10.0
        self.buffer = bytearray()
        self.socket = socket.create_connection(("127.0.0.1", port), self.timeout, source_address=(source, 0))


def test_client_ip_hash_looks_through_trusted_proxies(trio: Trio) -> None:
    def choose(source: str, client: str) -> str:
        with From(trio.port, source) as connection:
            answer = connection.exchange(request("GET", "/client_ip_hash", [("X-Forwarded-For", client)]))
        return answer.body.decode()

    clients = [f"198.51.100.{number}" for number in range(20)]
    chosen = {client: choose("127.0.0.2", client) for client in clients}
    assert set(chosen.values()) == set("ABC")
    assert {client: choose("127.0.0.2", f"203.0.113.9, {client}") for client in clients} == chosen
    assert len({choose("127.0.0.3", client) for client in clients}) == 1, "the peer is not trusted"


# Who gets how much.


def test_weights(trio: Trio) -> None:
    assert trio.count("/weights", 70) == {"A": 40, "B": 20, "C": 10}
    counts = trio.count("/weights/random", 210)
    assert counts["A"] + counts["B"] > 8 * counts["C"], "20 to 1, within six times what chance explains"
    assert min(counts["A"], counts["B"]) > 50


def test_max_conns_of_a_backend_goes_before_that_of_the_pool(trio: Trio) -> None:
    trio.hold_all()
    for _ in range(6):
        trio.hold("/limits")
    wait_for(lambda: sum(trio.held()) == 6)
    assert trio.get("/limits").status == 503
    assert trio.held() == [1, 3, 2]


@pytest.mark.parametrize("target", ["/fallback", "/unmarked"])
def test_fallbacks_are_for_when_nobody_else_is_left(trio: Trio, target: str) -> None:
    """With `fail_timeout` the primary is out for a while; without, a retry still finds the fallback."""
    assert trio.count(target, 5) == {"B": 5}
    trio.script("B", hang_up)
    assert [trio.choose(target) for _ in range(3)] == ["A", "A", "A"]


@pytest.mark.parametrize("target", ["/random_choose", "/ewma"])
def test_two_choices_reach_everybody(trio: Trio, target: str) -> None:
    assert set(trio.count(target, 60)) == set("ABC")


def test_ewma_leaves_the_slow_one(trio: Trio) -> None:
    for _ in range(6):
        trio.count("/ewma", 3)

    def slow(asked: Request, connection: BackendConnection) -> bytes:
        time.sleep(0.1)
        return response(200, body=b"A")

    trio.script("A", slow)
    counts = trio.count("/ewma", 40)
    assert counts["A"] <= 2 and counts["B"] + counts["C"] >= 38, "after one slow answer it is left alone"


def test_hash_balance_bounds_what_one_key_can_do(trio: Trio) -> None:
    """Six requests for one key at once: without a bound one backend has them all; 1.5 times the average is 3."""
    trio.hold_all()
    for number in range(1, 7):
        trio.hold("/balance/hot")
        wait_for(lambda number=number: sum(trio.held()) == number)  # type: ignore[misc]
    assert max(trio.held()) == 3


def test_a_slow_start(checked: Trio) -> None:
    """An hour long: what comes back gets a tenth of its share, where it would have half."""
    assert checked.count("/slow", 20) == {"A": 10, "B": 10}
    seen = len(checked.posthouse.stderr())
    checked.health["A"] = 500
    wait_for(lambda: re.search("backend down.*slow", checked.posthouse.stderr()[seen:]) is not None)
    assert checked.count("/slow", 5) == {"B": 5}
    checked.health["A"] = 200
    wait_for(lambda: re.search("backend up.*slow", checked.posthouse.stderr()[seen:]) is not None)
    counts = checked.count("/slow", 55)
    assert 3 <= counts["A"] <= 7 and counts["B"] >= 48, "1 of 11"


def wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)
