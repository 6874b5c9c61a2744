"""`status` and `internal` against a real process, with X-Accel-Redirect from the backend."""

from __future__ import annotations

import threading

import pytest

from e2e.test_paths import FORBIDDEN
from kit import BackendConnection, Request, Stage, request, response

CADDYFILE = """
http://status.test:PORT {
    bind 127.0.0.1
    status 404 /hidden
    status 403 { /hidden/more /secrets }
    status 204 /ping
    status 302 /odd
    proxy / BACKEND
}
http://:PORT {
    bind 127.0.0.1
    internal /admin
    internal /private/
    proxy / BACKEND
    proxy /admin BACKEND {
        header_upstream X-Route admin
        header_downstream X-From admin
    }
}
http://plain.test:PORT {
    bind 127.0.0.1
    proxy / BACKEND
}
"""


@pytest.mark.parametrize(
    ("target", "status", "body"),
    [
        ("/hidden", 404, b"404 Not Found\n"),
        ("/HIDDEN/x", 404, b"404 Not Found\n"),
        ("/hidden/more/x", 403, b"403 Forbidden\n"),
        ("/secrets", 403, b"403 Forbidden\n"),
        ("/ping", 204, b""),
        ("/odd", 302, b""),
    ],
)
def test_status(stage: Stage, target: str, status: int, body: bytes) -> None:
    with stage.client() as client:
        answer = client.exchange(request("GET", target, host="status.test"))
        assert (answer.status, answer.body) == (status, body)
        assert client.exchange(request("GET", "/open", host="status.test")).body == b"ok"
    assert [asked.target for asked in stage.backend.requests] == [b"/open"]


@pytest.mark.parametrize("target", FORBIDDEN)
def test_internal_is_not_there_in_any_spelling(stage: Stage, target: str) -> None:
    with stage.client() as client:
        answer = client.exchange(request("GET", target))
    assert answer.status in (400, 404)
    assert stage.backend.received() == b""


@pytest.fixture
def sends_to_admin(stage: Stage) -> Stage:
    """The backend sends /give to /admin/file."""

    def answer(asked: Request, connection: BackendConnection) -> bytes:
        if asked.target == b"/give":
            fields = [("X-Accel-Redirect", "/admin/file%20x?a=b"), ("Set-Cookie", "a=b")]
            return response(200, fields, b"not for the client")
        return response(200, body=b"%b %b %b" % (asked.method, asked.target, asked.field("X-Route") or b"-"))

    stage.backend.on_request = answer
    return stage


def test_a_backend_can_send_there(sends_to_admin: Stage) -> None:
    stage = sends_to_admin
    answer = stage.get("/give")
    assert (answer.status, answer.body) == (200, b"GET /admin/file%20x?a=b admin")
    assert answer.field("X-From") == b"admin"
    assert answer.field("X-Accel-Redirect") is None and answer.field("Set-Cookie") is None


def test_only_a_site_with_internal_listens_to_that(sends_to_admin: Stage) -> None:
    stage = sends_to_admin
    answer = stage.get("/give", host="plain.test")
    assert answer.body == b"not for the client"
    assert answer.field("X-Accel-Redirect") == b"/admin/file%20x?a=b"


def test_the_client_cannot_say_it(sends_to_admin: Stage) -> None:
    stage = sends_to_admin
    answer = stage.get("/x", [("X-Accel-Redirect", "/admin/x")])
    assert answer.body == b"GET /x -"


def send_elsewhere_early(stage: Stage, may_answer: threading.Event) -> None:
    """The backend sends each POST to /admin/x as soon as it has the head, and answers that when it may."""

    def serve(connection: BackendConnection) -> None:
        asked = connection.read_head()
        assert asked is not None
        if asked.method == b"POST":
            connection.send(response(200, [("X-Accel-Redirect", "/admin/x")], b""))
            connection.wait_end()
            return
        stage.backend.record(asked)
        may_answer.wait(10)
        connection.send(response(200, body=b"in its place"))

    stage.backend.on_connect = serve


def test_what_is_still_uploaded_then_is_dropped(stage: Stage) -> None:
    size = 1 << 20  # long enough for a pump
    may_answer = threading.Event()
    send_elsewhere_early(stage, may_answer)
    with stage.client() as client:
        client.send(request("POST", "/give", [("Content-Length", str(size))]))
        stage.backend.wait_requests(1)
        client.send(b"x" * size)
        may_answer.set()
        answer = client.read_response()
    assert (answer.status, answer.body) == (200, b"in its place")


def test_a_client_that_waits_for_its_100_then_gets_the_last_answer(stage: Stage) -> None:
    may_answer = threading.Event()
    may_answer.set()
    send_elsewhere_early(stage, may_answer)
    with stage.client() as client:
        client.send(request("POST", "/give", [("Content-Length", "5"), ("Expect", "100-continue")]))
        answer = client.read_response()
        assert (answer.status, answer.field("Connection")) == (200, b"close")


def test_nothing_of_the_body_goes_there(stage: Stage) -> None:
    def answer(asked: Request, connection: BackendConnection) -> bytes:
        fields = [("X-Accel-Redirect", "/admin/x")] if asked.method == b"POST" else []
        return response(200, fields)

    stage.backend.on_request = answer
    with stage.client() as client:
        client.exchange(request("POST", "/give", [("Content-Type", "a/b")], b"body"))
    asked = stage.backend.requests[-1]
    assert (asked.method, asked.field("X-Route")) == (b"GET", b"admin")
    assert asked.field("Content-Type") is None and asked.field("Content-Length") is None


@pytest.mark.parametrize(("size", "status"), [(16 * 1024, 200), (16 * 1024 + 1, 502)])
def test_where_a_backend_sends_it_has_the_limit_of_a_target(stage: Stage, size: int, status: int) -> None:
    target = "/admin/".ljust(size, "x")

    def answer(asked: Request, connection: BackendConnection) -> bytes:
        return response(200, [("X-Accel-Redirect", target)] if asked.target == b"/give" else [])

    stage.backend.on_request = answer
    assert stage.get("/give").status == status
    assert [len(asked.target) for asked in stage.backend.requests] == [5, size][: 2 if status == 200 else 1]


@pytest.mark.parametrize(("host", "is_told"), [("x.test", False), ("plain.test", True)])
def test_the_client_never_sees_it_in_an_upgrade_or_a_hint(stage: Stage, host: str, is_told: bool) -> None:
    accel = ("X-Accel-Redirect", "/admin/x")

    def serve(connection: BackendConnection) -> None:
        while connection.read_head() is not None:
            connection.send(response(103, [accel, ("Link", "</a>")], None))
            connection.send(
                response(101, [accel, ("X-A", "b"), ("Connection", "upgrade"), ("Upgrade", "x")], None)
            )

    stage.backend.on_connect = serve
    with stage.client() as client:
        client.send(request("GET", "/", [("Connection", "upgrade"), ("Upgrade", "x")], host=host))
        for status, other in ((103, "Link"), (101, "X-A")):
            head = client.read_head()
            assert head.status == status and head.field(other) is not None
            assert (head.field("X-Accel-Redirect") is not None) is is_told
