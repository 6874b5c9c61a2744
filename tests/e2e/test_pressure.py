"""Under pressure: descriptors, idle and silent clients, memory. Others are served, nothing crashes, it comes back.

Topics 2.11, 2.12 and 2.16 of the specification of reliability.
"""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from kit import BackendConnection, Posthouse, RawClient, Request, Stage, get, request, response
from kit.backend import PATIENCE
from posthouse.commands.status import describe

SITES = """
http://:PORT {
    bind 127.0.0.1
    log access.log
    proxy / BACKEND
}
http://:PORT2 {
    bind 127.0.0.1
    root .
}
"""
MB = 1 << 20

LOOPS = pytest.mark.parametrize("loop", ["uvloop", "asyncio"])


def scarce(loop: str, descriptors: int = 64, **options: object) -> Stage:
    return Stage(SITES, env={"POSTHOUSE_LOOP": loop}, descriptors=descriptors, **options)


def cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:
        words = file.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def wait_until(is_so: Callable[[], object], timeout: float = PATIENCE) -> None:
    deadline = time.monotonic() + timeout
    while not is_so():
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.01)


@pytest.fixture(params=["uvloop", "asyncio"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """64 descriptors: room for 13 clients."""
    with scarce(request.param) as stage:
        yield stage


def test_silent_clients_keep_nobody_out_and_nobody_at_work_is_closed(stage: Stage) -> None:
    """20 that open and never speak, on room for 13: whoever speaks is served, long before `timeouts header`."""
    held: list[BackendConnection] = []

    def hold(asked: Request, connection: BackendConnection) -> bytes | None:
        if asked.target != b"/slow":
            return response(200, body=b"ok")
        held.append(connection)
        return None

    stage.backend.on_request = hold
    worker = stage.client()
    worker.send(request("GET", "/slow"))
    wait_until(lambda: held)
    silent = [stage.client() for _ in range(20)]
    began, used = time.monotonic(), cpu_seconds(stage.posthouse.worker)
    assert stage.get("/x").status == 200
    assert time.monotonic() - began < 9.0, "not for the deadline of the silent ones"
    assert cpu_seconds(stage.posthouse.worker) - used < 0.5, "waiting costs next to nothing"
    stage.posthouse.wait_stderr("accepting paused at the connection limit .*connections=1[34] most=13")
    assert "descriptor left" not in stage.posthouse.stderr()
    assert silent[0].end() == "fin", "politely"
    held[0].send(response(200, body=b"late"))
    assert worker.read_response().body == b"late"


def test_many_clients_that_ask_are_all_answered(stage: Stage) -> None:
    """Each request needs two descriptors; 40 clients at once have to wait, and none is refused."""
    clients = [stage.client() for _ in range(40)]
    for client in clients:
        client.send(request("GET", "/x", [("Connection", "close")]))
    assert [client.read_response().status for client in clients] == [200] * 40
    assert "descriptor left" not in stage.posthouse.stderr()
    assert [stage.get("/afterwards").status for _ in range(5)] == [200] * 5


def test_fewer_descriptors_than_were_promised(stage: Stage) -> None:
    """The limit is lowered under a running process: dial, file and accept find none. Then it is over."""
    posthouse = stage.posthouse
    (posthouse.directory / "file.txt").write_text("text")
    client, of_file = stage.client(), stage.client(posthouse.named_port("PORT2"))
    assert of_file.exchange(request("GET", "/file.txt")).status == 200
    limits = resource.prlimit(posthouse.worker, resource.RLIMIT_NOFILE, (3, 64))
    used = cpu_seconds(posthouse.worker)

    refused = client.exchange(request("GET", "/x"))
    assert (refused.status, refused.field("retry-after")) == (503, b"1")
    assert of_file.exchange(request("GET", "/file.txt")).status == 503
    posthouse.wait_stderr('exchange failed failure=connect reason="Too many open files"')
    posthouse.wait_stderr("accepting rests: no descriptor left")
    assert posthouse.metric('posthouse_shortages_total{resource="descriptors"}') >= 1
    late = [stage.client() for _ in range(5)]
    wait_until(lambda: short_of(posthouse) == [["descriptors"]])
    time.sleep(0.3)
    assert cpu_seconds(posthouse.worker) - used < 0.25, "no busy loop"

    resource.prlimit(posthouse.worker, resource.RLIMIT_NOFILE, limits)
    wait_until(lambda: answers(stage))
    assert client.exchange(request("GET", "/x")).status == 200
    assert of_file.exchange(request("GET", "/file.txt")).status == 200
    assert "internal error" not in posthouse.stderr()
    del late


def answers(stage: Stage) -> bool:
    """Whether a new client is served."""
    try:
        return stage.get("/x").status == 200
    except (OSError, AssertionError):
        return False


def test_reload_and_reopening_logs_without_a_descriptor() -> None:
    with scarce("uvloop") as stage:
        posthouse = stage.posthouse
        assert stage.get("/x").status == 200
        posthouse.wait_access(1)
        limits = resource.prlimit(posthouse.worker, resource.RLIMIT_NOFILE, (3, 64))
        posthouse.reload(SITES + "http://:PORT3 {\n    bind 127.0.0.1\n    proxy / BACKEND\n}\n")
        posthouse.wait_stderr("log not reopened")
        posthouse.wait_stderr("reload failed, the old configuration stays")
        resource.prlimit(posthouse.worker, resource.RLIMIT_NOFILE, limits)
        wait_until(lambda: answers(stage))
        posthouse.wait_access(2)


def test_a_worker_without_a_descriptor_takes_the_process_log() -> None:
    """It comes as a descriptor, for which one is held back. New addresses are refused before anything is sent."""
    with scarce("uvloop", arguments=("--log", "process.log")) as stage:
        posthouse = stage.posthouse
        worker = posthouse.worker
        told = posthouse.directory / "process.log"
        used = {int(name) for name in os.listdir(f"/proc/{worker}/fd")}
        free = next(number for number in range(1000) if number not in used)
        limits = resource.prlimit(worker, resource.RLIMIT_NOFILE, (free, 64))
        for site, line in (
            (SITES, "INFO reloaded"),
            (SITES + "http://:PORT3 {\n    bind 127.0.0.1\n}\n", "no room for the new listening addresses"),
            (SITES, "generation=3"),
        ):
            told.rename(told.with_suffix(".old"))
            posthouse.reload(site)
            wait_until(lambda line=line: told.exists() and line in told.read_text())  # type: ignore[misc]
            assert posthouse.worker == worker
        resource.prlimit(worker, resource.RLIMIT_NOFILE, limits)
        wait_until(lambda: answers(stage))


@pytest.mark.parametrize(("count", "is_few"), [(4096, False), (4095, True)])
def test_few_descriptors_are_said(count: int, is_few: bool) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < count:
        pytest.skip("there are fewer")
    with scarce("uvloop", count) as stage:
        stage.posthouse.wait_stderr(" INFO started ")
        said = "few descriptors: the system allows no more (LimitNOFILE, ulimit -Hn) descriptors=4095 "
        assert (said + "connections_per_worker=2031\n" in stage.posthouse.stderr()) is is_few
    with scarce("uvloop", count, arguments=("--max-connections", "9")) as stage:
        stage.posthouse.wait_stderr(" INFO started ")
        assert "few descriptors" not in stage.posthouse.stderr(), "it was decided"


def test_more_connections_than_descriptors_allow_is_said() -> None:
    with scarce("uvloop", arguments=("--max-connections", "100")) as stage:
        stage.posthouse.wait_stderr(
            "descriptors allow fewer connections than --max-connections wanted=100 allowed=13 descriptors=64"
        )
        assert stage.get("/x").status == 200


def test_the_limit_of_connections_is_told() -> None:
    """By `posthouse status` and the metrics; an answer that ends makes room, and then it is over."""
    short = 'posthouse_short_workers{resource="connections"}'
    with Stage(SITES, arguments=("--max-connections", "2")) as stage:
        posthouse = stage.posthouse
        held: list[BackendConnection] = []
        stage.backend.on_request = lambda asked, connection: held.append(connection)
        assert short_of(posthouse) == [[]]
        assert posthouse.metric("posthouse_downstream_connections_limit") == 2
        clients = [stage.client() for _ in range(2)]
        for client in clients:
            client.send(request("GET", "/x", [("Connection", "close")]))
        wait_until(lambda: short_of(posthouse) == [["connections"]])
        assert posthouse.metric(short) == 1
        assert posthouse.metric('posthouse_short_workers{resource="memory"}') == 0
        (worker,) = json.loads(posthouse.ask_admin("/status"))["workers"]
        assert (worker["connections"], worker["connections_limit"]) == (2, 2)
        told = f"under pressure pid {worker['pid']} at a limit of connections, new clients wait"
        assert told in describe(json.loads(posthouse.ask_admin("/status")), datetime.now(UTC))
        wait_until(lambda: len(held) == 2)
        for connection in held:
            connection.send(response(200))
        wait_until(lambda: short_of(posthouse) == [[]])
        assert posthouse.metric(short) == 0
        assert posthouse.metric('posthouse_shortages_total{resource="connections"}') >= 1
        del clients


def short_of(posthouse: Posthouse) -> list[list[str]]:
    """Of each worker."""
    return [one["short_of"] for one in json.loads(posthouse.ask_admin("/status"))["workers"]]


def test_most_connections() -> None:
    with Stage(SITES, arguments=("--max-connections", "2")) as stage:
        stage.client().exchange(request("GET", "/x"))
        assert "paused" not in stage.posthouse.stderr()
        stage.client().exchange(request("GET", "/x"))
        stage.posthouse.wait_stderr("accepting paused at the connection limit .*connections=2 most=2")


# Memory.


class Hanging:
    """A backend that answers everything but PUT."""

    def __init__(self) -> None:
        self.held: list[BackendConnection] = []

    def __call__(self, asked: Request, connection: BackendConnection) -> bytes | None:
        if asked.method != b"PUT":
            return response(200, body=b"ok")
        self.held.append(connection)
        return None


def test_over_its_memory_it_refuses_and_comes_back() -> None:
    """Bodies that are kept for another attempt, until the limit is passed; then their clients leave."""
    with Stage(SITES, arguments=("--max-memory", "72MB")) as stage:
        posthouse = stage.posthouse
        stage.backend.on_request = hanging = Hanging()
        idle = stage.client()
        assert idle.exchange(request("GET", "/x")).status == 200
        puts = fill(stage)
        posthouse.wait_stderr("memory over its limit, new requests get 503 resident=.*MB most=72.0MB")

        refused = get(stage.port, "/x", host="site.test")
        assert (refused.status, refused.field("retry-after")) == (503, b"5")
        assert refused.field("connection") == b"close"
        assert short_of(posthouse) == [["memory"]]
        assert idle.end() == "fin", "idle clients are closed"
        assert stage.get("/y").status == 503
        assert b"/y" not in [asked.target for asked in stage.backend.requests]

        hanging.held[0].send(response(201))
        assert puts[0].read_response().status == 201, "what runs goes on"
        for client in puts:
            client.close()
        posthouse.wait_stderr("memory .* its limit.*, serving again", timeout=8)
        wait_until(lambda: stage.get("/x").status == 200)
        assert short_of(posthouse) == [[]]
        assert posthouse.metric('posthouse_shortages_total{resource="memory"}') >= 1
        posthouse.wait_access(4)
        assert any(" 503 " in line for line in posthouse.access_log())
        wait_until(lambda: posthouse.memory() < 65 * MB)


def fill(stage: Stage) -> list[RawClient]:
    """Clients whose bodies are kept, as many as it takes."""
    body, puts = b"x" * 1_000_000, []
    deadline = time.monotonic() + PATIENCE
    while "memory over its limit" not in stage.posthouse.stderr():
        assert time.monotonic() < deadline
        puts.append(stage.client())
        puts[-1].send(request("PUT", "/held", body=body))
    return puts


def test_a_reload_goes_on_refusing_and_a_limit_that_is_not_passed_does_nothing() -> None:
    with Stage(SITES, arguments=("--max-memory", "72MB")) as stage:
        stage.backend.on_request = Hanging()
        assert stage.get("/x").status == 200
        puts = fill(stage)
        stage.posthouse.wait_stderr("memory over its limit")
        stage.posthouse.reload(SITES)
        stage.posthouse.wait_stderr("reloaded")
        assert stage.get("/x").status == 503
        del puts


def test_a_limit_of_memory_that_nothing_fits_in_is_refused() -> None:
    with pytest.raises(
        AssertionError, match=r"posthouse: --max-memory leaves 10\.0MB for each worker, and one has"
    ):
        Stage(SITES, arguments=("--max-memory", "10MB"))
