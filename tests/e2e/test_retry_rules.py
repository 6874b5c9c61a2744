"""What the site writes about failures and second tries, with real processes.

`try_count`, `retry_on`, `retry_budget`, `unhealthy_*`, `max_ejected`, `panic`; which timer a 504 was. "Failure" of the
stance, rule 8 and 2.13 of the specification of reliability.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

import pytest

from e2e.pair import OnRequest, Pair, hang_up, reset, silent
from kit import BackendConnection, Posthouse, Request, request, response
from kit.backend import PATIENCE
from kit.http1 import chunk

SHARED = """
http://:PORT {
    bind 127.0.0.1
    log / access.log json
    proxy /503 FIRST SECOND { policy first try_count 2 retry_on 503 }
    proxy /all FIRST SECOND { policy first try_count 2 retry_on connect reset 503 all_methods }
    proxy /connect FIRST SECOND { policy first try_duration 2s retry_on connect }
    proxy /count DEAD DEAD FIRST { policy first try_count 2 }
    proxy /enough DEAD DEAD FIRST { policy first try_count 3 }
    proxy /budget FIRST SECOND { policy first try_count 2 retry_budget 0% 1 }
    proxy /refused DEAD FIRST { policy first try_count 2 retry_budget 0% 0 }
    proxy /share FIRST SECOND { policy first try_count 2 retry_budget 25% 0 }
    proxy /timer FIRST SECOND {
        policy first
        try_count 2
        response_timeout 80ms
    }
    proxy /status FIRST SECOND { policy first fail_timeout 1m unhealthy_status 5xx 429 }
    proxy /latency FIRST SECOND { policy first fail_timeout 1m unhealthy_latency 50ms }
    proxy /left FIRST SECOND { policy first fail_timeout 1m unhealthy_latency 1s }
    proxy /half FIRST SECOND { policy first fail_timeout 1m max_ejected 50% }
    proxy /calm FIRST SECOND { policy first fail_timeout 1m }
    proxy /panic FIRST SECOND { policy first fail_timeout 1m panic on }
}
"""


@pytest.fixture(scope="module")
def started() -> Iterator[Pair]:
    made = Pair(Posthouse)
    made.serve(site=SHARED)
    yield made
    made.posthouse.stop()
    made.close()


@pytest.fixture
def pair(started: Pair) -> Iterator[Pair]:
    """The module's pair, as good as new but for what each pool remembers: one test for each pool."""
    started.clear()
    before = len(started.posthouse.stderr())
    yield started
    print(started.posthouse.stderr()[before:])


def status(number: int, name: bytes = b"first") -> OnRequest:
    return lambda asked, connection: response(number, body=name)


