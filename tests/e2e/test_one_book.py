"""What a breaker and a retry budget count is counted over all workers, one by one, each on a new connection."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from e2e.pair import Pair, hang_up, silent
from kit import BackendConnection, Posthouse, RawClient, Request, request, response

SITE = """
http://:PORT {
    bind 127.0.0.1
    proxy /errors FIRST SECOND { policy first breaker min=20 errors=50% window=60s open=1h }
    proxy /latency FIRST SECOND { policy first breaker errors=off latency=1ms min=12 window=60s open=1h }
    proxy /trials FIRST SECOND { policy first breaker min=4 window=60s open=2s trials=3 }
    proxy /budget FIRST SECOND { policy first try_count 2 retry_budget 0% 2 }
    proxy /share FIRST SECOND { policy first try_count 2 retry_budget 25% 0 }
}
"""


@pytest.fixture(scope="module", params=[2, 4])
def started(request: pytest.FixtureRequest) -> Iterator[Pair]:
    made = Pair(lambda site, **names: Posthouse(site, workers=request.param, **names))
    made.serve(site=SITE)
    yield made
    made.posthouse.stop()
    made.close()


@pytest.fixture
def pair(started: Pair) -> Iterator[Pair]:
    started.clear()
    yield started


def until(is_so: Callable[[], bool], timeout: float = 20.0) -> None:
    deadline = time.monotonic() + timeout
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def every_second(answers: list[bytes]) -> Callable[[Request, BackendConnection], bytes]:
    """A 500 first, then well, and so on."""

    def answer(asked: Request, connection: BackendConnection) -> bytes:
        answers.append(b"")
        return response(500 if len(answers) % 2 else 200, body=b"first")

    return answer


def test_it_opens_at_the_minimum_of_all(pair: Pair) -> None:
    pair.first.on_request = every_second([])
    bodies = [pair.get("/errors").body for _ in range(30)]
    assert bodies == [b"first"] * 20 + [b"second"] * 10
    pair.posthouse.wait_stderr('reason="10 of 20 answers in 60s were errors"')


def test_the_average_is_that_of_all(pair: Pair) -> None:
    def slow(asked: Request, connection: BackendConnection) -> bytes:
        time.sleep(0.003)
        return response(200, body=b"first")

    pair.first.on_request = slow
    bodies = [pair.get("/latency").body for _ in range(16)]
    assert bodies == [b"first"] * 12 + [b"second"] * 4
    pair.posthouse.wait_stderr(r"answers took .*s on average, 12 in 60s")


def test_trials_are_so_many_in_all_workers_together(pair: Pair) -> None:
    """The first one does not answer what it gets: so nothing passes, and after three nobody else is let through."""
    pair.first.on_request = lambda asked, connection: response(500)
    assert [pair.get("/trials").status for _ in range(5)] == [500] * 4 + [200]
    pair.first.on_request = silent
    clients: list[RawClient] = []

    def tried() -> int:
        return len(pair.first.requests) - 4

    def send_one() -> None:
        """Until one of the two has it."""
        before = len(pair.first.requests) + len(pair.second.requests)
        clients.append(pair.client())
        clients[-1].send(request("GET", "/trials"))
        until(lambda: len(pair.first.requests) + len(pair.second.requests) > before)

    deadline = time.monotonic() + 20
    while tried() < 3:
        assert time.monotonic() < deadline, "two seconds are over"
        send_one()
    for _ in range(16):
        send_one()
    assert tried() == 3
    for client in clients:
        client.close()


def test_the_minimum_of_retries_is_that_of_all(pair: Pair) -> None:
    """2 a second over 10 seconds."""
    pair.first.on_request = hang_up
    statuses = [pair.get("/budget").status for _ in range(26)]
    assert statuses == [200] * 20 + [502] * 6


def test_the_share_of_retries_is_that_of_all(pair: Pair) -> None:
    pair.first.on_request = hang_up
    statuses = [pair.get("/share").status for _ in range(24)]
    assert statuses == [502, 502, 502, 200] * 6
