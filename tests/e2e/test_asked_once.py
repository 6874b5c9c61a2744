"""Four workers, and every backend and every source is asked as if there were one; all of them know the answer."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kit import BackendConnection, Posthouse, Request, ScriptedBackend, get, response
from kit.backend import answer_ok
from kit.dns_server import DnsServer
from posthouse.admin.client import fetch

SITES = """
http://checked.test:PORT { bind 127.0.0.1
    proxy / FIRST SECOND { health_check /h health_check_interval 30ms health_check_fails 1 }
}
http://draining.test:PORT { bind 127.0.0.1
    proxy / FIRST SECOND { health_check /d health_check_drain 429 health_check_interval 30ms }
}
http://found.test:PORT { bind 127.0.0.1
    proxy / srv://found.test
}
http://listed.test:PORT { bind 127.0.0.1
    proxy / file:LIST { health_check /listed health_check_interval 30ms }
}
"""
CALLS = 40
"""Connections that are made to see what every worker does: that one of four gets none has the chance of 1 to 25,000."""


class Four:
    def __init__(self, folder: Path) -> None:
        self.first, self.second, self.third = (ScriptedBackend() for _ in range(3))
        self.dns = DnsServer()
        self.dns.ttl = 3600
        self.dns.put("found.test", "SRV", f"0 1 {self.third.port} 127.0.0.1.")
        self.list = folder / "backends"
        self.list.write_text(self.third.address + "\n")
        self.posthouse = Posthouse(
            SITES,
            FIRST=self.first.address,
            SECOND=self.second.address,
            LIST=str(self.list),
            env={"POSTHOUSE_RESOLVER": self.dns.address, "XDG_DATA_HOME": str(folder)},
            workers=4,
        )
        self.port = self.posthouse.named_port()

    def close(self) -> None:
        self.posthouse.stop()
        self.dns.close()
        for backend in (self.first, self.second, self.third):
            backend.close()

    def answers(self, site: str) -> set[int]:
        return {get(self.port, "/", host=site).status for _ in range(CALLS)}

    def asked(self, target: bytes) -> int:
        """How often the first backend was, so far."""
        return [asked.target for asked in list(self.first.requests)].count(target)

    def told(self, state: str, site: str = "checked") -> int:
        """Lines of the log about the first backend."""
        line = rf'backend {state} pool="http://{site}[^"]*" upstream=http://{self.first.address} '
        return len(re.findall(line, self.posthouse.stderr()))

    def are_all_up(self) -> bool:
        pools = fetch(self.posthouse.admin_socket(), "/status")["pools"]
        return {backend["state"] for pool in pools for backend in pool["backends"]} == {"up"}

    def states(self) -> dict[str, str]:
        pools = fetch(self.posthouse.admin_socket(), "/status")["pools"]
        (pool,) = [one for one in pools if "checked.test" in one["name"]]
        return {one["name"].removeprefix("http://"): one["state"] for one in pool["backends"]}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Four]:
    four = Four(tmp_path_factory.mktemp("four"))
    yield four
    four.close()


@pytest.fixture
def four(shared: Four) -> Four:
    """Everybody is up. Nothing is cut: a check that is would find its backend down."""
    for backend in (shared.first, shared.second, shared.third):
        backend.on_request = answer_ok
    until(shared.are_all_up)
    return shared


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end, "it never became so"
        time.sleep(0.01)


def failing(asked: Request, connection: BackendConnection) -> bytes:
    return response(503) if asked.target == b"/h" else response(200)


def test_a_backend_is_asked_by_one_process_at_a_time(four: Four) -> None:
    """Checks of a backend never overlap: while one is not answered, whoever else asked would ask."""
    begun, held = threading.Event(), threading.Event()

    def hold(asked: Request, connection: BackendConnection) -> bytes:
        if asked.target == b"/h":
            begun.set()
            held.wait(20)
        return response(200)

    four.first.on_request = hold
    try:
        assert begun.wait(20)
        before = four.asked(b"/h")
        four.second.wait_requests(len(four.second.requests) + 20)
        assert four.asked(b"/h") == before
    finally:
        held.set()


def test_every_worker_knows_who_is_down_when_the_log_says_so(four: Four) -> None:
    said = four.told("down")
    four.first.on_request = failing
    until(lambda: four.told("down") > said)
    before = four.asked(b"/")
    assert four.answers("checked.test") == {200}
    assert four.asked(b"/") == before
    assert four.told("down") == said + 1, "said once, and not by each"


def test_who_drains_gets_nothing_from_any_worker(four: Four) -> None:
    said = four.told("draining", "draining")
    four.first.on_request = lambda asked, connection: response(429 if asked.target == b"/d" else 200)
    until(lambda: four.told("draining", "draining") > said)
    before = four.asked(b"/")
    assert four.answers("draining.test") == {200}
    assert four.asked(b"/") == before
    assert four.told("draining", "draining") == said + 1


def test_a_worker_that_is_started_knows_who_is_down(four: Four) -> None:
    four.first.on_request = failing
    until(lambda: four.states()[four.first.address] == "down")
    said, replaced = four.told("down"), four.posthouse.stderr().count("worker replaced")
    for pid in four.posthouse.workers():
        os.kill(pid, signal.SIGKILL)
    four.posthouse.wait_stderr("(?s)" + "worker replaced.*" * (replaced + 4), timeout=30)
    before = four.asked(b"/")
    assert four.answers("checked.test") == {200}
    assert four.asked(b"/") == before
    assert four.told("down") == said


def test_who_is_down_is_down_after_a_reload(four: Four) -> None:
    four.first.on_request = failing
    until(lambda: four.states()[four.first.address] == "down")
    said, reloaded = four.told("down"), four.posthouse.stderr().count("INFO reloaded")
    four.posthouse.reload(SITES + "\nhttp://more.test:PORT {\n bind 127.0.0.1\n status 204 /\n}\n")
    four.posthouse.wait_stderr("(?s)" + "INFO reloaded.*" * (reloaded + 1), timeout=20)
    assert four.answers("more.test") == {204}
    before = four.asked(b"/")
    assert four.answers("checked.test") == {200}
    assert four.asked(b"/") == before
    assert four.told("down") == said


def test_a_name_server_is_asked_once(four: Four) -> None:
    assert four.answers("found.test") == {200}
    assert four.dns.asked.count(("found.test", "SRV")) == 1


def test_members_are_everybodys_when_the_log_says_so_and_checked(four: Four) -> None:
    said = four.posthouse.stderr().count("members changed")
    four.list.write_text(four.second.address + "\n")
    four.posthouse.wait_stderr("(?s)" + "members changed.*" * (said + 1), timeout=20)
    four.third.clear()
    assert four.answers("listed.test") == {200}
    assert {asked.target for asked in four.third.requests} <= {b"/listed"}
    until(lambda: any(asked.target == b"/listed" for asked in four.second.requests))
    assert four.posthouse.stderr().count("members changed") == said + 1
