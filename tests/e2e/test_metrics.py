"""What /metrics says after mixed traffic is exactly what the clients saw; and it survives reloads."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open
from prometheus_client.parser import text_string_to_metric_families as read_text

from kit import Posthouse, RawClient, Stage, request, response
from kit.backend import PATIENCE, BackendConnection, ScriptedBackend
from kit.client import get
from kit.http1 import Request
from kit.posthouse import free_port

CADDYFILE = """
http://site.test:PORT {
    bind 127.0.0.1
    proxy /api BACKEND
    proxy /dead 127.0.0.1:PORT2
    proxy /again 127.0.0.1:PORT2 {
        upstream BACKEND
        policy first
        try_duration 5s
    }
    status 410 /gone
}
http://ops.test:PORT {
    bind 127.0.0.1
    metrics { health ready }
    basicauth /metrics scraper hiccup
}
"""
AUTHORIZATION = (b"Authorization", b"Basic c2NyYXBlcjpoaWNjdXA=")
NONE = "(none)"
Rows = dict[tuple[str, ...], float]


class Scrape:
    """All samples of one look, read by Prometheus's own parser."""

    def __init__(self, stage: Stage, *, is_open: bool = False) -> None:
        accept = b"application/openmetrics-text; version=1.0.0" if is_open else b"text/plain"
        answer = stage.get("/metrics", [AUTHORIZATION, (b"Accept", accept)], host="ops.test")
        assert answer.status == 200, answer
        self.families = list((read_open if is_open else read_text)(answer.body.decode()))
        self._port = stage.port

    def rows(self, name: str) -> Rows:
        """The samples of that name by the values of their labels in alphabetical order; sites without the port."""
        port = f":{self._port}"
        return {
            tuple(
                value.removeprefix("http://").replace(port, "") for _, value in sorted(sample.labels.items())
            ): sample.value
            for family in self.families
            for sample in family.samples
            if sample.name == f"posthouse_{name}"
        }

    def rose(self, before: Scrape, name: str) -> Rows:
        """How much which rows have risen."""
        then = before.rows(name)
        differences = {key: value - then.get(key, 0.0) for key, value in self.rows(name).items()}
        return {key: value for key, value in differences.items() if value}


@pytest.fixture(scope="module")
def whole() -> Iterator[Stage]:
    with Stage(CADDYFILE, arguments=("--admin", "a.sock", "--admin-listen", f":{free_port()}")) as made:
        yield made


@pytest.fixture
def stage(whole: Stage) -> Stage:
    whole.clear()
    return whole


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.01)


def answer_by_target(asked: Request, connection: BackendConnection) -> bytes:
    body = b"" if asked.method == b"HEAD" else b"x" * 100
    return response(int(asked.target.rsplit(b"/", 1)[1]), body=body)


def test_the_numbers_are_what_the_clients_saw(stage: Stage) -> None:
    stage.backend.on_request = answer_by_target
    before = Scrape(stage)
    seen: Counter[tuple[str, ...]] = Counter()
    sent: Counter[tuple[str, ...]] = Counter()
    received: Counter[tuple[str, ...]] = Counter()
    with stage.client() as client:

        def ask(
            method: str, target: str, status: int, route: str, failure: str = "", body: bytes = b""
        ) -> None:
            client.send(request(method, target, body=body))
            answer = client.read_response(method)
            assert answer.status == status
            shown = {"BREW": "other"}.get(method, method)
            code = "2xx" if status == 299 else str(status)
            seen[failure, shown, route, "site.test", code] += 1
            sent[route, "site.test"] += len(body)
            received[route, "site.test"] += len(answer.body)

        for number in range(30):
            method, status = (
                ("GET", "POST", "BREW", "HEAD")[number % 4],
                (200, 404, 503, 299, 418)[number % 5],
            )
            body = b"b" * number if method == "POST" else b""
            ask(method, f"/api/{status}", status, "/api", body=body)
        ask("GET", "/dead/x", 502, "/dead", "connect")
        ask("GET", "/again/200", 200, "/again")
        ask("GET", "/gone", 410, NONE)
        ask("GET", "/nothing", 404, NONE)
    for host in ("one.test", "two.test", "three.test"):
        received[NONE, "(unknown)"] += len(stage.get("/", host=host).body)
        seen["", "GET", NONE, "(unknown)", "404"] += 1
    assert stage.get("/metrics", host="ops.test").status == 401
    seen["", "GET", NONE, "ops.test", "401"] += 1
    seen["", "GET", NONE, "ops.test", "200"] += 1  # the first look: it was not over when it was told
    with stage.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
        assert client.read_response().status == 400
    after = Scrape(stage)
    assert after.rose(before, "exchanges_total") == seen
    totals: Counter[tuple[str, ...]] = Counter()
    for (_, _, route, site, _), count in seen.items():
        totals[route, site] += count
    assert after.rose(before, "exchange_duration_seconds_count") == totals
    assert after.rose(before, "request_body_bytes_total") == +sent
    del received[NONE, "ops.test"]
    responses = after.rose(before, "response_body_bytes_total")
    assert responses.pop((NONE, "ops.test")) > 0
    assert responses == received
    assert after.rose(before, "refused_requests_total") == {("400",): 1}
    attempts = after.rose(before, "attempts_total")
    assert attempts.pop(("new", "/dead", "site.test")) == 1
    assert attempts.pop(("new", "/again", "site.test")) == 2
    new = len(stage.backend.connections) - 1
    assert attempts == {("new", "/api", "site.test"): new, ("reused", "/api", "site.test"): 30 - new}
    assert after.rose(before, "retries_total") == {("/again", "site.test"): 1}
    assert after.rose(before, "attempt_failures_total") == {
        ("connect", "/dead", "site.test"): 1,
        ("connect", "/again", "site.test"): 1,
    }


