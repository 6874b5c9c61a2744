"""The program as a process: ready line, exit codes, signals, reload, and what a failed start looks like."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from kit import Posthouse, RawClient, Response, ScriptedBackend, chunk, get, request, response
from kit.backend import PATIENCE

Start = Callable[..., Posthouse]

ONE_SITE = "http://127.0.0.1:0 {\n proxy / BACKEND\n}\n"
HELLO = request("GET", "/", host="127.0.0.1")


def posthouse(
    *words: str, cwd: Path | None = None, stdin: str = "", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "posthouse", *words],
        cwd=cwd,
        input=stdin,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def ask(port: int, target: str = "/") -> Response:
    """One request to the site named 127.0.0.1."""
    return get(port, target, host="127.0.0.1")


@pytest.fixture(params=["uvloop", "asyncio"])
def each_loop(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment that forces one kind of event loop."""
    if request.param == "uvloop":
        pytest.importorskip("uvloop", reason="uvloop is not installed")
    return {"POSTHOUSE_LOOP": request.param}


# --- the ready line


def test_the_ready_line_has_real_ports_sorted_and_comes_once(
    start_posthouse: Start, backend: ScriptedBackend
) -> None:
    caddyfile = (
        ":0 {\n proxy / BACKEND\n}\n"
        "127.0.0.1:PORT {\n bind 127.0.0.1\n proxy / BACKEND\n}\n"
        "localhost:PORT2 {\n proxy / BACKEND\n}\n"
    )
    running = start_posthouse(caddyfile, BACKEND=backend.address)
    assert len(running.addresses) == 3
    assert running.addresses == sorted(running.addresses)
    assert f"http://127.0.0.1:{running.named_port('PORT')}" in running.addresses
    assert f"http://localhost:{running.named_port('PORT2')}" in running.addresses
    for address in running.addresses:
        port = int(address.rsplit(":", 1)[1])
        assert get(port, host="localhost" if "localhost" in address else "127.0.0.1").status == 200
    running.signal(signal.SIGUSR1)
    running.wait_stderr(" INFO reloaded ")
    assert running.stderr().count("ready: ") == 1
    assert f"(pid {running.pid}, workers 1)" in running.stderr()


def test_the_process_log_has_its_shape(start_posthouse: Start, backend: ScriptedBackend) -> None:
    running = start_posthouse(ONE_SITE, BACKEND=backend.address)
    line = running.wait_stderr(r"^.* started .*$")[0]
    shape = rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z INFO started pid={running.pid} workers=1 sites=1 generation=1"
    assert re.fullmatch(shape, line)


def test_the_process_log_as_json_in_a_file(
    start_posthouse: Start, backend: ScriptedBackend, tmp_path: Path
) -> None:
    log = tmp_path / "process.log"
    arguments = ("--log", str(log), "--log-format", "json")
    running = start_posthouse(ONE_SITE, BACKEND=backend.address, arguments=arguments)
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["what"] for line in lines] == ["started", "stopping", "stopped"]
    assert running.stderr().count("\n") == 1, "only the ready line"


# --- stopping


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_ends_it_with_0(
    number: int, start_posthouse: Start, backend: ScriptedBackend, each_loop: dict[str, str]
) -> None:
    running = start_posthouse(ONE_SITE, BACKEND=backend.address, env=each_loop)
    running.signal(number)
    assert running.wait() == 0
    assert " INFO stopped cut=0" in running.stderr()


def test_what_runs_is_finished_and_what_is_idle_closed(
    start_posthouse: Start, backend: ScriptedBackend, each_loop: dict[str, str]
) -> None:
    running = start_posthouse(ONE_SITE, BACKEND=backend.address, env=each_loop)
    with RawClient(running.port) as idle, RawClient(running.port) as busy:
        idle.send(HELLO)
        assert idle.read_response().status == 200
        backend.on_request = lambda asked, connection: None
        busy.send(HELLO)
        backend.wait_requests(2)
        running.signal(signal.SIGTERM)
        running.wait_stderr(" INFO stopping signal=TERM in_flight=1 ")
        assert idle.end() == "fin"
        backend.connections[-1].send(response(200, body=b"late but whole"))
        answer = busy.read_response()
        assert (answer.body, answer.field("connection")) == (b"late but whole", b"close")
        assert running.wait() == 0
    assert " INFO stopped cut=0" in running.stderr()


