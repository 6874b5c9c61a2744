"""Second tries: when, how long, and what may be sent again.

Rule 8 and topic 2.13 of the specification of reliability; "Failure" of the stance.
"""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from e2e.pair import OnRequest, Pair, hang_up, reset, truncated
from kit import BackendConnection, Posthouse, chunk, request, response

LIMIT = 100_000
SHARED = """
http://:PORT {
    bind 127.0.0.1
    proxy / FIRST SECOND {
        policy first
        try_duration 2s
        replay_limit 100000
    }
    proxy /dead DEAD SECOND {
        policy first
        try_duration 2s
    }
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


# Second tries.


def test_a_retry_prefers_who_was_not_tried(pair: Pair) -> None:
    """At once, and without `fail_timeout`: the same dead backend again and again would help nobody."""
    pair.serve("try_duration 5s", "try_interval 3s", FIRST=pair.dead)
    for _ in range(3):
        started = time.monotonic()
        assert pair.get().body == b"second"
        assert time.monotonic() - started < 1
    line = json.loads(pair.posthouse.wait_access(3)[0])
    assert (line["attempts"], line["status"], line["failure"]) == (2, 200, None)
    assert line["upstream"] == "http://" + pair.second.address


def test_a_backend_that_comes_back_in_time(pair: Pair) -> None:
    """One backend, and it is restarting: the request waits for it instead of failing."""
    port = int(pair.dead.split(":")[1])
    pair.serve("try_duration 10s", "try_interval 50ms", FIRST=pair.dead, SECOND="")
    with pair.client() as client:
        client.send(request("POST", "/", body=b"body"))
        assert client.is_open(0.3)
        with socket.create_server(("127.0.0.1", port)) as listener:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(5)
                received = b""
                while not received.endswith(b"body"):
                    received += connection.recv(65_536)
                connection.sendall(response(200, body=b"back"))
                assert client.read_response().body == b"back"
    assert received.count(b"POST / ") == 1


def test_try_duration_has_an_end(pair: Pair) -> None:
    pair.serve("try_duration 600ms", "try_interval 100ms", FIRST=pair.dead, SECOND="")
    started = time.monotonic()
    assert pair.get().status == 502
    assert 0.5 < time.monotonic() - started < 1.2
    line = json.loads(pair.posthouse.wait_access(1)[0])
    assert 3 <= line["attempts"] <= 12
    assert line["failure"] == "connect"


def test_the_interval_is_kept(pair: Pair) -> None:
    """A pool without an untried backend is not hammered: waits of 100 ms, growing, in 1 s."""
    accepted = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                accepted.append(time.monotonic())
                connection.close()

        refusing = threading.Thread(target=refuse)
        refusing.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        pair.serve("try_duration 1s", "try_interval 100ms", FIRST=address, SECOND="")
        assert pair.get().status == 502
        listener.shutdown(socket.SHUT_RDWR)
        refusing.join(5)
    waits = [after - before for before, after in itertools.pairwise(accepted)]
    assert 2 <= len(waits) <= 10
    assert min(waits[:-1]) > 0.07


def test_every_attempt_is_built_afresh(pair: Pair) -> None:
    """Base path, query, `without`, added fields and credentials of the first do not pile up in the second."""
    pair.first.on_request = hang_up
    first, second = pair.first.address, pair.second.address
    pair.serve(
        "try_duration 5s",
        "without /x",
        "header_upstream +X-Add one",
        "header_upstream X-Up {upstream}",
        FIRST=f"http://user:pw@{first}/one?a=1",
        SECOND=f"http://{second}/two?b=2",
    )
    assert pair.get("/x/y?q=0").body == b"second"
    asked = pair.second.requests[0]
    assert pair.first.requests[0].target == b"/one/y?a=1&q=0"
    assert pair.first.requests[0].field("Authorization") == b"Basic dXNlcjpwdw=="
    assert (asked.target, asked.field("X-Add")) == (b"/two/y?b=2&q=0", b"one")
    assert asked.field("X-Up") == b"http://" + second.encode() + b"/two?b=2"
    assert (asked.all("Authorization"), asked.field("Host")) == ([], second.encode())


# What may be sent again.

REPLAYED = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]


@pytest.mark.parametrize("script", [hang_up, reset], ids=["hang-up", "reset"])
@pytest.mark.parametrize("method", [*REPLAYED, "POST", "PATCH", "LINK"])
def test_only_idempotent_methods_are_sent_again(shared: Pair, method: str, script: OnRequest) -> None:
    shared.first.on_request = script
    shared.second.on_request = lambda asked, connection: response(
        200, body=b"" if method == "HEAD" else b"second"
    )
    body = None if method in ("GET", "HEAD", "TRACE") else b"body"
    answer = shared.ask(request(method, "/", body=body), method)
    assert answer.status == (200 if method in REPLAYED else 502)
    assert len(shared.first.requests) == 1
    assert [asked.body for asked in shared.second.requests] == ([body or b""] if method in REPLAYED else [])


@pytest.mark.parametrize("size", [0, 10, 50_000, 3 << 20])
def test_any_method_goes_on_when_nothing_was_sent(shared: Pair, size: int) -> None:
    """The dial failed: no byte reached an application, however long the body is."""
    body = b"b" * size
    assert shared.ask(request("POST", "/dead", body=body)).body == b"second"
    assert shared.second.requests[0].body == body


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize(
    ("size", "status"), [(1, 200), (LIMIT - 1000, 200), (LIMIT + 1, 502), (4 * LIMIT, 502)]
)
def test_a_put_is_replayed_up_to_the_limit(shared: Pair, framing: str, size: int, status: int) -> None:
    """Beyond it the attempt is final: the second backend sees nothing, not even a piece."""
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]
    shared.first.on_request = hang_up
    if framing == "length":
        data = request("PUT", "/", body=body)
    else:
        pieces = [body[at : at + 10_000] for at in range(0, size, 10_000)]
        data = request("PUT", "/", [CHUNKED]) + chunk(*pieces)
    assert shared.ask(data).status == status
    assert shared.first.requests[0].body == body
    assert [asked.body == body for asked in shared.second.requests] == ([True] if status == 200 else [])
    assert shared.second.received() == b"" or status == 200


def test_a_put_is_replayed_while_it_is_still_coming(shared: Pair) -> None:
    """The first backend hangs up after half of the body; the second gets all of it."""

    def half(connection: BackendConnection) -> None:
        connection.read_head()
        while len(connection.buffer) < 500:
            connection.fill()
        connection.close()

    shared.first.on_connect = half
    with shared.client() as client:
        client.send(request("PUT", "/", [("Content-Length", "1000")]) + b"a" * 500)
        (connection,) = shared.first.wait_connections(1)
        assert connection.wait_gone()
        shared.second.wait_connections(1)
        client.send(b"b" * 500)
        assert client.read_response().body == b"second"
    assert shared.second.requests[0].body == b"a" * 500 + b"b" * 500


def test_nothing_is_sent_again_once_the_answer_began(shared: Pair) -> None:
    shared.first.on_request = truncated
    with shared.client() as client:
        client.send(request("GET", "/"))
        assert client.end(2) in ("fin", "rst")
    assert shared.second.connections == []
