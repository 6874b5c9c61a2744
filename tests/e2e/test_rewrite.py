"""`rewrite` against a real process: what the backend gets, what logs and rules see, who still matches."""

from __future__ import annotations

import pytest

from kit import Stage, request

CADDYFILE = r"""
http://:PORT {
    bind 127.0.0.1
    log / access.log
    rewrite ^/mobile$ /mobile/index
    rewrite ^/wp/([0-9]+)$ "/index.php?id={1}&{query}"
    rewrite /app {
        r   ^/(\w+)/?$
        ext /
        to  /index?category={1}
    }
    rewrite /if {
        if {>User-Agent} has mobile
        if {method} not POST
        to /m{path}
    }
    rewrite /user {
        to /users/{>X-User}/home
    }
    rewrite ^/sneak/(.*) /{1}
    proxy / BACKEND {
        header_upstream X-Seen "{path} {uri} {rewrite_path} {rewrite_uri}"
    }
    proxy /admin BACKEND {
        header_upstream X-Route admin
    }
    status 403 /closed
}
http://path.test:PORT/prefix {
    bind 127.0.0.1
    rewrite ^/a$ /b
    proxy / BACKEND
}
"""

TARGETS = {
    "/mobile": "/mobile/index",
    "/mobile?a=b": "/mobile/index?a=b",
    "/Mobile": "/Mobile",
    "/wp/7": "/index.php?id=7&",
    "/wp/7?x=1&y": "/index.php?id=7&x=1&y",
    "/app/example": "/index?category=example",
    "/APP/example/": "/index?category=example",
    "/app/example?kept": "/index?category=example",
    "/app/two/words": "/app/two/words",
    "/app/x.html": "/app/x.html",
    "/sneak/a%3Fb%23c%20d": "/a%3Fb%23c%20d",
    "/sneak/%2541": "/%2541",
    "/other%2Fx?q=%zz": "/other%2Fx?q=%zz",
}


@pytest.mark.parametrize(("came", "goes"), TARGETS.items(), ids=list(TARGETS))
def test_what_the_backend_gets(stage: Stage, came: str, goes: str) -> None:
    assert stage.get(came).status == 200
    assert stage.backend.requests[0].target.decode() == goes
    assert stage.backend.violations == []


def test_conditions(stage: Stage) -> None:
    for method, agent, goes in (
        ("GET", "a mobile", b"/m/if/x"),
        ("POST", "a mobile", b"/if/x"),
        ("GET", "b", b"/if/x"),
    ):
        assert stage.get("/if/x", [("User-Agent", agent)], method=method).status == 200
        assert stage.backend.requests[-1].target == goes


def test_what_was_asked_for_and_what_it_became(stage: Stage) -> None:
    assert stage.get("/app/example?q").status == 200
    seen = stage.backend.requests[0].field("X-Seen")
    assert seen == b"/app/example /app/example?q /index /index?category=example"
    assert '"GET /app/example?q HTTP/1.1" 200' in stage.posthouse.wait_access(1)[-1]


def test_the_new_path_is_matched_like_any_other(stage: Stage) -> None:
    assert stage.get("/sneak/Admin/x").status == 200
    assert stage.backend.requests[-1].field("X-Route") == b"admin"
    for target in ("/sneak/closed", "/sneak/%63losed/x", "/sneak//CLOSED"):
        assert stage.get(target).status == 403


def test_each_request_of_a_connection_is_rewritten_for_itself(stage: Stage) -> None:
    with stage.client() as client:
        for user in ("ann", "bob", "ann"):
            assert client.exchange(request("GET", "/user", [("X-User", user)])).status == 200
            assert client.exchange(request("GET", "/plain")).status == 200
    assert [asked.target for asked in stage.backend.requests] == [
        b"/users/ann/home", b"/plain", b"/users/bob/home", b"/plain", b"/users/ann/home", b"/plain",
    ]  # fmt: skip


@pytest.mark.parametrize("user", ["..", "../admin", "../../admin/x", "a/../../admin", "."])
def test_nobody_climbs_out_of_a_destination(stage: Stage, user: str) -> None:
    answer = stage.get("/user", [("X-User", user)])
    assert answer.status == 400
    assert stage.backend.received() == b""


@pytest.mark.parametrize(
    ("user", "goes"),
    [
        ("a?b=c", b"/users/a%3Fb=c/home"),
        ("a#b", b"/users/a%23b/home"),
        ("a b", b"/users/a%20b/home"),
        ("%2e%2e", b"/users/%252e%252e/home"),
        ("a\tHTTP/1.1", b"/users/a%09HTTP/1.1/home"),
        ("caf\xe9", b"/users/caf%E9/home"),
        ("", b"/users/home"),
    ],
)
def test_a_value_is_only_a_value(stage: Stage, user: str, goes: bytes) -> None:
    assert stage.get("/user", [("X-User", user.encode("latin-1"))]).status == 200
    assert stage.backend.requests[0].target == goes


def test_a_site_with_a_path(stage: Stage) -> None:
    assert stage.get("/prefix/a", host="path.test").status == 200
    assert stage.backend.requests[0].target == b"/b"


def test_a_body_goes_along(stage: Stage) -> None:
    with stage.client() as client:
        answer = client.exchange(request("POST", "/mobile", body=b"hello"))
        assert answer.status == 200
        assert client.exchange(request("GET", "/next")).status == 200
    assert (stage.backend.requests[0].target, stage.backend.requests[0].body) == (b"/mobile/index", b"hello")
