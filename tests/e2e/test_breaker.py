"""Breakers and lone trials with real processes: what clients get meanwhile, and what the log says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from e2e.pair import Pair, hang_up
from kit import BackendConnection, Posthouse, RawClient, Request, request, response
from kit.backend import PATIENCE

SHARED = """
http://:PORT {
    bind 127.0.0.1
    proxy /errors FIRST SECOND { policy first breaker min=4 open=250ms }
    proxy /again FIRST SECOND { policy first breaker min=2 open=200ms }
    proxy /latency FIRST SECOND { policy first breaker errors=off latency=30ms min=2 open=1m }
    proxy /both FIRST { breaker min=2 open=5s }
    proxy /alone FIRST { fail_timeout 200ms }
}
"""


class Held:
    """A backend's answer that comes when the test says so."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, asked: Request, connection: BackendConnection) -> bytes:
        self.asked.set()
        assert self.go_on.wait(10)
        return response(200, body=b"held")


@pytest.fixture(scope="module")
def started() -> Iterator[Pair]:
    made = Pair(Posthouse)
    made.serve(site=SHARED)
    yield made
    made.posthouse.stop()
    made.close()


@pytest.fixture
def pair(started: Pair) -> Iterator[Pair]:
    """The module's pair; one test for each pool."""
    started.clear()
    yield started


def broken(asked: Request, connection: BackendConnection) -> bytes:
    return response(500, body=b"broken")


def until(answers: Callable[[], bool], timeout: float = PATIENCE) -> None:
    deadline = time.monotonic() + timeout
    while not answers():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def send(pair: Pair, target: str) -> RawClient:
    client = pair.client()
    client.send(request("GET", target))
    return client


def test_open_half_open_closed(pair: Pair) -> None:
    pair.first.on_request = broken
    assert [pair.get("/errors").body for _ in range(6)] == [b"broken"] * 4 + [b"second"] * 2
    assert len(pair.first.requests) == 4
    held = pair.first.on_request = Held()
    trial = None
    deadline = time.monotonic() + PATIENCE
    while not held.asked.is_set() and time.monotonic() < deadline:
        if trial is not None:
            assert trial.read_response().body == b"second"
            trial.close()
        trial = send(pair, "/errors")
        held.asked.wait(0.03)
    assert trial is not None and held.asked.is_set()
    assert pair.get("/errors").body == b"second", "one trial at a time"
    held.go_on.set()
    assert trial.read_response().body == b"held"
    trial.close()
    assert pair.get("/errors").body == b"held"
    log = pair.posthouse
    where = rf'pool="?\S*:\d+ /errors"? upstream=http://{pair.first.address}'
    log.wait_stderr(rf'WARN breaker open {where} was=closed reason="4 of 4 answers in 10s were errors"')
    log.wait_stderr(rf'INFO breaker half-open {where} was=open reason="0.25s are over"')
    log.wait_stderr(rf'INFO breaker closed {where} was=half_open reason="1 of 1 trials passed"')
    lines = [line for line in log.stderr().splitlines() if "breaker" in line and "/errors" in line]
    assert len(lines) == 3, "one for each change"


def test_a_trial_that_fails_opens_it_again(pair: Pair) -> None:
    pair.first.on_request = hang_up
    assert [pair.get("/again").status for _ in range(2)] == [502, 502]
    assert pair.get("/again").body == b"second"
    until(lambda: pair.get("/again").status == 502)
    assert len(pair.first.requests) == 3
    assert pair.get("/again").body == b"second"
    pair.posthouse.wait_stderr(
        r'WARN breaker open \S* ?.*was=half_open reason="trial failed: (reset|truncated): '
    )


def test_slow_answers_open_it(pair: Pair) -> None:
    def slow(asked: Request, connection: BackendConnection) -> bytes:
        time.sleep(0.05)
        return response(200, body=b"slow")

    pair.first.on_request = slow
    assert [pair.get("/latency").body for _ in range(3)] == [b"slow", b"slow", b"second"]
    pair.posthouse.wait_stderr(r'WARN breaker open .*reason="answers took 0\.\d+s on average, 2 in 10s"')


def test_nobody_left(pair: Pair) -> None:
    pair.first.on_request = broken
    assert [pair.get("/both").status for _ in range(2)] == [500, 500]
    refused = pair.get("/both")
    assert (refused.status, refused.all("Retry-After")) == (503, [b"5"])
    assert len(pair.first.requests) == 2


def test_who_comes_back_alone_gets_one_request_first(pair: Pair) -> None:
    """All at once would come to a backend that is perhaps still dead."""
    pair.first.on_request = hang_up
    assert pair.get("/alone").status == 502
    held = pair.first.on_request = Held()
    assert pair.get("/alone").status == 503
    trial = None
    deadline = time.monotonic() + PATIENCE
    while not held.asked.is_set() and time.monotonic() < deadline:
        if trial is not None:
            assert trial.read_response().status == 503
            trial.close()
        trial = send(pair, "/alone")
        held.asked.wait(0.02)
    assert trial is not None and held.asked.is_set()
    others = [pair.get("/alone") for _ in range(5)]
    assert [other.status for other in others] == [503] * 5
    assert others[0].all("Retry-After") == [b"1"]
    assert len(pair.first.requests) == 2
    held.go_on.set()
    assert trial.read_response().body == b"held"
    trial.close()
    assert [pair.get("/alone").body for _ in range(3)] == [b"held"] * 3