def last_line(pair: Pair, target: str) -> dict[str, object]:
    """The access log's last line about the target."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        lines = [json.loads(line) for line in pair.posthouse.access_log()]
        found = [line for line in lines if line["uri"] == target]
        if found:
            return found[-1]  # type: ignore[no-any-return]
        time.sleep(0.02)
    raise AssertionError(f"{target} is not in the access log")


# Statuses.


def test_another_backend_is_asked_after_a_status(pair: Pair) -> None:
    pair.first.on_request = status(503)
    answer = pair.get("/503/next")
    assert (answer.status, answer.body) == (200, b"second")
    line = last_line(pair, "/503/next")
    assert (line["attempts"], line["status"], line["failure"]) == (2, 200, None)
    pair.posthouse.wait_stderr(r"WARN answer passed over status=503 upstream=http://\S+ attempt=1 ")


def test_a_status_of_all_of_them_is_the_answer(pair: Pair) -> None:
    pair.first.on_request, pair.second.on_request = status(503), status(503, b"second says no")
    answer = pair.get("/503/none")
    assert (answer.status, answer.body) == (503, b"second says no")
    assert last_line(pair, "/503/none")["failure"] is None, "a backend has answered"


def test_a_status_with_a_long_body_is_dropped_too(pair: Pair) -> None:
    """And its connection with it: what is left of the body belongs to nobody."""

    def endless(asked: Request, connection: BackendConnection) -> None:
        connection.send(
            response(503, [("Transfer-Encoding", "chunked")], None) + chunk(b"x" * 1000, last=False)
        )
        connection.wait_end()

    pair.first.on_request = endless
    assert pair.get("/503/long").body == b"second"
    (connection,) = pair.first.connections
    assert connection.wait_gone()


def test_a_body_is_replayed_after_a_status(pair: Pair) -> None:
    pair.first.on_request = status(503)
    body = bytes(range(256)) * 400
    assert pair.ask(request("PUT", "/503/put", body=body), "PUT").body == b"second"
    assert [asked.body == body for asked in (*pair.first.requests, *pair.second.requests)] == [True, True]


def test_a_post_is_not_repeated_after_a_status(pair: Pair) -> None:
    pair.first.on_request = status(503)
    assert pair.ask(request("POST", "/503/post", body=b"x"), "POST").status == 503
    assert pair.second.requests == []


@pytest.mark.parametrize("script", [status(503), hang_up, reset], ids=["503", "hang-up", "reset"])
def test_all_methods_repeats_a_post(pair: Pair, script: OnRequest) -> None:
    pair.first.on_request = script
    assert pair.ask(request("POST", "/all", body=b"body"), "POST").body == b"second"
    assert (pair.first.requests[0].body, pair.second.requests[0].body) == (b"body", b"body")


def test_only_what_retry_on_names(pair: Pair) -> None:
    pair.first.on_request = hang_up
    assert pair.get("/connect").status == 502
    assert pair.second.requests == []


# Counting.


def test_try_count_on_both_sides(pair: Pair) -> None:
    assert pair.get("/count").status == 502
    assert pair.get("/enough").body == b"first"
    assert last_line(pair, "/enough")["attempts"] == 3
    line = last_line(pair, "/count")
    assert (line["attempts"], line["failure"]) == (2, "connect")


def test_the_budget_lets_so_many_retries_pass(pair: Pair) -> None:
    """1 a second over 10 seconds, and 0% of the traffic."""
    pair.first.on_request = hang_up
    statuses = [pair.get("/budget").status for _ in range(14)]
    assert statuses == [200] * 10 + [502] * 4
    pair.posthouse.wait_stderr(r"WARN retry budget spent pool=")


def test_a_refused_connection_costs_no_budget(pair: Pair) -> None:
    """Nobody was loaded by it: a dead backend alone loses no request, whatever the budget."""
    assert [pair.get("/refused").status for _ in range(6)] == [200] * 6


def test_the_budget_is_a_share_of_the_traffic(pair: Pair) -> None:
    pair.first.on_request = hang_up
    statuses = [pair.get("/share").status for _ in range(12)]
    assert statuses.count(200) == 3
    assert statuses[:4] == [502, 502, 502, 200]


# Timers.


def test_a_504_says_which_timer_on_which_attempt_and_which_line_set_it(pair: Pair) -> None:
    pair.first.on_request = pair.second.on_request = silent
    assert pair.get("/timer").status == 504
    number = 1 + SHARED.split("\n").index("        response_timeout 80ms")
    for attempt, backend in ((1, pair.first), (2, pair.second)):
        pair.posthouse.wait_stderr(
            rf'ERROR upstream failed failure=response_timeout reason="no response head within 0.08 s" '
            rf"upstream=http://{re.escape(backend.address)} attempt={attempt} place=\S*Caddyfile:{number}:9 "
        )
    line = last_line(pair, "/timer")
    assert (line["attempts"], line["failure"]) == (2, "response_timeout")


# Who is left out.


def test_a_status_counts_as_a_failure_and_is_passed_on(pair: Pair) -> None:
    pair.first.on_request = status(429)
    assert [pair.get("/status").body for _ in range(3)] == [b"first", b"second", b"second"]
    pair.second.on_request = status(404, b"not found")
    assert [pair.get("/status").status for _ in range(2)] == [404, 404], "the client's own mistake"


def test_slow_answers_count_as_failures(pair: Pair) -> None:
    def slow(asked: Request, connection: BackendConnection) -> bytes:
        time.sleep(0.07)
        return response(200, body=b"slow")

    pair.first.on_request = slow
    assert [pair.get("/latency").body for _ in range(2)] == [b"slow", b"second"]


def test_a_client_that_leaves_counts_for_nothing(pair: Pair) -> None:
    pair.first.on_request = silent
    with pair.client() as client:
        client.send(request("GET", "/left/early"))
        pair.first.wait_requests(1)
    assert last_line(pair, "/left/early")["status"] == 499
    pair.clear()
    assert pair.get("/left").body == b"first"


def test_only_half_may_be_out(pair: Pair) -> None:
    pair.first.on_request = pair.second.on_request = hang_up
    assert [pair.get("/half").status for _ in range(4)] == [502] * 4
    assert (len(pair.first.requests), len(pair.second.requests)) == (1, 3)


def test_calm_and_panic(pair: Pair) -> None:
    pair.first.on_request = pair.second.on_request = hang_up
    for target in ("/calm", "/panic"):
        assert [pair.get(target).status for _ in range(2)] == [502, 502]
    pair.clear()
    refused = pair.get("/calm")
    assert (refused.status, refused.all("Retry-After")) == (503, [b"60"])
    assert pair.get("/panic").body == b"first"
