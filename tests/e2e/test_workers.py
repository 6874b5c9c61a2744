"""The process group: workers that die, hang or never come to life, reload and stop over several of them."""

from __future__ import annotations

import gzip
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from kit import BadMessage, Posthouse, RawClient, ScriptedBackend, Truncated, chunk, get, request, response
from kit.backend import PATIENCE

Start = Callable[..., Posthouse]

ONE_SITE = "http://127.0.0.1:PORT {\n bind 127.0.0.1\n proxy / BACKEND\n}\n"
HELLO = request("GET", "/", host="127.0.0.1")
STREAM = response(200, [("Transfer-Encoding", "chunked")], body=None) + chunk(b"begin ", last=False)


def until(is_so: Callable[[], object], timeout: float = PATIENCE) -> None:
    """Look again and again; AssertionError when it does not become so."""
    deadline = time.monotonic() + timeout
    while not is_so():
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """A process that has ended and was not waited for does not run."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Crowd:
    """Clients that ask again and again, a connection for each request, until told to stop."""

    def __init__(self, port: int, size: int = 3) -> None:
        self.answered = 0
        self.failures: list[str] = []
        self._port = port
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(size)]

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(20)

    def _ask(self) -> None:
        while not self._is_over.is_set():
            try:
                answer = get(self._port, "/", host="127.0.0.1")
                if answer.status != 200:
                    self.failures.append(f"status {answer.status}")
            except (OSError, BadMessage, Truncated) as error:
                self.failures.append(repr(error))
            self.answered += 1

    def go_on(self, count: int = 10) -> None:
        """Wait until so many more requests were answered."""
        before = self.answered
        until(lambda: self.answered >= before + count, 20)


def worker_of(running: Posthouse, client: RawClient) -> int:
    """The worker that has accepted this client; 0 while none has."""
    ends = f":{running.port:04X} 0100007F:{client.local_port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines() if ends in line]
    link = f"socket:[{rows[0][9]}]" if rows else ""
    for pid in running.workers():
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                if os.readlink(descriptor) == link:
                    return pid
    return 0


def spread(running: Posthouse, clients: ExitStack) -> dict[int, RawClient]:
    """A client for each worker, with one answer read: the kernel chooses, so many are tried."""
    count = len(running.workers())
    made: dict[int, RawClient] = {}
    for _ in range(200):
        client = clients.enter_context(RawClient(running.port))
        client.send(HELLO)
        client.read_head()
        made.setdefault(worker_of(running, client), client)
        if len(made) == count:
            return made
    raise AssertionError(f"200 connections went to {len(made)} of {count} workers")


def reload(running: Posthouse, caddyfile: str, told: str = " INFO reloaded ") -> None:
    """Reload, and wait until one more line tells of it."""
    before = len(re.findall(told, running.stderr()))
    running.reload(caddyfile)
    until(lambda: len(re.findall(told, running.stderr())) > before)


@pytest.fixture(scope="module")
def four(module_backend: ScriptedBackend) -> Iterator[Posthouse]:
    """Four workers that a whole module uses; nobody may stop them."""
    with Posthouse(ONE_SITE, BACKEND=module_backend.address, workers=4) as running:
        yield running


@pytest.fixture(scope="module")
def module_backend() -> Iterator[ScriptedBackend]:
    with ScriptedBackend() as started:
        yield started


# --- start


def test_the_ready_line_counts_them_and_names_the_supervisor(four: Posthouse) -> None:
    assert f"(pid {four.pid}, workers 4)" in four.stderr()
    assert four.stderr().count("ready: ") == 1
    assert len(four.workers()) == 4


def test_the_kernel_spreads_clients_over_all(four: Posthouse) -> None:
    with ExitStack() as clients:
        assert set(spread(four, clients)) == set(four.workers())


def test_a_second_posthouse_is_refused_the_port(four: Posthouse, tmp_path: Path) -> None:
    (tmp_path / "Caddyfile").write_text(f"http://127.0.0.1:{four.port} {{\n bind 127.0.0.1\n}}\n")
    command = [sys.executable, "-m", "posthouse", "run", "--workers", "3"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(
        f"cannot listen on 127.0.0.1:{four.port}: the address is already in use by another program"
    )


def test_by_default_there_is_one_for_each_core(start_posthouse: Start, backend: ScriptedBackend) -> None:
    running = start_posthouse(ONE_SITE, BACKEND=backend.address, workers=None)
    assert f"workers {len(os.sched_getaffinity(0))})" in running.stderr()


def test_workers_listen_beside_each_other_on_several_hosts(
    start_posthouse: Start, backend: ScriptedBackend
) -> None:
    every = "http://:PORT {\n proxy / BACKEND\n}\n"
    one = "http://:PORT {\n bind 127.0.0.1\n status 204 /\n}\n"
    running = start_posthouse(every, BACKEND=backend.address, workers=2)
    port = running.named_port()
    for generation, caddyfile in enumerate((one, every), 2):
        running.reload(caddyfile)
        running.wait_stderr(f" INFO reloaded .*generation={generation} ")
        statuses = {get(port, host="127.0.0.1").status for _ in range(8)}
        assert statuses == ({204} if caddyfile is one else {200})


# --- a worker that dies, hangs, or is never born


def test_twenty_killed_workers_cost_only_what_ran_in_them(four: Posthouse) -> None:
    with ExitStack() as clients:
        idle = spread(four, clients)
        with Crowd(four.port) as crowd:
            for turn in range(20):
                before = four.workers()
                victim = before[turn % len(before)]
                os.kill(victim, signal.SIGKILL)
                until(lambda victim=victim: victim not in four.workers())  # type: ignore[misc]
                crowd.go_on()
                until(lambda: len(four.workers()) == 4)
        spread(
            four, clients
        )  # all four serve; lines of the log would not tell: one may be killed before it has served
        assert len(crowd.failures) <= 20 * 3, "no more than ran in those that were killed"
        assert not set(idle) & set(four.workers()), "each was killed at least once"
    again = [get(four.port, host="127.0.0.1").status for _ in range(20)]
    assert again == [200] * 20
    four.wait_stderr(r"ERROR worker ended worker=\d pid=\d+ ended=\"signal 9\" cut=\d+ next=0s")


def test_the_others_serve_while_one_is_gone(four: Posthouse) -> None:
    with ExitStack() as clients:
        made = spread(four, clients)
        victim, *others = sorted(made)
        os.kill(victim, signal.SIGKILL)
        assert made[victim].end() in ("fin", "rst")
        for other in others:
            made[other].buffer.clear()
            made[other].send(HELLO)
            assert made[other].read_response().status == 200
    until(lambda: len(four.workers()) == 4)


def test_a_worker_that_hangs_is_replaced(start_posthouse: Start, backend: ScriptedBackend) -> None:
    env = {"POSTHOUSE_HEARTBEAT": "500ms"}
    running = start_posthouse(ONE_SITE, BACKEND=backend.address, workers=2, env=env)
    victim = running.workers()[0]
    os.kill(victim, signal.SIGSTOP)
    running.wait_stderr(rf"ERROR worker hung, killed worker=\d pid={victim} silent=0.5s", 15)
    running.wait_stderr("INFO worker replaced", 15)
    assert not is_running(victim)
    assert [get(running.port, host="127.0.0.1").status for _ in range(10)] == [200] * 10


def test_a_worker_that_only_works_hard_is_left_alone(
    start_posthouse: Start, backend: ScriptedBackend
) -> None:
    env = {"POSTHOUSE_HEARTBEAT": "2s"}
    running = start_posthouse(ONE_SITE, BACKEND=backend.address, env=env)
    before = running.workers()
    os.kill(before[0], signal.SIGSTOP)
    with RawClient(running.port) as client:
        client.send(HELLO)
        assert client.is_open(0.3), "a part of the limit"
        os.kill(before[0], signal.SIGCONT)
        assert client.read_response().status == 200
    assert running.workers() == before


def test_workers_that_die_at_birth_end_it_with_1(tmp_path: Path) -> None:
    (tmp_path / "Caddyfile").write_text("http://127.0.0.1:0\n")
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nif 'posthouse.commands.worker' in sys.orig_argv:\n    os._exit(77)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "posthouse", "run", "--workers", "2"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    last = done.stderr.splitlines()[-1]
    assert re.fullmatch(r"posthouse: worker \d ended 3 times before it served: exit code 77", last), (
        done.stderr
    )
    assert "ready:" not in done.stderr


def test_a_group_that_nobody_can_join_any_more_ends_with_1(
    start_posthouse: Start, backend: ScriptedBackend, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    (tmp_path / "sitecustomize.py").write_text(
        f"import os, sys\nif os.path.exists({str(flag)!r}) and 'posthouse.commands.worker' in sys.orig_argv:\n"
        "    os._exit(77)\n"
    )
    running = start_posthouse(ONE_SITE, BACKEND=backend.address, env={"PYTHONPATH": str(tmp_path)})
    flag.touch()
    os.kill(running.worker, signal.SIGKILL)
    assert running.wait(20) == 1
    assert re.search('ERROR no worker is left that serves reason="worker 0 ended 3 times', running.stderr())


# --- reload


def test_reloads_under_load_lose_nothing(four: Posthouse) -> None:
    with Crowd(four.port) as crowd:
        for _ in range(8):
            reload(four, ONE_SITE)
            crowd.go_on(5)
    assert crowd.failures == []


def test_a_reload_reaches_every_worker(four: Posthouse) -> None:
    with ExitStack() as clients:
        made = spread(four, clients)
        reload(four, ONE_SITE.replace("proxy / BACKEND", "status 418 /"))
        for client in made.values():
            client.buffer.clear()
            client.send(HELLO)
            assert client.read_response().status == 418
    reload(four, ONE_SITE)


def test_one_worker_that_cannot_build_keeps_all_on_the_old(four: Posthouse) -> None:
    """A log that can't be opened is found by the workers only."""
    bad = "http://127.0.0.1:PORT {\n bind 127.0.0.1\n log /nowhere/access.log\n status 418 /\n}\n"
    for _ in range(2):
        reload(four, bad, "ERROR reload failed.*cannot open the log /nowhere/access.log")
    assert {get(four.port, host="127.0.0.1").status for _ in range(12)} == {200}
    reload(four, ONE_SITE.replace("proxy / BACKEND", "status 418 /"))
    assert {get(four.port, host="127.0.0.1").status for _ in range(12)} == {418}
    reload(four, ONE_SITE)