def test_past_the_grace_what_is_left_is_cut_and_counted(
    start_posthouse: Start, backend: ScriptedBackend, each_loop: dict[str, str]
) -> None:
    running = start_posthouse(
        ONE_SITE.replace("BACKEND\n", "BACKEND\n log / access.log json\n"),
        BACKEND=backend.address,
        arguments=("--grace", "200ms"),
        env=each_loop,
    )
    backend.on_request = lambda asked, connection: None
    with RawClient(running.port) as first, RawClient(running.port) as second:
        first.send(HELLO)
        second.send(HELLO)
        backend.wait_requests(2)
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
        assert first.end() in ("fin", "rst")
    assert " INFO stopped cut=2" in running.stderr()
    lines = [json.loads(line) for line in (running.config.parent / "access.log").read_text().splitlines()]
    told = [(line["status"], line["failure"], line["attempts"]) for line in lines]
    assert told == [(504, "exchange_timeout", 1)] * 2, "it is not the clients who went away"


def test_a_second_signal_ends_it_at_once_with_2(
    start_posthouse: Start, backend: ScriptedBackend, each_loop: dict[str, str]
) -> None:
    running = start_posthouse(ONE_SITE, BACKEND=backend.address, env=each_loop)
    backend.on_request = lambda asked, connection: None
    with RawClient(running.port) as client:
        client.send(HELLO)
        backend.wait_requests(1)
        running.signal(signal.SIGTERM)
        running.wait_stderr(" INFO stopping ")
        running.signal(signal.SIGINT)
        assert running.wait(3) == 2
    assert " WARN stopped by a second signal signal=INT cut=1" in running.stderr()


def test_who_waits_in_the_queue_is_served_while_stopping(
    start_posthouse: Start, backend: ScriptedBackend
) -> None:
    """Frozen, the worker accepts nobody; the kernel does. Those clients must get their answer all the same."""
    running = start_posthouse(ONE_SITE, BACKEND=backend.address)
    os.kill(running.worker, signal.SIGSTOP)
    clients = [RawClient(running.port) for _ in range(5)]
    for client in clients:
        client.send(HELLO)
    running.signal(signal.SIGTERM)
    os.kill(running.worker, signal.SIGCONT)
    for client in clients:
        assert client.read_response().status == 200
        client.close()
    assert running.wait() == 0


# --- reload


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGHUP])
def test_reload_swaps_the_configuration(
    number: int, start_posthouse: Start, backend: ScriptedBackend
) -> None:
    running = start_posthouse("http://127.0.0.1:PORT {\n proxy / BACKEND\n}\n", BACKEND=backend.address)
    with ScriptedBackend(lambda asked, connection: response(200, body=b"other")) as other:
        assert ask(running.port).body == b"ok"
        running.names["BACKEND"] = other.address
        running.config.write_text(f"http://127.0.0.1:{running.port} {{\n proxy / {other.address}\n}}\n")
        running.signal(number)
        running.wait_stderr(" INFO reloaded .*generation=2")
        assert ask(running.port).body == b"other"


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("http://127.0.0.1:PORT {\n prxy / BACKEND\n}\n", r"Caddyfile:2:2.*did you mean `proxy`"),
        ("http://127.0.0.1:PORT {\n proxy / BACKEND {\n  policy rnd\n }\n}\n", r"Caddyfile:3:10"),
        ("http://127.0.0.1:PORT {\n log / NOWHERE\n}\n", "No such file or directory"),
        (ONE_SITE + "http://127.0.0.1:TAKEN {\n bind 127.0.0.1\n}\n", "already in use"),
    ],
)
def test_a_bad_file_changes_nothing(
    bad: str, why: str, start_posthouse: Start, backend: ScriptedBackend
) -> None:
    running = start_posthouse("http://127.0.0.1:PORT {\n proxy / BACKEND\n}\n", BACKEND=backend.address)
    with socket.create_server(("127.0.0.1", 0)) as taken, RawClient(running.port) as client:
        client.send(HELLO)
        assert client.read_response().status == 200
        running.names |= {"TAKEN": str(taken.getsockname()[1]), "NOWHERE": "/nowhere/access.log"}
        running.reload(bad)
        running.wait_stderr(" ERROR reload failed, the old configuration stays")
        assert re.search(why, running.stderr()), running.stderr()
        client.send(HELLO)
        assert client.read_response().status == 200, "the old connection too"
        assert ask(running.port).status == 200
        running.reload("http://127.0.0.1:PORT {\n proxy / BACKEND\n}\n")
        running.wait_stderr(" INFO reloaded ")


