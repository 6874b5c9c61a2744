"""Reload under load: nothing that was accepted is lost, a broken file changes nothing, backends keep their state.

Rule 15 and topic 2.15 of the specification of reliability; decision 9 of the design.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from e2e.pair import Pair, hang_up, named
from kit import BackendConnection, Posthouse, RawClient, Request, ScriptedBackend, get, request, response
from kit.backend import PATIENCE

RELOADS = 20
BLOCK = b"d" * 65_536
BLOCKS = 3000

SITE = """
http://:PORT {
    bind 127.0.0.1
    log / access.log json
    header / X-Generation NUMBER
    proxy / BACKEND
    proxy /ws WEBSOCKET
}
"""


@pytest.fixture
def websocket_server() -> Iterator[str]:
    def echo(websocket: ServerConnection) -> None:
        for message in websocket:
            websocket.send(message)

    with serve(echo, "127.0.0.1", 0) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        serving.join(5)


class Traffic:
    """Four kinds of client at once; `lost` tells what went wrong.

    kept      one kept connection, one request after the other
    fresh     a new connection for each request
    download  one body of BLOCKS blocks, read slowly enough to last for all reloads
    websocket one connection, one echo after the other
    """

    def __init__(self, posthouse: Posthouse) -> None:
        self.posthouse = posthouse
        self.port = posthouse.named_port()
        self.lost: list[str] = []
        self.done = {"kept": 0, "fresh": 0, "download": 0, "websocket": 0}
        self._stop = threading.Event()
        works = [self._kept, self._fresh, self._download, self._websocket]
        self._threads = [threading.Thread(target=self._guard, args=(work,)) for work in works]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def wait(self, more: int) -> None:
        """Until each kind has done so much more."""
        before, deadline = dict(self.done), time.monotonic() + PATIENCE
        while any(self.done[kind] < before[kind] + more for kind in ("kept", "fresh", "websocket")):
            assert time.monotonic() < deadline and not self.lost, (self.done, self.lost)
            time.sleep(0.002)

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self.lost.append(f"{work.__name__} after {self.done}: {error!r}")

    def _kept(self) -> None:
        client = RawClient(self.port)
        while not self._stop.is_set():
            answer = client.exchange(request("GET", f"/kept/{self.done['kept']}"))
            assert answer.body == b"/kept/%d" % self.done["kept"], answer
            self.done["kept"] += 1
            if answer.field("Connection") == b"close":
                client.close()
                client = RawClient(self.port)
        client.close()

    def _fresh(self) -> None:
        while not self._stop.is_set():
            target = b"/fresh/%d" % self.done["fresh"]
            answer = get(self.port, target)
            assert (answer.status, answer.body) == (200, target)
            self.done["fresh"] += 1

    def _download(self) -> None:
        with RawClient(self.port, timeout=30) as client:
            client.send(request("GET", "/download"))
            assert client.read_head().status == 200
            count = len(client.buffer)
            while count < BLOCKS * len(BLOCK):
                data = client.socket.recv(1 << 16 if not self._stop.is_set() else 1 << 20)
                assert data and data == b"d" * len(data)
                count += len(data)
                self.done["download"] = count
                if not self._stop.is_set() and count > (BLOCKS - 500) * len(BLOCK):
                    self._stop.wait(0.005)
            assert count == BLOCKS * len(BLOCK)

    def _websocket(self) -> None:
        with connect(f"ws://127.0.0.1:{self.port}/ws", proxy=None) as websocket:
            while not self._stop.is_set():
                websocket.send(str(self.done["websocket"]))
                assert websocket.recv(10) == str(self.done["websocket"])
                self.done["websocket"] += 1


def answer(asked: Request, connection: BackendConnection) -> bytes | None:
    if asked.target != b"/download":
        return response(200, body=asked.target)
    connection.send(response(200, [("Content-Length", str(BLOCKS * len(BLOCK)))], None))
    for _ in range(BLOCKS):
        connection.socket.sendall(BLOCK)
    return None


def reload_and_wait(posthouse: Posthouse, site: str, number: int) -> None:
    """New connections are served by the new generation soon (applied within 0.2 s by those we know)."""
    posthouse.reload(site.replace("NUMBER", str(number)))
    started = time.monotonic()
    while get(posthouse.named_port(), "/probe").field("X-Generation") != str(number).encode():
        assert time.monotonic() - started < 3, f"reload {number} is not applied\n{posthouse.stderr()}"


def test_reloads_lose_nothing(
    start_posthouse: Callable[..., Posthouse], backend: ScriptedBackend, websocket_server: str
) -> None:
    backend.on_request = answer
    posthouse = start_posthouse(
        SITE.replace("NUMBER", "0"), BACKEND=backend.address, WEBSOCKET=websocket_server
    )
    traffic = Traffic(posthouse)
    try:
        traffic.wait(5)
        for number in range(1, RELOADS + 1):
            reload_and_wait(posthouse, SITE, number)
            traffic.wait(5)
        assert 0 < traffic.done["download"] < BLOCKS * len(BLOCK), "the download did not last for all reloads"
    finally:
        traffic.stop()
    assert traffic.lost == []
    assert traffic.done["download"] == BLOCKS * len(BLOCK)
    assert backend.violations == []
    assert "ERROR" not in posthouse.stderr()


def test_signals_in_a_burst_lose_nothing(
    start_posthouse: Callable[..., Posthouse], backend: ScriptedBackend, websocket_server: str
) -> None:
    """Faster than a reload takes; the last word of the file counts in the end."""
    backend.on_request = answer
    posthouse = start_posthouse(
        SITE.replace("NUMBER", "0"), BACKEND=backend.address, WEBSOCKET=websocket_server
    )
    traffic = Traffic(posthouse)
    try:
        traffic.wait(5)
        for number in range(1, RELOADS):
            posthouse.config.write_text(
                posthouse.config.read_text().replace(f"n {number - 1}\n", f"n {number}\n")
            )
            posthouse.signal(signal.SIGUSR1 if number % 2 else signal.SIGHUP)
        reload_and_wait(posthouse, SITE, 99)
        traffic.wait(5)
    finally:
        traffic.stop()
    assert traffic.lost == []


@pytest.mark.parametrize(
    "broken",
    ["http://:PORT {\n nonsense\n}\n", "", "http://:PORT {\n proxy / BACKEND {\n  policy nobody\n }\n}\n"],
    ids=["directive", "empty", "policy"],
)
def test_a_broken_file_changes_nothing(
    start_posthouse: Callable[..., Posthouse], backend: ScriptedBackend, broken: str
) -> None:
    site = "http://:PORT {\n bind 127.0.0.1\n header / X-Generation NUMBER\n proxy / BACKEND\n}\n"
    posthouse = start_posthouse(site.replace("NUMBER", "0"), BACKEND=backend.address)
    with RawClient(posthouse.named_port()) as client:
        assert client.exchange(request("GET", "/")).status == 200
        posthouse.reload(broken)
        posthouse.wait_stderr(r" ERROR .*reload failed")
        assert client.exchange(request("GET", "/")).field("X-Generation") == b"0"
        assert get(posthouse.named_port()).field("X-Generation") == b"0"
        reload_and_wait(posthouse, site, 1)
        assert client.exchange(request("GET", "/")).field("X-Generation") == b"1"


def test_a_port_that_is_taken_changes_nothing(
    start_posthouse: Callable[..., Posthouse], backend: ScriptedBackend
) -> None:
    """The new file is fine, but one of its addresses can't be bound: all of it is refused."""
    site = "http://:PORT {\n bind 127.0.0.1\n header / X-Generation NUMBER\n proxy / BACKEND\n}\n"
    posthouse = start_posthouse(site.replace("NUMBER", "0"), BACKEND=backend.address, TAKEN=str(backend.port))
    posthouse.reload(site.replace("NUMBER", "1") + "http://:TAKEN {\n bind 127.0.0.1\n proxy / BACKEND\n}\n")
    posthouse.wait_stderr(rf" ERROR .*{backend.port}")
    assert get(posthouse.named_port()).field("X-Generation") == b"0"