def test_a_replacement_serves_what_was_reloaded(start_posthouse: Start, backend: ScriptedBackend) -> None:
    running = start_posthouse(ONE_SITE, BACKEND=backend.address)
    running.reload(
        "http://127.0.0.1:PORT {\n bind 127.0.0.1\n status 418 /\n}\n"
        "http://127.0.0.1:PORT2 {\n bind 127.0.0.1\n status 204 /\n}\n"
    )
    running.wait_stderr(" INFO reloaded ")
    os.kill(running.worker, signal.SIGKILL)
    assert get(running.port, host="127.0.0.1").status == 418
    assert get(running.named_port("PORT2"), host="127.0.0.1").status == 204


def test_who_waits_at_an_address_that_goes_is_served(
    start_posthouse: Start, backend: ScriptedBackend
) -> None:
    running = start_posthouse(ONE_SITE, BACKEND=backend.address, workers=2)
    port = running.port
    frozen = running.workers()
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    clients = [RawClient(port) for _ in range(8)]
    for client in clients:
        client.send(HELLO)
    running.reload("http://127.0.0.1:PORT2 {\n bind 127.0.0.1\n proxy / BACKEND\n}\n")
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)
    for client in clients:
        assert client.read_response().status == 200
        client.close()
    running.wait_stderr(" INFO reloaded ")
    with pytest.raises(ConnectionRefusedError):
        RawClient(port)