def test_a_missing_file_at_reload_changes_nothing(start_posthouse: Start, backend: ScriptedBackend) -> None:
    running = start_posthouse(ONE_SITE, BACKEND=backend.address)
    running.config.unlink()
    running.signal(signal.SIGUSR1)
    running.wait_stderr("ERROR reload failed.*No such file")
    assert ask(running.port).status == 200


def test_reloads_under_load_lose_nothing(start_posthouse: Start, backend: ScriptedBackend) -> None:
    running = start_posthouse("http://127.0.0.1:PORT {\n proxy / BACKEND\n}\n", BACKEND=backend.address)
    with RawClient(running.port) as kept:
        for number in range(60):
            if number % 20 == 10:
                running.signal(signal.SIGUSR1)
            kept.send(HELLO)
            assert kept.read_response().status == 200
            assert ask(running.port).status == 200
    running.wait_stderr("INFO reloaded .*generation=4")


def test_a_response_under_way_outlives_the_reload(start_posthouse: Start, backend: ScriptedBackend) -> None:
    running = start_posthouse("http://127.0.0.1:PORT {\n proxy / BACKEND\n}\n", BACKEND=backend.address)
    head = response(200, [("Transfer-Encoding", "chunked")], body=None)
    backend.on_request = lambda asked, connection: head + chunk(b"one ", last=False)
    with RawClient(running.port) as client:
        client.send(HELLO)
        backend.wait_requests(1)
        running.signal(signal.SIGUSR1)
        running.wait_stderr(" INFO reloaded ")
        backend.connections[0].send(chunk(b"two"))
        assert client.read_response().body == b"one two"


def test_an_address_that_goes_is_drained_and_one_that_comes_is_served(
    start_posthouse: Start, backend: ScriptedBackend
) -> None:
    running = start_posthouse("http://127.0.0.1:PORT {\n proxy / BACKEND\n}\n", BACKEND=backend.address)
    backend.on_request = lambda asked, connection: None
    with RawClient(running.port) as busy:
        busy.send(HELLO)
        backend.wait_requests(1)
        running.reload("http://127.0.0.1:PORT2 {\n proxy / BACKEND\n}\n")
        running.wait_stderr(" INFO reloaded ")
        with pytest.raises(ConnectionRefusedError):
            RawClient(running.port)
        backend.connections[0].send(response(200, body=b"late"))
        assert busy.read_response().body == b"late"
        assert busy.end() == "fin"
        backend.on_request = lambda asked, connection: response(200, body=b"new")
        assert ask(running.named_port("PORT2")).body == b"new"


def test_from_every_address_to_one_and_back(start_posthouse: Start, backend: ScriptedBackend) -> None:
    """The kernel refuses ":80" beside "127.0.0.1:80", but not among our own."""
    every = "http://:PORT {\n proxy / BACKEND\n}\n"
    one = "http://:PORT {\n bind 127.0.0.1\n proxy / BACKEND\n}\n"
    running = start_posthouse(every, BACKEND=backend.address)
    for generation, caddyfile in enumerate((one, every), 2):
        running.reload(caddyfile)
        running.wait_stderr(f" INFO reloaded .*generation={generation}")
        assert ask(running.named_port()).status == 200