def test_an_address_that_goes_stops_listening(
    start_posthouse: Callable[..., Posthouse], backend: ScriptedBackend
) -> None:
    """And what runs on it ends in peace."""
    two = "".join(f"http://:{port} {{\n bind 127.0.0.1\n proxy / BACKEND\n}}\n" for port in ("PORT", "PORT2"))
    posthouse = start_posthouse(two, BACKEND=backend.address)
    backend.on_request = lambda asked, connection: connection.backend.hold() or response(200)  # type: ignore[func-returns-value]
    with RawClient(posthouse.named_port("PORT2")) as client:
        client.send(request("GET", "/long"))
        backend.wait_requests(1)
        posthouse.reload(two.split("http://:PORT2")[0])
        posthouse.wait_stderr(r" INFO reloaded")
        with pytest.raises(ConnectionRefusedError):
            RawClient(posthouse.named_port("PORT2"))
        backend.release()
        assert client.read_response().status == 200
        assert client.end() == "fin"


# Live state.

STATE = """
http://:PORT {
    bind 127.0.0.1
    header / X-Generation NUMBER
    proxy / FIRST SECOND {
        policy first
        fail_timeout 1m
    }
    proxy /slots FIRST {
        max_conns 1
    }
}
"""


@pytest.fixture
def pair(start_posthouse: Callable[..., Posthouse]) -> Iterator[Pair]:
    made = Pair(start_posthouse)
    yield made
    made.close()


def test_failures_survive_a_reload(pair: Pair) -> None:
    """A reload must not send the next client to a backend that is known to be dead."""
    pair.serve(site=STATE.replace("NUMBER", "0"))
    pair.first.on_request = hang_up
    assert pair.get().status == 502
    assert pair.get().body == b"second"
    for number in (1, 2):
        reload_and_wait(pair.posthouse, STATE, number)
        assert pair.get().body == b"second"
    assert len(pair.first.requests) == 1


def test_slots_survive_a_reload(pair: Pair) -> None:
    """What runs on the old generation counts in the new one, until it ends."""
    pair.serve(site=STATE.replace("NUMBER", "0"))
    pair.first.on_request = lambda asked, connection: pair.first.hold() or response(200)  # type: ignore[func-returns-value]
    with pair.client() as client:
        client.send(request("GET", "/slots"))
        pair.first.wait_requests(1)
        pair.posthouse.reload(STATE.replace("NUMBER", "1"))
        pair.posthouse.wait_stderr(r" INFO reloaded")
        assert pair.get("/slots").status == 503
        pair.first.on_request = named(b"first")
        pair.first.release()
        assert client.read_response().status == 200
    assert pair.get("/slots").body == b"first"


def test_a_changed_pool_keeps_who_stays(pair: Pair) -> None:
    """A backend is known by its address: others may come and go around it."""
    pair.serve(site=STATE.replace("NUMBER", "0"))
    pair.first.on_request = hang_up
    assert pair.get().status == 502
    changed = STATE.replace("policy first", "policy first\n        max_fails 1\n        upstream DEAD")
    reload_and_wait(pair.posthouse, changed, 1)
    assert pair.get().body == b"second"
    assert len(pair.first.requests) == 1