# --- stop


def test_streams_on_all_workers_are_finished_and_then_it_ends(
    start_posthouse: Start, backend: ScriptedBackend
) -> None:
    running = start_posthouse(ONE_SITE, BACKEND=backend.address, workers=2)
    backend.on_request = lambda asked, connection: STREAM
    with ExitStack() as clients:
        made = spread(running, clients)
        count = len(backend.connections)
        running.signal(signal.SIGTERM)
        running.wait_stderr(rf"INFO stopping signal=TERM in_flight={count} ")
        until(lambda: _is_refused(running.port))
        for connection in backend.connections:
            connection.send(chunk(b"end"))
        for client in made.values():
            assert client.end() == "fin"
            assert client.buffer.endswith(b"end\r\n0\r\n\r\n")
        assert running.wait() == 0
    assert "INFO stopped cut=0" in running.stderr()


def test_what_is_cut_is_summed(start_posthouse: Start, backend: ScriptedBackend) -> None:
    running = start_posthouse(ONE_SITE, BACKEND=backend.address, workers=2, arguments=("--grace", "200ms"))
    backend.on_request = lambda asked, connection: STREAM
    with ExitStack() as clients:
        spread(running, clients)
        count = len(backend.connections)
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
    assert f"INFO stopped cut={count}" in running.stderr()