def test_logs_are_reopened(start_posthouse: Start, backend: ScriptedBackend) -> None:
    running = start_posthouse(
        "http://127.0.0.1:PORT {\n log\n proxy / BACKEND\n}\n",
        BACKEND=backend.address,
        arguments=("--log", "process.log"),
    )
    ask(running.port, "/before")
    running.wait_access(1)
    for name in ("access.log", "process.log"):
        (running.directory / name).rename(running.directory / f"{name}.1")
    running.signal(signal.SIGHUP)
    _wait(lambda: "reloaded" in _text(running.directory / "process.log"))
    ask(running.port, "/after")
    (line,) = running.wait_access(1)
    assert "/after" in line
    assert "started" in (running.directory / "process.log.1").read_text()


def test_watching_reloads_by_itself(start_posthouse: Start, backend: ScriptedBackend) -> None:
    running = start_posthouse(
        "http://127.0.0.1:PORT {\n import *.site\n}\n", BACKEND=backend.address, arguments=("--watch",)
    )
    assert ask(running.port).status == 404
    (running.directory / "a.site").write_text(f"proxy / {backend.address}\n")
    running.wait_stderr(" INFO reloaded cause=watch")
    assert ask(running.port).status == 200
    (running.directory / "a.site").write_text("prxy / x\n")
    running.wait_stderr(" ERROR reload failed")
    assert ask(running.port).status == 200


# --- a start that fails: one clear line, exit code 1


