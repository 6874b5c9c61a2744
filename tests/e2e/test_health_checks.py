"""Active health checks with real processes: who gets requests, what the log says, what a reload keeps.

"Health checks" of the stance, 3 and 6.7 of what v1 does.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from kit import BackendConnection, Posthouse, Request, ScriptedBackend, get, response
from kit.backend import PATIENCE
from kit.http1 import chunk
from kit.posthouse import free_port
from kit.stage import wait_still
from posthouse.probe.text_search import SEARCH_BYTES

INTERVAL = "health_check_interval 30ms"

SHARED = """
http://PORTED.test:PORT, http://other.test:PORT {
    bind 127.0.0.1
    proxy /status FIRST { health_check /h/status INTERVAL }
    proxy /ranges FIRST { health_check h/ranges health_check_status 404 5xx INTERVAL }
    proxy /pair FIRST SECOND { policy first health_check /h/pair health_check_timeout 200ms INTERVAL }
    proxy /contains FIRST { health_check /h/contains health_check_contains "all is well" INTERVAL }
    proxy /port FIRST { health_check /h/port health_check_port SIDE INTERVAL }
    proxy /drain FIRST { health_check /h/drain health_check_drain 429 X-Draining INTERVAL }
    proxy /rows FIRST { health_check /h/rows health_check_passes 3 health_check_fails 2 INTERVAL }
    proxy /host http://user:word@FIRST/base?k=v {
        health_check /h/host?x=y
        health_check_method HEAD
        health_check_header X-Own "a b"
        header_upstream X-Rule constant
        header_upstream X-Client {remote}
        transparent
        INTERVAL
    }
    proxy /plain FIRST { health_check /h/plain INTERVAL }
}
""".replace("INTERVAL", INTERVAL)

Answer = bytes | Callable[[BackendConnection], bytes | None]
WELL = response(200, body=b"it is said that all is well here")


class Checked:
    """Posthouse before two backends; what each answers to the checks of a pool is set by name: `first["status"]`."""

    def __init__(self) -> None:
        self.backends = [ScriptedBackend(), ScriptedBackend()]
        self.first: dict[str, Answer] = {"ranges": response(404), "contains": WELL}
        self.second: dict[str, Answer] = {}
        for backend, answers in zip(self.backends, (self.first, self.second), strict=True):
            backend.on_request = partial(self._answer, answers)
        self.posthouse = Posthouse(
            SHARED,
            PORTED="site",
            FIRST=self.backends[0].address,
            SECOND=self.backends[1].address,
            SIDE=str(self.backends[1].port),
        )
        self.port = self.posthouse.named_port()
        self.seen = 0

    def _answer(
        self, answers: dict[str, Answer], asked: Request, connection: BackendConnection
    ) -> bytes | None:
        path = asked.target.partition(b"?")[0].decode()
        if "/h/" not in path:
            return response(200, body=path.encode())
        well = response(200, body=None if asked.method == b"HEAD" else b"ok")
        answer = answers.get(path.rpartition("/")[2], well)
        return answer if isinstance(answer, bytes) else answer(connection)

    def checks(self, name: str, of: int = 0) -> list[Request]:
        """The checks of one pool that came so far."""
        return [one for one in list(self.backends[of].requests) if f"/h/{name}".encode() in one.target]

    def wait_checks(self, name: str, more: int, of: int = 0) -> list[Request]:
        wanted, deadline = len(self.checks(name, of)) + more, time.monotonic() + PATIENCE
        while len(found := self.checks(name, of)) < wanted:
            assert time.monotonic() < deadline, f"{len(found)} of {wanted} checks of {name}"
            time.sleep(0.005)
        return found

    def wait(self, what: str, name: str, upstream: int = 0) -> str:
        """Wait for the next line about a pool; the rest of it. Each line is waited for once."""
        line = re.compile(
            rf'^.* backend {what} pool="http://site.test:{self.port} /{name}" '
            rf"upstream=http://127.0.0.1:{self.backends[upstream].port}\S* (.*)\n",
            re.MULTILINE,
        )
        deadline = time.monotonic() + PATIENCE
        while (found := line.search(self.posthouse.stderr(), self.seen)) is None:
            assert time.monotonic() < deadline, (
                f"no {line.pattern!r} in {self.posthouse.stderr()[self.seen :]}"
            )
            time.sleep(0.003)
        self.seen = found.end()
        return found[1]

    def status(self, path: str) -> int:
        return get(self.port, path).status

    def close(self) -> None:
        self.posthouse.stop()
        for backend in self.backends:
            backend.close()


@pytest.fixture(scope="module")
def started() -> Iterator[Checked]:
    made = Checked()
    yield made
    made.close()


@pytest.fixture
def checked(started: Checked) -> Iterator[Checked]:
    """The module's, with backends that answer well; every pool is up when a test begins and when it has ended."""
    started.seen = len(started.posthouse.stderr())
    yield started
    print(started.posthouse.stderr()[started.seen :])
    assert [backend.violations for backend in started.backends] == [[], []]


