"""`redir` against a real process: where clients are sent, and that they are sent nowhere else."""

from __future__ import annotations

import re

import pytest

from kit import Response, Stage, request

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    redir /photo.jpg /drawing.jpg 307
    redir 308 {
        /foo     /info/foo
        /todo    /notes?from={query} 303
        /api-dev /api       meta
    }
    redir {
        if {>X-Forwarded-Proto} is http
        / https://{host}{uri}
    }
    redir /path {path}
    redir /login /in?next={?next}
    redir /out {?to}
    rewrite ^/moved/(.*) /foo
    proxy / BACKEND
}
http://new.test:PORT {
    bind 127.0.0.1
    redir https://newsite.test{uri}
}
http://own.test:PORT {
    bind 127.0.0.1
    redir {
        if {host} not www.own.test
        / {scheme}://www.own.test{uri} 302
    }
    redir {
        if {path} match ^/+.?evil
        / {path}
    }
    proxy / BACKEND
}
"""


def location(answer: Response) -> bytes | None:
    return answer.field("Location")


@pytest.mark.parametrize(
    ("target", "status", "to"),
    [
        ("/photo.jpg", 307, b"/drawing.jpg"),
        ("/foo", 308, b"/info/foo"),
        ("/foo?x", 308, b"/info/foo"),
        ("//foo", 308, b"/info/foo"),
        ("/todo?a&b", 303, b"/notes?from=a&b"),
        ("/moved/x", 308, b"/info/foo"),
        ("/login?next=/a%26b%3Dc", 301, b"/in?next=/a%26b%3Dc"),
        ("/out?to=https://x.test/%3Fa%0D%0AX:%20y", 301, b"https://x.test/?a%0D%0AX:%20y"),
    ],
)
def test_where_to(stage: Stage, target: str, status: int, to: bytes) -> None:
    answer = stage.get(target)
    assert (answer.status, location(answer)) == (status, to)
    assert answer.field("Content-Type") == b"text/html; charset=utf-8"
    assert b'<a href="' in answer.body
    assert stage.backend.received() == b""


@pytest.mark.parametrize("target", ["/Foo", "/foo/", "/foo/x", "/xfoo", "/"])
def test_other_paths_go_on(stage: Stage, target: str) -> None:
    assert stage.get(target).body == b"ok"


def test_the_whole_site(stage: Stage) -> None:
    for target in ("/", "/a%20b?c=d&e", "/caf%C3%A9", "//x"):
        answer = stage.get(target, host="new.test")
        assert (answer.status, location(answer)) == (301, b"https://newsite.test" + target.encode())
    assert location(stage.get("/x/..%2fy?z", host="new.test")) == b"https://newsite.test/y?z"


def test_conditions(stage: Stage) -> None:
    answer = stage.get("/a?b", [("X-Forwarded-Proto", "http")], host="site.test:99")
    assert (answer.status, location(answer)) == (301, b"https://site.test:99/a?b")
    assert stage.get("/a?b", [("X-Forwarded-Proto", "https")]).status == 200
    assert location(stage.get("/x", host="own.test")) == b"http://www.own.test/x"


def test_a_page_that_redirects(stage: Stage) -> None:
    answer = stage.get("/api-dev")
    assert (answer.status, location(answer)) == (200, None)
    assert b"content=\"0; url='/api'\"" in answer.body


def test_every_method_and_the_connection_stays(stage: Stage) -> None:
    with stage.client() as client:
        answer = client.exchange(request("POST", "/foo", body=b"abc"))
        assert answer.status == 308
        head = client.exchange(request("HEAD", "/foo"), "HEAD")
        assert (head.status, head.body, location(head)) == (308, b"", b"/info/foo")
        assert client.exchange(request("GET", "/next")).body == b"ok"


def test_nothing_to_go_to(stage: Stage) -> None:
    assert stage.get("/out").status == 400


HOSTILE = ["//evil.test", "///evil.test", "/%2Fevil.test", "/%5Cevil.test", "/\\evil.test", "//evil.test/%2e%2e",
           "/%09/evil.test", "/%0D%0Aevil.test"]  # fmt: skip


@pytest.mark.parametrize("target", HOSTILE)
def test_a_path_never_becomes_another_host(stage: Stage, target: str) -> None:
    answer = stage.get(target, host="own.test", fields=[("X", "y")])
    assert re.fullmatch(rb"http://www\.own\.test/[!-~]*", location(answer) or b"")


def test_neither_where_the_path_is_all_of_it(stage: Stage) -> None:
    answer = stage.get("//path")
    assert location(answer) == b"/path"