def failed(done: subprocess.CompletedProcess[str], code: int = 1) -> str:
    """The last line that a failed command wrote; it must be ours, and no traceback around it."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "ready:" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("posthouse: ")
    return last.removeprefix("posthouse: ")


def test_no_caddyfile(tmp_path: Path) -> None:
    for words in ((), ("run",)):
        said = failed(posthouse(*words, cwd=tmp_path))
        assert said == "there is no Caddyfile in the working directory (--config FILE names another)"


def test_a_missing_file(tmp_path: Path) -> None:
    done = posthouse("run", "--config", "nowhere", cwd=tmp_path)
    assert failed(done) == "cannot read nowhere: No such file or directory"


# Root may do anything until it loses the capabilities CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_NET_BIND_SERVICE
# (1, 2, 10; PR_CAPBSET_DROP is 24); for anybody else the calls fail and nothing needs to be dropped.
UNPRIVILEGED = """
import ctypes, os, sys
for capability in (1, 2, 10):
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-m", "posthouse", *sys.argv[1:]])
"""


def unprivileged(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", UNPRIVILEGED, *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=30, check=False)


def test_a_file_without_permission(tmp_path: Path) -> None:
    (tmp_path / "Caddyfile").touch(mode=0)
    assert failed(unprivileged("run", cwd=tmp_path)) == "cannot read Caddyfile: Permission denied"


def test_a_port_without_permission(tmp_path: Path) -> None:
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 1:
        pytest.skip(reason="here anybody may bind port 1")
    (tmp_path / "Caddyfile").write_text("127.0.0.1:1 {\n bind 127.0.0.1\n}\n")
    said = failed(unprivileged("run", cwd=tmp_path))
    expected = "cannot listen on 127.0.0.1:1: no permission"
    assert said == f"{expected} (ports below 1024 need root or CAP_NET_BIND_SERVICE)"


def test_a_taken_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "Caddyfile").write_text(f":{port} {{\n bind 127.0.0.1\n}}\n")
        said = failed(posthouse("run", cwd=tmp_path))
    assert said == f"cannot listen on 127.0.0.1:{port}: the address is already in use by another program"


def test_mistakes_are_shown_with_their_places_all_at_once(tmp_path: Path) -> None:
    (tmp_path / "Caddyfile").write_text(
        ":0 {\n\tprxy / localhost:1\n\tproxy / localhost:1 {\n\t\tpolcy x\n\t}\n}\n"
    )
    done = posthouse("run", cwd=tmp_path)
    assert failed(done) == "2 mistakes in Caddyfile"
    assert "Caddyfile:2:2: " in done.stderr
    assert "did you mean `proxy`?" in done.stderr
    assert "Caddyfile:4:3: " in done.stderr


def test_a_policy_that_only_building_can_refuse(tmp_path: Path) -> None:
    (tmp_path / "Caddyfile").write_text(":0 {\n\tproxy / localhost:1 {\n\t\tpolicy rnd_robin\n\t}\n}\n")
    for command in ("run", "validate"):
        done = posthouse(command, cwd=tmp_path)
        assert failed(done) == "1 mistake in Caddyfile"
        assert "Caddyfile:3:10: " in done.stderr
        assert "\t\tpolicy rnd_robin".expandtabs(4) in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--log", "/nowhere/x.log"),
            "cannot open the process log /nowhere/x.log: No such file or directory",
        ),
        (("--pidfile", "/nowhere/x"), "cannot write the pid file /nowhere/x: No such file or directory"),
        (("--env-file", "/nowhere/x"), "cannot read /nowhere/x: No such file or directory"),
    ],
)
def test_other_files(words: tuple[str, str], said: str, tmp_path: Path) -> None:
    (tmp_path / "Caddyfile").write_text(":0\n")
    assert failed(posthouse("run", *words, cwd=tmp_path)) == said


def test_an_access_log_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "Caddyfile").write_text(":0 {\n\tlog /nowhere/access.log\n}\n")
    said = failed(posthouse("run", cwd=tmp_path))
    assert "/nowhere/access.log" in said
    assert "No such file or directory" in said


def test_an_unknown_loop(tmp_path: Path) -> None:
    (tmp_path / "Caddyfile").write_text(":0\n")
    done = posthouse("run", cwd=tmp_path, env={"POSTHOUSE_LOOP": "trio"})
    assert failed(done) == "POSTHOUSE_LOOP is 'trio', expected one of: uvloop, asyncio"


def test_a_wrong_command_line_is_2(tmp_path: Path) -> None:
    assert "unknown command 'rnu' (did you mean run?)" in failed(posthouse("rnu", cwd=tmp_path), 2)


# --- ways to start


def test_without_a_command_the_caddyfile_here_is_served(tmp_path: Path, backend: ScriptedBackend) -> None:
    (tmp_path / "Caddyfile").write_text(ONE_SITE.replace("BACKEND", backend.address))
    with Started(cwd=tmp_path) as started:
        assert ask(started.port).status == 200


def test_a_configuration_from_stdin(backend: ScriptedBackend) -> None:
    with Started("run", "--config", "-", stdin=ONE_SITE.replace("BACKEND", backend.address)) as started:
        assert ask(started.port).status == 200
        started.process.send_signal(signal.SIGHUP)
        started.wait("nothing to reload")
        started.process.send_signal(signal.SIGUSR2)
        started.wait(
            'upgrade refused cause=USR2 reason="the configuration came from stdin, and cannot be read again'
        )
        assert ask(started.port).status == 200


def test_environment_from_a_file(tmp_path: Path, backend: ScriptedBackend) -> None:
    (tmp_path / "Caddyfile").write_text("http://127.0.0.1:0 {\n proxy / {$APP}\n}\n")
    (tmp_path / "env").write_text(f"# the application\nAPP={backend.address}\n")
    with Started("run", "--env-file", "env", cwd=tmp_path) as started:
        assert ask(started.port).status == 200


def test_the_pid_file_comes_and_goes(tmp_path: Path) -> None:
    (tmp_path / "Caddyfile").write_text("http://127.0.0.1:0\n")
    with Started("run", "--pidfile", "pid", cwd=tmp_path) as started:
        assert (tmp_path / "pid").read_text() == f"{started.process.pid}\n"
    assert not (tmp_path / "pid").exists()


def test_proxy_needs_no_file(backend: ScriptedBackend) -> None:
    words = ("--from", "127.0.0.1:0", "--to", backend.address, "--policy", "round_robin")
    with Started("proxy", *words) as started:
        assert ask(started.port, "/x").body == b"ok"
        assert backend.requests[0].target == b"/x"


def test_proxy_explains_a_wrong_address() -> None:
    done = posthouse("proxy", "--to", "ftp://a")
    assert failed(done) == "1 mistake in command line"
    assert "ftp" in done.stderr.splitlines()[0]


def test_the_demo_serves_and_survives_a_backend() -> None:
    with Started("demo") as started:
        shown = started.stdout_until("Ctrl-C")
        pids = [int(pid) for pid in re.findall(r"\(pid (\d+)\)", shown)]
        assert f":{started.port} {{" in shown, "the Caddyfile that it uses"
        names = {re.search(rb"<h1>backend (\w+)", ask(started.port).body)[1] for _ in range(12)}  # type: ignore[index]
        assert names == {b"one", b"two", b"three"}
        os.kill(pids[0], signal.SIGKILL)
        assert [ask(started.port).status for _ in range(6)] == [200] * 6
    for pid in pids:
        assert not Path(f"/proc/{pid}").exists(), "the backends end with it"


# --- descriptors


def test_more_clients_than_descriptors_wait_and_are_served(
    backend: ScriptedBackend, tmp_path: Path, each_loop: dict[str, str]
) -> None:
    (tmp_path / "Caddyfile").write_text(ONE_SITE.replace("BACKEND", backend.address))
    limit = "import resource, os, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256));"
    run = "os.execv(sys.executable, [sys.executable, '-m', 'posthouse', 'run'])"
    command = [sys.executable, "-c", limit + run]
    with Started(cwd=tmp_path, command=command, env=each_loop) as started, ExitStack() as stack:
        clients = [stack.enter_context(RawClient(started.port)) for _ in range(100)]
        for client in clients:
            client.send(HELLO)  # at once: who is silent for a second may be closed for others
        clients += [stack.enter_context(RawClient(started.port)) for _ in range(300)]
        started.wait("accepting paused at the connection limit")
        before = _cpu_seconds(started.process.pid)
        began = time.monotonic()
        for client in clients[:100]:
            assert client.read_response().status == 200
        for client in clients:
            client.close()
        for _ in range(20):
            assert ask(started.port).status == 200
        spent = _cpu_seconds(started.process.pid) - before
        assert spent < 0.6 * (time.monotonic() - began) + 0.5
        assert started.errors().count("accepting paused") == 1


def test_limits_connections_pauses_one_site(start_posthouse: Start, backend: ScriptedBackend) -> None:
    caddyfile = "http://127.0.0.1:PORT {\n limits {\n  connections 2\n }\n proxy / BACKEND\n}\n"
    running = start_posthouse(caddyfile, BACKEND=backend.address)
    with RawClient(running.port) as first, RawClient(running.port) as second:
        for client in (first, second):
            client.send(HELLO)
            assert client.read_response().status == 200
        running.wait_stderr("accepting paused .* connections=2 most=2")
        with RawClient(running.port) as third:
            third.send(HELLO)
            first.close()
            assert third.read_response().status == 200


# --- helpers


class Started:
    """`posthouse WORDS...`, ready; stopped with SIGTERM at the end, which must give 0."""

    def __init__(
        self,
        *words: str,
        cwd: Path | None = None,
        stdin: str = "",
        command: list[str] | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        self.process = subprocess.Popen(
            command or [sys.executable, "-m", "posthouse", *words],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(stdin)
        self.process.stdin.close()
        self._errors = ""
        ready = self.wait("ready: ")
        self.port = int(ready.split()[1].rsplit(":", 1)[1])

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(10)
        finally:
            self.process.kill()
            for pipe in (self.process.stdout, self.process.stderr):
                assert pipe is not None
                pipe.close()
        assert code == 0

    def wait(self, what: str) -> str:
        """The next line on stderr that holds `what`; the test's timeout ends a wait in vain."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._errors += line
            if what in line:
                return str(line)
        raise AssertionError(f"no {what!r} in {self._errors}")

    def errors(self) -> str:
        """What was read from stderr so far."""
        return self._errors

    def stdout_until(self, what: str) -> str:
        """Everything on stdout up to the line that holds `what`."""
        assert self.process.stdout is not None
        shown = ""
        for line in self.process.stdout:
            shown += line
            if what in line:
                return shown
        raise AssertionError(f"no {what!r} in {shown}")


def _cpu_seconds(pid: int) -> float:
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _wait(is_so: Callable[[], bool], timeout: float = PATIENCE) -> None:
    deadline = time.monotonic() + timeout
    while not is_so():
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.01)