def test_durations_are_those_of_the_clients(stage: Stage) -> None:
    def slowly(asked: Request, connection: BackendConnection) -> bytes:
        time.sleep(0.06)
        return response(200)

    stage.backend.on_request = slowly
    before, began = Scrape(stage), time.monotonic()
    assert stage.get("/api/x").status == 200
    took, after = time.monotonic() - began, Scrape(stage)
    (measured,) = [
        value for key, value in after.rose(before, "exchange_duration_seconds_sum").items() if "/api" in key
    ]
    assert 0.06 <= measured <= took
    below = after.rose(before, "exchange_duration_seconds_bucket")
    assert ("0.05", "/api", "site.test") not in below
    assert below["60.0", "/api", "site.test"] == below["+Inf", "/api", "site.test"] == 1


def test_what_runs_now(stage: Stage) -> None:
    stage.backend.on_request = lambda asked, connection: None
    quiet = Scrape(stage)
    with stage.client() as first, stage.client() as second:
        for client in (first, second):
            client.send(request("GET", "/api/x"))
        until(lambda: len(stage.backend.requests) == 2)
        busy = Scrape(stage)
        assert busy.rose(quiet, "exchanges_in_flight") == {(): 2}
        assert busy.rose(quiet, "downstream_connections") == {(): 2}
        backend = stage.backend.address.removeprefix("http://")
        assert busy.rows("backend_in_flight")[backend, "site.test /api"] == 2
        assert busy.rose(quiet, "exchanges_total").keys() == {("", "GET", NONE, "ops.test", "200")}
    until(lambda: Scrape(stage).rows("exchanges_in_flight") == quiet.rows("exchanges_in_flight"))
    gone = Scrape(stage).rose(quiet, "exchanges_total")
    assert gone["client_gone", "GET", "/api", "site.test", "499"] == 2
    assert Scrape(stage).rose(quiet, "downstream_connections_accepted_total")[()] > 4


def test_connections_and_states(stage: Stage) -> None:
    assert stage.get("/api/x").status == 200
    now = Scrape(stage)
    assert now.rows("upstream_idle_connections")[()] >= 1
    up = {key[0] for key, value in now.rows("backend_state").items() if value and key[2] == "up"}
    assert stage.backend.address.removeprefix("http://") in up
    assert now.rows("workers") == {(): 1}


def test_openmetrics_says_the_same(stage: Stage) -> None:
    assert stage.get("/api/x").status == 200
    first, second = Scrape(stage), Scrape(stage, is_open=True)
    sites = {key: value for key, value in first.rows("exchanges_total").items() if key[3] != "ops.test"}
    assert sites == {k: v for k, v in second.rows("exchanges_total").items() if k[3] != "ops.test"} != {}


def test_the_processes_are_these(stage: Stage) -> None:
    """The supervisor and its worker together."""
    answer = stage.get("/metrics", [AUTHORIZATION], host="ops.test")
    found = {
        s.name: s.value for family in read_text(answer.body.decode()) for s in family.samples if not s.labels
    }
    assert found["process_resident_memory_bytes"] > 1.5 * stage.posthouse.memory()
    assert 0 < found["process_open_fds"] <= found["process_max_fds"]
    pids = (stage.posthouse.pid, stage.posthouse.worker)
    descriptors = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)
    assert abs(found["process_open_fds"] - descriptors) <= 2
    assert abs(found["process_start_time_seconds"] - os.stat(f"/proc/{stage.posthouse.pid}").st_mtime) < 60


def test_health_and_ready_ask_for_no_password(stage: Stage) -> None:
    assert [stage.get(path, host="ops.test").body for path in ("/health", "/ready")] == [
        b"alive\n",
        b"ready\n",
    ]
    for path in ("/metrics", "/health", "/ready"):
        assert stage.get(path, host="site.test").status == 404
    assert stage.get("/ready", host="ops.test", method="POST").status == 405


def admin_port(stage: Stage) -> int:
    command = Path(f"/proc/{stage.posthouse.pid}/cmdline").read_bytes().split(b"\0")
    return int(command[command.index(b"--admin-listen") + 1][1:])


