"""Failures: whom they count against, for how long, and what the client is told.

Topic 2.14 of the specification of reliability; "Failure" of the stance.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest

from e2e.pair import (
    OnRequest,
    Pair,
    garbage,
    hang_up,
    named,
    reset,
    silent,
    truncated,
    truncated_chunk,
)
from kit import Posthouse, Truncated, request, response

SHARED = """
http://:PORT {
    bind 127.0.0.1
    log / access.log json
    proxy /marking FIRST SECOND {
        policy first
        fail_timeout 1m
        try_duration 5s
    }
    proxy /once FIRST {
        response_timeout 300ms
    }
    proxy /once/dead DEAD
}
"""

CHUNKED = ("Transfer-Encoding", "chunked")


@pytest.fixture
def pair(start_posthouse: Callable[..., Posthouse]) -> Iterator[Pair]:
    made = Pair(start_posthouse)
    yield made
    made.close()


@pytest.fixture(scope="module")
def started() -> Iterator[Pair]:
    made = Pair(Posthouse)
    made.serve(site=SHARED)
    yield made
    made.posthouse.stop()
    made.close()


@pytest.fixture
def shared(started: Pair) -> Iterator[Pair]:
    """The module's pair, as good as new; its properties are in SHARED."""
    started.clear()
    before = len(started.posthouse.stderr())
    yield started
    print(started.posthouse.stderr()[before:])


# Marks.


def test_without_fail_timeout_nothing_is_remembered(pair: Pair) -> None:
    pair.first.on_request = hang_up
    pair.serve()
    assert [pair.get().status for _ in range(3)] == [502] * 3
    pair.first.on_request = named(b"first")
    assert pair.get().body == b"first"
    assert pair.second.requests == []


def test_fail_timeout_marks_and_forgets(pair: Pair) -> None:
    """The first request fails, the next ones go elsewhere, and after the time the backend is asked again."""
    pair.first.on_request = hang_up
    pair.serve("fail_timeout 400ms")
    failed = time.monotonic()
    assert pair.get().status == 502
    assert pair.get().body == b"second"
    pair.first.on_request = named(b"first")
    while (answer := pair.get()).body == b"second":
        assert time.monotonic() - failed < 2
    assert answer.body == b"first"
    assert time.monotonic() - failed > 0.35
    assert len(pair.first.requests) == 2


def test_max_fails_counts(pair: Pair) -> None:
    """A success in between resets nothing; the third failure marks."""
    pair.serve("fail_timeout 1m", "max_fails 3")
    for script, status in ((hang_up, 502), (hang_up, 502), (named(b"first"), 200), (hang_up, 502)):
        pair.first.on_request = script
        assert pair.get().status == status
    pair.first.on_request = named(b"first")
    assert pair.get().body == b"second"


def test_failures_expire_one_by_one(pair: Pair) -> None:
    """Two within the time mark; when the first of them expires, the backend is usable although one still counts."""
    pair.first.on_request = hang_up
    pair.serve("fail_timeout 1s", "max_fails 2")
    assert pair.get().status == 502
    began = time.monotonic()
    while time.monotonic() - began < 0.6:
        time.sleep(0.05)
    assert pair.get().status == 502
    assert pair.get().body == b"second"
    pair.first.on_request = named(b"first")
    while pair.get().body == b"second":
        assert time.monotonic() - began < 3
    assert 0.9 < time.monotonic() - began < 1.5
    pair.first.on_request = hang_up
    assert pair.get().status == 502
    assert pair.get().body == b"second"


FAULTS: dict[str, OnRequest] = {
    "hang-up": hang_up,
    "reset": reset,
    "garbage": garbage,
    "truncated": truncated,
    "truncated-chunk": truncated_chunk,
    "silent": silent,
}


@pytest.mark.parametrize("fault", list(FAULTS))
def test_what_counts_as_a_failure(pair: Pair, fault: str) -> None:
    """Also a response that breaks off in its body."""
    pair.first.on_request = FAULTS[fault]
    pair.serve("fail_timeout 1m", "response_timeout 300ms")
    if fault.startswith("truncated"):
        with pytest.raises(Truncated):
            pair.get()
    else:
        assert pair.get().status == (504 if fault == "silent" else 502)
    assert pair.get().body == b"second"