def test_a_second_signal_ends_all_at_once(start_posthouse: Start, backend: ScriptedBackend) -> None:
    running = start_posthouse(ONE_SITE, BACKEND=backend.address, workers=2)
    backend.on_request = lambda asked, connection: STREAM
    workers = running.workers()
    with ExitStack() as clients:
        spread(running, clients)
        count = len(backend.connections)
        running.signal(signal.SIGTERM)
        running.wait_stderr(" INFO stopping ")
        running.signal(signal.SIGINT)
        assert running.wait(5) == 2
    assert f"WARN stopped by a second signal signal=INT cut={count}" in running.stderr()
    assert not any(map(is_running, workers))


def test_a_worker_that_hangs_does_not_hold_up_the_end(
    start_posthouse: Start, backend: ScriptedBackend
) -> None:
    running = start_posthouse(ONE_SITE, BACKEND=backend.address, workers=2)
    victim = running.workers()[0]
    os.kill(victim, signal.SIGSTOP)
    running.signal(signal.SIGTERM)
    running.wait_stderr(" INFO stopping ")
    running.signal(signal.SIGTERM)
    assert running.wait(10) == 2
    assert not is_running(victim)


def test_signals_to_the_whole_group_are_the_supervisors_affair(
    start_posthouse: Start, backend: ScriptedBackend
) -> None:
    """As Ctrl-C in a terminal, and as a service manager that signals every process of the service."""
    running = start_posthouse(ONE_SITE, BACKEND=backend.address, workers=2)
    backend.on_request = lambda asked, connection: STREAM
    with RawClient(running.port) as client:
        client.send(HELLO)
        client.read_head()
        for pid in (*running.workers(), running.pid):
            os.kill(pid, signal.SIGTERM)
        running.wait_stderr("INFO stopping signal=TERM in_flight=1 ")
        backend.connections[0].send(chunk(b"end"))
        assert client.end() == "fin"
        assert client.buffer.endswith(b"end\r\n0\r\n\r\n")
    assert running.wait() == 0