def test_down_and_up_with_their_reasons(checked: Checked) -> None:
    assert checked.status("/status") == 200
    checked.first["status"] = response(503)
    assert checked.wait("down", "status") == 'was=up reason="status 503"'
    assert checked.status("/status/asked") == 503
    checked.posthouse.wait_stderr(
        r'failure=no_backend reason="every backend is down \(health checks\)".*uri=/status/asked'
    )
    assert checked.status("/plain") == 200, "other pools on the same address are not meant"
    checked.first["status"] = response(302, [("Location", "/elsewhere")])
    assert checked.wait("up", "status") == 'was=down reason="status 302"'
    assert checked.status("/status") == 200
    checked.wait_checks("status", 2)
    assert not [one for one in checked.backends[0].requests if one.target == b"/elsewhere"], "not followed"
    del checked.first["status"]


def test_no_line_while_nothing_changes(checked: Checked) -> None:
    checked.first["status"] = response(500)
    checked.wait("down", "status")
    before = checked.posthouse.stderr()
    checked.wait_checks("status", 3)
    checked.first["status"] = response(404)
    checked.wait_checks("status", 3)
    assert "/status" not in checked.posthouse.stderr()[len(before) :]
    del checked.first["status"]
    checked.wait("up", "status")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda connection: connection.close(), '"reset: closed by the backend"'),
        (lambda connection: connection.reset(), '"reset: '),
        (b"SSH-2.0-backend\r\n", '"malformed: not an HTTP/1 response"'),
        (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", '"malformed: bare CR or LF in the head"'),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            '"malformed: Content-Length together with Transfer-Encoding"',
        ),
    ],
    ids=["closes", "resets", "no HTTP", "bare line feeds", "two framings"],
)
def test_other_reasons(
    checked: Checked, answer: bytes | Callable[[BackendConnection], bytes | None], reason: str
) -> None:
    checked.first["status"] = answer
    assert checked.wait("down", "status").startswith(f"was=up reason={reason}")
    del checked.first["status"]
    checked.wait("up", "status")


def test_statuses_of_ones_own(checked: Checked) -> None:
    assert checked.status("/ranges") == 200
    for status, state in ((200, "down"), (599, "up"), (499, "down"), (404, "up")):
        checked.first["ranges"] = response(status)
        assert checked.wait(state, "ranges").endswith(f'reason="status {status}"')


def test_one_that_hangs_delays_nobody(checked: Checked) -> None:
    assert get(checked.port, "/pair").body == b"/pair"
    checked.first["pair"] = lambda connection: connection.backend.hold()
    before = len(checked.wait_checks("pair", 1, of=1))
    assert checked.wait("down", "pair") == 'was=up reason="no answer within 0.2 s"'
    assert len(checked.checks("pair", 1)) > before + 1, "they went on while the first was waited for"
    count = len(checked.backends[1].requests)
    assert checked.status("/pair/second") == 200
    assert [one for one in checked.backends[1].requests[count:] if one.target == b"/pair/second"]
    del checked.first["pair"]
    checked.backends[0].release()
    checked.wait("up", "pair")


def test_text_in_the_body(checked: Checked) -> None:
    assert checked.status("/contains") == 200
    checked.first["contains"] = response(200, body=b"nothing is well")
    assert checked.wait("down", "contains") == "was=up reason=\"body lacks 'all is well'\""
    assert checked.status("/contains") == 503
    pieces = response(200, [("Transfer-Encoding", "chunked")], None) + chunk(b"all is", b" well")
    checked.first["contains"] = pieces
    assert checked.wait("up", "contains") == "was=down reason=\"body has 'all is well'\""
    checked.first["contains"] = WELL


def test_a_body_is_not_searched_for_ever(checked: Checked) -> None:
    def late(connection: BackendConnection) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * SEARCH_BYTES + b"all is well")

    checked.first["contains"] = late
    assert checked.wait("down", "contains") == ("was=up reason=\"beginning of the body lacks 'all is well'\"")
    checked.first["contains"] = WELL
    checked.wait("up", "contains")


def test_another_port(checked: Checked) -> None:
    [asked, *_] = checked.wait_checks("port", 2, of=1)
    assert asked.field("Host") == checked.backends[1].address.encode(), "Host follows the port"
    assert checked.checks("port") == []
    checked.second["port"] = response(500)
    checked.wait("down", "port")
    assert checked.status("/port") == 503
    del checked.second["port"]
    checked.wait("up", "port")
    asked_before = len(checked.backends[0].requests)
    assert checked.status("/port/own") == 200
    assert [one for one in checked.backends[0].requests[asked_before:] if one.target == b"/port/own"]


