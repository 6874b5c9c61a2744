"""`status` and `internal` against a real process, with X-Accel-Redirect from the backend."""

from __future__ import annotations

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