def test_workers_without_a_supervisor_drain_and_end(start_posthouse: Start, backend: ScriptedBackend) -> None:
    running = start_posthouse(ONE_SITE, BACKEND=backend.address, workers=2)
    backend.on_request = lambda asked, connection: STREAM
    workers = running.workers()
    with RawClient(running.port) as client:
        client.send(HELLO)
        client.read_head()
        running.signal(signal.SIGKILL)
        until(lambda: _is_refused(running.port))
        assert any(map(is_running, workers)), "what runs is finished"
        backend.connections[0].send(chunk(b"end"))
        assert client.end() == "fin"
        assert client.buffer.endswith(b"end\r\n0\r\n\r\n")
    until(lambda: not any(map(is_running, workers)))
    assert running.stderr().count("WARN supervisor gone, draining") == 2


# --- logs


def test_all_write_to_the_same_log_and_all_reopen_it(
    start_posthouse: Start, backend: ScriptedBackend
) -> None:
    running = start_posthouse(
        ONE_SITE.replace("bind", "log access.log\n bind"), BACKEND=backend.address, workers=2
    )
    with ExitStack() as clients:
        made = spread(running, clients)
        count = len(backend.requests)
        running.wait_access(count)
        (running.directory / "access.log").rename(running.directory / "access.log.1")
        running.signal(signal.SIGHUP)
        running.wait_stderr(" INFO reloaded ")
        for client in made.values():
            client.buffer.clear()
            client.send(HELLO)
            assert client.read_response().status == 200
        assert len(running.wait_access(2)) == 2
        assert len(running.access_log("access.log.1")) == count


def test_rotation_by_one_of_several_loses_and_doubles_nothing(
    start_posthouse: Start, backend: ScriptedBackend
) -> None:
    log = "log / access.log {uri} {\n  rotate_size 1\n  rotate_compress\n }"
    caddyfile = ONE_SITE.replace("bind", log + "\n bind").replace("proxy / BACKEND", "status 204 /")
    running = start_posthouse(caddyfile, workers=2)
    with ExitStack() as clients:
        made = spread(running, clients)
        padding = "x" * 8000
        for number in range(200):
            for name, client in enumerate(made.values()):
                client.send(request("GET", f"/{name}-{number}-{padding}", host="127.0.0.1"))
                assert client.read_response().status == 204
    folder = running.directory
    until(lambda: len(list(folder.glob("access-*.log.gz"))) >= 2 and not list(folder.glob("access-*.log")))
    asked = {f"/{name}-{number}-" for name in range(2) for number in range(200)}
    until(lambda: "-199-" in _text_of(folder), 5)
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    lines = [line[: line.rfind("-") + 1] for line in _text_of(folder).splitlines()]
    assert sorted(line for line in lines if line in asked) == sorted(asked), "each once"


def _text_of(folder: Path) -> str:
    """All of a log, with what was put aside."""
    texts = [gzip.decompress(path.read_bytes()) for path in folder.glob("access-*.gz")]
    texts += [path.read_bytes() for path in folder.glob("access*.log")]
    return b"".join(texts).decode()


def _is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 2).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def test_new_clients_do_not_wait_for_the_replacement(
    start_posthouse: Start, backend: ScriptedBackend
) -> None:
    """The kernel goes on giving the dead worker's share of them to its place."""
    posthouse = start_posthouse(ONE_SITE, BACKEND=backend.address, workers=2)
    before = set(posthouse.workers())
    os.kill(min(before), signal.SIGKILL)
    until(lambda: set(posthouse.workers()) - before)
    (fresh,) = set(posthouse.workers()) - before
    os.kill(fresh, signal.SIGSTOP)  # it imports for some hundred milliseconds: it can't serve yet
    try:
        for _ in range(30):
            assert get(posthouse.port, host="127.0.0.1").status == 200
        assert "worker replaced" not in posthouse.stderr()
    finally:
        os.kill(fresh, signal.SIGCONT)
    posthouse.wait_stderr("worker replaced", timeout=20)