@pytest.mark.parametrize("status", [400, 404, 500, 502, 503, 504])
def test_an_answer_is_no_failure(shared: Pair, status: int) -> None:
    """Whatever its status, it is passed on and never asked for again."""
    shared.first.on_request = lambda asked, connection: response(status, body=b"theirs")
    for _ in range(2):
        answer = shared.get("/marking")
        assert (answer.status, answer.body) == (status, b"theirs")
    assert (len(shared.first.requests), shared.second.requests) == (2, [])


def test_a_clients_fault_is_no_failure(pair: Pair) -> None:
    pair.serve("fail_timeout 1m", "try_duration 1s")
    pair.ask(request("POST", "/", [CHUNKED]) + b"zz\r\n")
    with pair.client() as client:
        client.send(request("POST", "/left", [("Content-Length", "10")]) + b"12345")
        pair.first.wait_head(b"/left")
    assert pair.get().body == b"first"
    assert pair.second.connections == []


# What the client is told.


def test_all_marked_is_503_with_the_time(pair: Pair) -> None:
    pair.first.on_request = pair.second.on_request = hang_up
    pair.serve("fail_timeout 30s")
    assert [pair.get().status for _ in range(2)] == [502, 502]
    started = time.monotonic()
    for _ in range(20):
        answer = pair.get()
        assert answer.status == 503
        after = answer.field("Retry-After")
        assert after is not None and 25 <= int(after) <= 31
    assert time.monotonic() - started < 5
    line = json.loads(pair.posthouse.wait_access(22)[-1])
    assert (line["failure"], line["attempts"], line["upstream"]) == ("no_backend", 0, None)
    pair.posthouse.wait_stderr(r" ERROR .*no_backend")


def test_all_full_is_503(pair: Pair) -> None:
    pair.serve("max_conns 1 queue off")
    holding = []
    for backend in (pair.first, pair.second):
        backend.on_request = lambda asked, connection: connection.backend.hold()
        client = pair.client()
        client.send(request("GET", "/"))
        holding.append(client)
        backend.wait_requests(1)
    assert pair.get().status == 503
    for client in holding:
        client.close()
    for backend in (pair.first, pair.second):
        backend.release()
    failures = [json.loads(line)["failure"] for line in pair.posthouse.wait_access(3)]
    assert sorted(failures) == ["client_gone", "client_gone", "full"]


KINDS: dict[str, tuple[str, OnRequest, int, str]] = {
    "connect": ("/once/dead", hang_up, 502, "connect"),
    "reset": ("/once", hang_up, 502, "reset"),
    "malformed": ("/once", garbage, 502, "malformed"),
    "silent": ("/once", silent, 504, "response_timeout"),
}


@pytest.mark.parametrize(("target", "script", "status", "failure"), list(KINDS.values()), ids=list(KINDS))
def test_the_status_tells_the_kind(
    shared: Pair, target: str, script: OnRequest, status: int, failure: str
) -> None:
    shared.first.on_request = script
    before = len(shared.posthouse.access_log())
    answer = shared.get(f"{target}/{failure}")
    assert (answer.status, answer.all("Retry-After")) == (status, [])
    assert answer.body == {502: b"502 Bad Gateway\n", 504: b"504 Gateway Timeout\n"}[status]
    lines = [json.loads(line) for line in shared.posthouse.wait_access(before + 1)]
    (line,) = [line for line in lines if line["uri"] == f"{target}/{failure}"]
    assert (line["status"], line["failure"], line["attempts"]) == (status, failure, 1)
    shared.posthouse.wait_stderr(rf" ERROR .*{failure}")


def test_a_name_that_does_not_resolve(pair: Pair) -> None:
    """Not fatal at start, and no verdict about other sites."""
    pair.serve(FIRST="no-such-host.invalid:80", SECOND="")
    assert pair.get().status in (502, 503)
    line = json.loads(pair.posthouse.wait_access(1)[0])
    assert line["failure"] == "dns"
