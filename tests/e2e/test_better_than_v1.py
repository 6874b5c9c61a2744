"""Where Caddy v1 was wrong, and Posthouse means what the Caddyfile says (docs/compatibility.md).

Lines of that page whose test is a page of its own elsewhere are not here.
"""

from __future__ import annotations

import gzip
import json
from base64 import b64encode

import pytest

from kit import BackendConnection, Posthouse, Request, ScriptedBackend, Stage, get, request, response
from kit.backend import answer_ok

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    log / root.log json
    log /api api.log json
    log /api more.log {common}
    proxy / BACKEND
    proxy /fresh http://one:1@BACKEND/one?a=1 http://two:2@BACKEND/two?b=2 {
        policy first
        try_duration 5s
        without /fresh
        header_upstream +X-Added once
    }
    proxy /dead 127.0.0.1:PORT9 BACKEND {
        policy first
        try_duration 5s
    }
    proxy /replay BACKEND {
        try_duration 5s
        try_interval 1ms
        replay_limit 8B
    }
    proxy /marked 127.0.0.1:PORT9 {
        fail_timeout 30s
    }
    proxy /full BACKEND {
        max_conns 1
    }
    proxy /rules BACKEND {
        header_upstream -X-A
        header_upstream X-A one
        header_upstream +X-A two
        header_upstream X-B one
        header_upstream +X-B two
        header_upstream -X-B
        header_upstream +X-B three
        header_upstream +X-C {>X-Absent}
        header_upstream X-D {>X-Absent}
        header_downstream X-Info "{status} {<X-Own} {upstream}"
    }
    header /wins {
        Cache-Control no-store
        Content-Type text/plain
        +Set-Cookie ours=1
    }
    header /nameless -Server
}
http://shop.test:PORT/shop {
    bind 127.0.0.1
    proxy / BACKEND
}
"""


def break_first(asked: Request, connection: BackendConnection) -> bytes | None:
    """The first attempt is read to its end and gets no answer; later ones do."""
    if len(connection.backend.requests) == 1:
        connection.close()
        return None
    return response(200, body=b"ok")


# --- Failure ---------------------------------------------------------------------------------------------


def test_every_attempt_is_built_afresh(stage: Stage) -> None:
    stage.backend.on_request = break_first
    assert stage.get("/fresh/y?q=0").status == 200
    first, second = stage.backend.requests
    assert (first.target, second.target) == (b"/one/y?a=1&q=0", b"/two/y?b=2&q=0")
    assert first.all("X-Added") == second.all("X-Added") == [b"once"]
    assert first.field("Authorization") == b"Basic " + b64encode(b"one:1")
    assert second.all("Authorization") == [b"Basic " + b64encode(b"two:2")]


def test_a_retry_goes_to_another_backend_without_fail_timeout(stage: Stage) -> None:
    for _ in range(3):
        assert stage.get("/dead").status == 200


def test_a_body_is_sent_again_also_with_one_backend(stage: Stage) -> None:
    stage.backend.on_request = break_first
    with stage.client() as client:
        data = request("PUT", "/replay", [("Content-Length", "8")], host="a.test") + b"01234567"
        assert client.exchange(data).status == 200
    assert [asked.body for asked in stage.backend.requests] == [b"01234567"] * 2


def test_a_body_over_the_replay_limit_is_sent_once(stage: Stage) -> None:
    stage.backend.on_request = break_first
    with stage.client() as client:
        data = request("PUT", "/replay", [("Content-Length", "9")], host="a.test") + b"012345678"
        assert client.exchange(data).status == 502
    assert len(stage.backend.requests) == 1


def test_a_post_is_never_sent_twice(stage: Stage) -> None:
    stage.backend.on_request = break_first
    with stage.client() as client:
        data = request("POST", "/replay", [("Content-Length", "1")], host="a.test") + b"0"
        assert client.exchange(data).status == 502
    assert len(stage.backend.requests) == 1


def test_no_usable_backend_is_503_and_says_when(stage: Stage) -> None:
    assert stage.get("/marked").status == 502
    answer = stage.get("/marked")
    assert answer.status == 503
    assert 1 <= int(answer.field("Retry-After") or b"0") <= 31


def answer_when_released(asked: Request, connection: BackendConnection) -> bytes:
    connection.backend.hold()
    return response(200, body=b"ok")


def test_a_backend_that_stays_full_is_503(stage: Stage) -> None:
    """After a second in the queue; until all who wait have been served or sent away takes that long again."""
    stage.backend.on_request = answer_when_released
    with stage.client() as client:
        client.send(request("GET", "/full", host="a.test"))
        stage.backend.wait_requests(1)
        answer = stage.get("/full")
        assert (answer.status, answer.field("Retry-After")) == (503, b"1")
        stage.backend.on_request = answer_ok
        stage.backend.release()
        assert client.read_response().status == 200
    assert stage.get("/full").status == 200


# --- Matching and addresses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "sent"),
    {"/shop": b"/", "/SHOP/x": b"/x", "/shoppers": b"/pers", "//shop//x%2Fy": b"/x%2Fy"}.items(),
)
def test_the_path_of_a_site_is_matched_like_from(stage: Stage, target: str, sent: bytes) -> None:
    assert stage.get(target, host="shop.test").status == 200
    assert stage.backend.requests[0].target == sent
    assert stage.get("/sho", host="shop.test").status == 404


def test_letter_case_counts_where_the_environment_says_so() -> None:
    caddyfile = "http://127.0.0.1:0 {\n bind 127.0.0.1\n proxy /api BACKEND {\n except /OLD\n }\n}"
    expected = {"/api/x": 200, "/API/x": 404, "/api/OLD": 404, "/api/old": 200}
    with ScriptedBackend() as backend:
        for env, answers in (
            ({"CASE_SENSITIVE_PATH": "1"}, expected),
            ({}, {"/API/x": 200, "/api/old": 404}),
        ):
            with Posthouse(caddyfile, BACKEND=backend.address, env=env) as posthouse:
                found = {path: get(posthouse.port, path, host="127.0.0.1").status for path in answers}
            assert found == answers


def test_proxies_of_the_environment_are_not_used() -> None:
    caddyfile = "http://127.0.0.1:0 {\n bind 127.0.0.1\n proxy / BACKEND\n}"
    with ScriptedBackend() as backend, ScriptedBackend() as other:
        env = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), f"http://{other.address}")
        with Posthouse(caddyfile, BACKEND=backend.address, env=env) as posthouse:
            assert get(posthouse.port, "/", host="127.0.0.1").status == 200
        assert len(backend.requests) == 1
        assert other.connections == []


# --- Headers ---------------------------------------------------------------------------------------------


def test_rules_act_in_the_order_of_the_file(stage: Stage) -> None:
    given = [(f"X-{letter}", "forged") for letter in "ABCD"]
    for _ in range(3):
        assert stage.get("/rules", given).status == 200
    for asked in stage.backend.requests:
        assert asked.all("X-A") == [b"one", b"two"]
        assert asked.all("X-B") == [b"three"]
        assert asked.all("X-C") == [b"forged"]
        assert asked.all("X-D") == []


def test_placeholders_of_the_response_work_in_rules(stage: Stage) -> None:
    stage.backend.on_request = lambda asked, connection: response(201, [("X-Own", "mine")], body=b"ok")
    answer = stage.get("/rules")
    assert answer.field("X-Info") == b"201 mine http://" + stage.backend.address.encode()


def test_a_header_rule_wins_over_the_backend(stage: Stage) -> None:
    fields = [
        ("Cache-Control", "max-age=60"),
        ("Set-Cookie", "theirs=1"),
        ("Set-Cookie", "theirs=2"),
        ("Content-Type", "image/png"),
        ("Server", "Backend/1"),
    ]
    stage.backend.on_request = lambda asked, connection: response(200, fields, body=b"ok")
    answer = stage.get("/wins")
    assert answer.all("Cache-Control") == [b"no-store"]
    assert answer.all("Content-Type") == [b"text/plain"]
    assert answer.all("Set-Cookie") == [b"theirs=1", b"theirs=2", b"ours=1"]


def test_the_backends_server_passes_and_ours_is_on_our_own_answers(stage: Stage) -> None:
    stage.backend.on_request = lambda asked, connection: response(200, [("Server", "Backend/1")], body=b"ok")
    assert stage.get("/").all("Server") == [b"Backend/1"]
    stage.backend.on_request = lambda asked, connection: response(200, body=b"ok")
    assert stage.get("/").all("Server") == []
    assert stage.get("/nowhere", host="shop.test").all("Server") == [b"Posthouse"]
    stage.backend.on_request = lambda asked, connection: response(200, [("Server", "Backend/1")], body=b"ok")
    assert stage.get("/nameless").all("Server") == []


def test_nothing_is_asked_for_decoded_or_guessed(stage: Stage) -> None:
    packed = gzip.compress(b"<html>hello</html>")
    fields = [("Content-Encoding", "gzip")]
    stage.backend.on_request = lambda asked, connection: response(200, fields, body=packed)
    answer = stage.get("/")
    assert (answer.body, answer.field("Content-Encoding")) == (packed, b"gzip")
    assert answer.field("Content-Type") is None
    [asked] = stage.backend.requests
    assert not {b"accept-encoding", b"user-agent"} & asked.names()


# --- Upgrades and logs -----------------------------------------------------------------------------------


def test_rules_act_on_a_101_and_its_bytes_are_logged(stage: Stage) -> None:
    def switch(asked: Request, connection: BackendConnection) -> None:
        connection.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello"
        )
        connection.close()

    stage.backend.on_request = switch
    before = len(stage.posthouse.access_log("root.log"))
    with stage.client() as client:
        upgrade = [("Connection", "Upgrade"), ("Upgrade", "echo")]
        answer = client.exchange(request("GET", "/rules", upgrade, host="a.test"))
        assert answer.status == 101
        assert (answer.field("X-Info") or b"").startswith(b"101 ")
        client.finish_sending()
        assert client.read_until_end() == b"hello"
    line = json.loads(stage.posthouse.wait_access(before + 1, "root.log")[-1])
    assert (line["status"], line["size"], line["failure"]) == (101, 5, None)


def test_the_most_specific_log_takes_the_request(stage: Stage) -> None:
    names = ("root.log", "api.log", "more.log")
    before = {name: len(stage.posthouse.access_log(name)) for name in names}
    assert stage.get("/API/x").status == 200
    for name in names[1:]:
        assert "/API/x" in stage.posthouse.wait_access(before[name] + 1, name)[-1]
    assert stage.get("/last").status == 200
    added = stage.posthouse.wait_access(before["root.log"] + 1, "root.log")[before["root.log"] :]
    assert [json.loads(line)["uri"] for line in added] == ["/last"]