def test_draining(checked: Checked) -> None:
    assert checked.status("/drain") == 200
    checked.first["drain"] = response(429)
    assert checked.wait("draining", "drain") == 'was=up reason="status 429"'
    assert checked.status("/drain") == 503
    checked.first["drain"] = response(500)
    checked.wait("down", "drain")
    checked.first["drain"] = response(429)
    assert checked.wait("draining", "drain") == 'was=down reason="status 429"'
    checked.first["drain"] = response(200, [("X-Draining", "no")])
    assert checked.wait("up", "drain") == 'was=draining reason="status 200"'
    checked.first["drain"] = response(200, [("X-Draining", "in 3 s")])
    assert checked.wait("draining", "drain") == "was=up reason=\"field X-Draining is 'in 3 s'\""
    assert checked.status("/drain") == 503
    del checked.first["drain"]
    assert checked.wait("up", "drain") == 'was=draining reason="status 200"'
    assert checked.status("/drain") == 200


def test_results_in_a_row(checked: Checked) -> None:
    """Fails 2, passes 3: each answer has a status of its own, so the line says which one tipped the scales."""
    statuses = [500, 200, 501, 200, 502, 503, 201, 202, 504, 203, 200, 205]
    checked.first["rows"] = lambda connection: response(statuses.pop(0) if statuses else 206)
    assert checked.wait("down", "rows") == 'was=up reason="status 503"'
    assert checked.wait("up", "rows") == 'was=down reason="status 205"'
    del checked.first["rows"]


def test_what_is_asked(checked: Checked) -> None:
    asked = checked.wait_checks("host", 1)[-1]
    assert (asked.method, asked.target) == (b"HEAD", b"/base/h/host?k=v&x=y")
    assert asked.fields == [
        (b"Host", b"site.test"),
        (b"User-Agent", b"Posthouse health check"),
        (b"Accept-Encoding", b"identity"),
        (b"X-Rule", b"constant"),
        (b"X-Own", b"a b"),
        (b"Authorization", b"Basic dXNlcjp3b3Jk"),
        (b"Connection", b"close"),
    ]
    asked = checked.wait_checks("plain", 1)[-1]
    assert asked.field("Host") == checked.backends[0].address.encode()


def test_each_check_has_a_connection_of_its_own_and_none_is_left(checked: Checked) -> None:
    found = checked.wait_checks("plain", 6)
    assert len({one.connection for one in found}) == len(found)
    counts = [len(os.listdir(f"/proc/{checked.posthouse.worker}/fd"))]
    for _ in range(5):
        checked.wait_checks("plain", 3)
        counts.append(len(os.listdir(f"/proc/{checked.posthouse.worker}/fd")))
    assert min(counts[3:]) <= max(counts[:3]) + 3, counts


def test_a_backend_that_writes_head_and_body_apart_is_not_cut_off(checked: Checked) -> None:
    """Else the log of the application would have a broken pipe for each check."""
    ends: list[str] = []

    def apart(connection: BackendConnection) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
        for piece in (b"ab", b"cd"):
            time.sleep(0.01)
            connection.send(piece)
        ends.append(connection.wait_end())

    checked.first["plain"] = apart
    checked.wait_checks("plain", 3)
    del checked.first["plain"]
    assert set(ends) == {"fin"}


# -- processes -----------------------------------------------------------------------------------------------------

ONE = """
http://:PORT {
    bind 127.0.0.1
    proxy / BACKEND {
        health_check /h
        health_check_interval 30ms
        health_check_timeout 1s
    }
}
"""


def web_server(port: int) -> subprocess.Popen[bytes]:
    """A web server of Python's; it listens when this returns."""
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/proc/self/task"
    )
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return process
        except OSError:
            time.sleep(0.02)
    raise AssertionError("the web server does not listen")


def end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait(10)


def test_killed_stopped_and_restarted(start_posthouse: Callable[..., Posthouse]) -> None:
    port = free_port()
    server = web_server(port)
    try:
        posthouse = start_posthouse(ONE.replace("/h\n", "/\n"), BACKEND=f"127.0.0.1:{port}")
        assert get(posthouse.port, "/").status == 200
        end(server)
        # A check that was on its way is cut off; any later one is refused.
        posthouse.wait_stderr(r'backend down .* reason="(connect: Connection refused|reset: [^"]*)"$')
        assert get(posthouse.port, "/").status == 503
        server = web_server(port)
        posthouse.wait_stderr(r'backend up .* was=down reason="status 200"$')
        assert get(posthouse.port, "/").status == 200
        os.kill(server.pid, signal.SIGSTOP)
        posthouse.wait_stderr(r'backend down .* reason="no answer within 1 s"$')
        os.kill(server.pid, signal.SIGCONT)
        posthouse.wait_stderr(r'(?s)no answer.* backend up .* was=down reason="status 200"$')
    finally:
        end(server)