def test_the_same_on_the_admin_socket_and_where_admin_listen_says(stage: Stage) -> None:
    assert stage.get("/api/x").status == 200

    def sites(text: str) -> dict[str, float]:
        found = {}
        for family in read_text(text):
            if family.name == "posthouse_exchanges":
                found.update({str(s.labels): s.value for s in family.samples if "site.test" in str(s.labels)})
        return found

    unix = http.client.HTTPConnection("localhost")
    unix.sock = socket.socket(socket.AF_UNIX)
    unix.sock.connect(str(stage.posthouse.directory / "a.sock"))
    unix.request("GET", "/metrics")
    on_socket = sites(unix.getresponse().read().decode())
    unix.close()
    port = admin_port(stage)
    answer = get(port, "/metrics", host="localhost")
    assert answer.status == 200 and sites(answer.body.decode()) == on_socket != {}
    assert [get(port, path, host="x").body for path in ("/health", "/ready")] == [b"alive\n", b"ready\n"]
    assert get(port, "/status", host="x").status == 404
    assert get(port, "/metrics", host="x", method="POST").status == 405


def test_a_client_that_leaves_before_the_text_is_there_harms_nobody(stage: Stage) -> None:
    for _ in range(5):
        with stage.client() as client:
            client.send(request("GET", "/metrics", [AUTHORIZATION], host="ops.test"))
            client.reset()
    assert Scrape(stage).rows("workers") == {(): 1}
    assert "internal error" not in stage.posthouse.stderr()


def test_not_ready_while_it_starts_and_while_it_drains() -> None:
    port = free_port()
    caddyfile = 'startup /bin/sh -c "while ! test -e GATE; do sleep 0.01; done"\n'
    with tempfile.TemporaryDirectory() as folder, ScriptedBackend(lambda asked, connection: None) as backend:
        gate = Path(folder, "gate")
        text = f"http://:PORT {{\n bind 127.0.0.1\n {caddyfile} proxy / BACKEND\n}}\n"

        def watch() -> None:
            until(lambda: state(port) == 503)
            assert get(port, "/health", host="x").status == 200
            gate.touch()

        with ThreadPoolExecutor(1) as pool:
            watching = pool.submit(watch)
            arguments = ("--admin-listen", f":{port}")
            with Posthouse(text, arguments=arguments, GATE=str(gate), BACKEND=backend.address) as posthouse:
                watching.result(5)
                assert state(port) == 200
                with RawClient(posthouse.port) as client:
                    client.send(request("GET", "/"))
                    backend.wait_requests(1)
                    posthouse.signal(signal.SIGTERM)
                    until(lambda: state(port) == 503)
                assert posthouse.wait() == 0
                assert state(port) == 0


def state(port: int) -> int:
    """The status of /ready; 0: nobody listens."""
    try:
        return get(port, "/ready", host="x").status
    except ConnectionRefusedError:
        return 0


TWO_SITES = """
http://ops.test:PORT {
    bind 127.0.0.1
    metrics
    proxy /api BACKEND
}
http://site.test:PORT {
    bind 127.0.0.1
    proxy / BACKEND
}
"""


def test_counters_survive_reloads() -> None:
    with Stage(TWO_SITES) as stage:
        for host in ("site.test", "site.test", "ops.test"):
            assert stage.get("/api/x", host=host).status == 200
        before = Scrape(stage)
        assert before.rows("generation") == {(): 1}

        def reload(text: str, line: str) -> None:
            seen = stage.posthouse.stderr().count(line)
            stage.posthouse.reload(text)
            until(lambda: stage.posthouse.stderr().count(line) > seen)

        with stage.client() as old:
            stage.backend.on_request = lambda asked, connection: None
            old.send(request("GET", "/slow"))
            until(lambda: any(asked.target == b"/slow" for asked in stage.backend.requests))
            reload(TWO_SITES.replace("proxy /api", "header / X-New 1\n    proxy /api"), " reloaded ")
            same = Scrape(stage)
            assert same.rose(before, "exchanges_total") == {("", "GET", NONE, "ops.test", "200"): 1}
            reload(TWO_SITES.split("http://site.test")[0], " reloaded ")
            gone = Scrape(stage)
            rows = gone.rows("exchanges_total")
            assert rows["", "GET", NONE, "(removed)", "200"] == 2
            assert not any("site.test" in key for key in rows)
            assert rows["", "GET", "/api", "ops.test", "200"] == 1
            assert sum(rows.values()) == sum(same.rows("exchanges_total").values()) + 1
        until(
            lambda: ("client_gone", "GET", NONE, "(removed)", "499") in Scrape(stage).rows("exchanges_total")
        )
        reload("http://ops.test:PORT {\n metrix\n}\n", "reload failed")
        last = Scrape(stage)
        assert last.rows("reloads_total") == {("failure",): 1, ("success",): 2}
        assert last.rows("last_reload_successful") == {(): 0}
        assert last.rows("generation") == {(): 3}
        taken = last.rows("last_reload_success_timestamp_seconds")[()]
        assert before.rows("last_reload_success_timestamp_seconds")[()] < taken <= time.time()
