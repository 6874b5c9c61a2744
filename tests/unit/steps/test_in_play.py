"""The steps of a Caddyfile in real exchanges: what the backend is sent, what the client is told, what is given back."""

from __future__ import annotations

import base64

import pytest

from posthouse.adapt import adapt
from posthouse.errors import FailureKind
from posthouse.server.site_steps import Means, build_steps
from unit.proxy.playbook import Play
from unit.proxy.samples import route
from unit.steps.test_basicauth import Checks

HASH = "$2b$04$ikb39OqjyG3gd2ueCXpxXuM7lzyZUmFRfq/3MMCRxB8rJ4aiPHFYa"
CHECKS = Checks()


def play(directives: str, checks: Checks = CHECKS) -> Play:
    """Backends a and b at "/", c at "/internal", behind the steps of the directives."""
    made = Play(route("a", "b", policy="first", duration=5.0), route("c", base="/internal"))
    spec = adapt(f"http://x {{\n{directives}\n}}\n", "Caddyfile", env={}).config.sites[0]
    made.site.is_internal = bool(spec.internals)
    made.site.steps = build_steps(spec, Means(made.codec.targets, checks, b"k" * 32, lambda: made.world.now))
    return made


def authorization(password: str) -> str:
    return "Authorization: Basic " + base64.b64encode(f"Bob:{password}".encode()).decode()


def test_every_attempt_goes_where_the_rewrite_said() -> None:
    stage = play("rewrite ^/old/(.*) /new/{1}")
    stage.request("GET /old/x%20y?q HTTP/1.1", "Host: x")
    stage.refuse("a", FailureKind.CONNECT)
    backend = stage.connect("b")
    assert backend.line == b"GET /new/x%20y?q HTTP/1.1"
    backend.answers()
    assert stage.over() == ["200 b x2"]


def test_rewrite_comes_before_all_others() -> None:
    stage = play(
        "rewrite ^/a$ /r\nrewrite ^/b$ /s\nrewrite ^/c$ /i\nredir /r /to\nstatus 410 /s\ninternal /i"
    )
    for target in ("/a", "/b", "/c"):
        stage.request(f"GET {target} HTTP/1.1", "Host: x")
    assert stage.over() == ["301 -", "410 -", "404 -"]


def test_basicauth_comes_before_what_answers() -> None:
    stage = play("basicauth / Bob hiccup\nredir /r /to\nstatus 410 /s\ninternal /i")
    for target in ("/r", "/s", "/i"):
        stage.request(f"GET {target} HTTP/1.1", "Host: x")
        stage.request(f"GET {target} HTTP/1.1", "Host: x", authorization("hiccup"))
    assert stage.over() == ["401 -", "301 -", "401 -", "410 -", "401 -", "404 -"]


@pytest.mark.parametrize("password", ["hiccup", "wrong"])
def test_a_body_waits_with_its_request(password: str) -> None:
    checks = Checks()
    stage = play(f"basicauth / Bob {HASH}", checks)
    lines = "PUT /f HTTP/1.1", "Host: x", "Content-Length: 6", authorization(password)
    stage.request(*lines, body=b"abc", more=True)
    assert stage.dialled() == []
    stage.client.sends(b"def")
    stage.client.ends()
    checks.run()
    if password == "hiccup":
        backend = stage.connect("a")
        assert (backend.body, backend.is_complete) == (b"abcdef", True)
        backend.answers()
        assert stage.over() == ["200 a"]
    else:
        assert stage.client.answer.status == b"401 Unauthorized"
        assert stage.over() == ["401 -"]


def test_a_client_that_leaves_while_its_password_is_checked() -> None:
    checks = Checks()
    stage = play(f"basicauth / Bob {HASH}", checks)
    stage.request("GET / HTTP/1.1", "Host: x", authorization("hiccup"))
    stage.client.leaves()
    checks.run()
    assert stage.over() == ["499 - client_gone"]


def test_an_application_decides_about_what_is_internal() -> None:
    stage = play("internal /internal\nstatus 403 /internal/no")
    stage.request("GET /internal/x HTTP/1.1", "Host: x")
    assert stage.client.answer.status == b"404 Not Found"
    stage.request("GET /ask HTTP/1.1", "Host: x")
    stage.connect("a").answers("200 OK", "X-Accel-Redirect: /internal/no?v=1")
    stage.world.pass_time(0)
    backend = stage.connect("c")
    assert backend.line == b"GET /internal/no?v=1 HTTP/1.1"
    backend.answers(body=b"this")
    assert stage.over() == ["404 -", "200 c x2"]