def test_unix_sockets_and_connecting_alone(start_posthouse: Callable[..., Posthouse], tmp_path: Path) -> None:
    path = tmp_path / "s"
    site = ONE.replace("    proxy", f"    proxy /tcp BACKEND {{ health_check_tcp {INTERVAL} }}\n    proxy")
    posthouse = start_posthouse(site, BACKEND=f"unix:{path}")
    for pool in ("tcp", ""):
        posthouse.wait_stderr(
            rf'backend down pool="\S* /{pool}" upstream=unix:{path} .*"connect: No such file'
        )
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(100)
        server.settimeout(5)
        posthouse.wait_stderr(r'backend up pool="\S* /tcp" .* reason=connected$')
        asked = b""
        while not asked:
            peer, _ = server.accept()
            with peer:
                peer.settimeout(5)
                asked = peer.recv(1000)
                if asked:
                    peer.sendall(response(200))
        assert asked.startswith(b"GET /h HTTP/1.1\r\nHost: localhost\r\n")
        posthouse.wait_stderr(r'backend up pool="\S* /" .* reason="status 200"$')


def test_a_reload_keeps_what_is_known(
    start_posthouse: Callable[..., Posthouse], backend: ScriptedBackend
) -> None:
    slow = ONE.replace("interval 30ms", "interval 1m")
    backend.on_request = lambda asked, connection: response(503 if asked.target == b"/h" else 200)
    posthouse = start_posthouse(slow, BACKEND=backend.address)
    posthouse.wait_stderr("backend down")
    posthouse.reload(slow.replace("bind", "request_id\n    bind"))
    posthouse.wait_stderr(" reloaded .*generation=2")
    assert get(posthouse.port, "/").status == 503
    posthouse.reload(slow.replace("1m", "50s"))
    posthouse.wait_stderr(" reloaded .*generation=3")
    assert get(posthouse.port, "/").status == 503, "another pace is still the same question"
    posthouse.reload(slow.replace("/h", "/other"))
    posthouse.wait_stderr('backend up .* was=down reason="asked something else from now on"')
    posthouse.wait_stderr(" reloaded .*generation=4")
    assert get(posthouse.port, "/").status == 200
    asked = [one.target for one in backend.requests if one.target != b"/"]
    assert asked.count(b"/h") <= 2, "once, and once more for the new pace"


def test_what_does_not_serve_asks_nobody(
    start_posthouse: Callable[..., Posthouse], backend: ScriptedBackend, tmp_path: Path
) -> None:
    silent = ONE.replace("health_check", "#")
    posthouse = start_posthouse(silent, BACKEND=backend.address)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        second = ONE.replace("PORT", str(taken.getsockname()[1]))
        posthouse.reload(silent + second)
        posthouse.wait_stderr("reload failed")
        file = tmp_path / "Caddyfile"
        file.write_text(ONE.replace("PORT", "12345").replace("BACKEND", backend.address))
        command = [sys.executable, "-m", "posthouse", "validate", str(file)]
        done = subprocess.run(command, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert wait_still(lambda: len(backend.connections), 0.15) == 0
    posthouse.reload(ONE)
    backend.wait_requests(1)


def test_checks_end_with_their_generation(
    start_posthouse: Callable[..., Posthouse], backend: ScriptedBackend
) -> None:
    posthouse = start_posthouse(ONE, BACKEND=backend.address)
    backend.wait_requests(2)
    posthouse.reload(ONE.replace("health_check", "#"))
    posthouse.wait_stderr(" reloaded ")
    wait_still(lambda: len(backend.connections), 0.15)


def test_stopping_leaves_no_word(start_posthouse: Callable[..., Posthouse], backend: ScriptedBackend) -> None:
    """While one check waits for its answer and another backend is being dialled."""
    backend.on_request = lambda asked, connection: connection.backend.hold()
    posthouse = start_posthouse(ONE.replace("timeout 1s", "timeout 20s"), BACKEND=backend.address)
    backend.wait_requests(1)
    posthouse.signal(signal.SIGTERM)
    assert posthouse.wait() == 0
    stopped = posthouse.stderr().partition("stopping")[2]
    assert [line.split()[2] for line in stopped.splitlines()[1:]] == ["stopped"]
