"""Nothing from the wire is pasted into a header or a log unescaped.

Rule 14 and topic 2.10 of the specification of reliability.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from kit import Posthouse, ScriptedBackend, Stage, get, request, response

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    header / X-Site-Path {path}
    header / X-Site-Arg {?a}
    proxy / BACKEND {
        header_upstream X-Path {path}
        header_upstream X-Uri {uri}
        header_upstream X-Query {query}
        header_upstream X-Arg "before {?a} after"
        header_upstream X-File {file}
        header_upstream X-Dir {dir}
        header_upstream X-Cookie {~c}
        header_upstream X-Host {host}
        header_upstream X-In {>X-Client}
        header_upstream +X-Added {?a}
        header_downstream X-Down-Path {path}
        header_downstream X-Down-Arg {?a}
        header_downstream X-Down-In {>X-Client}
        header_downstream +X-Down-Added {?a}
        header_downstream X-Down-Back {<X-Back}
    }
}
http://lines.test:PORT {
    bind 127.0.0.1
    log / access.log json
    proxy / BACKEND
}
http://plain.test:PORT {
    bind 127.0.0.1
    log / plain.log {combined}
    proxy / BACKEND
}
"""

BREAKS = ["%0d%0a", "%0a", "%0d", "%0D%0A%20", "%0d%0a%0d%0a"]


@pytest.mark.parametrize("line_break", BREAKS)
@pytest.mark.parametrize("place", ["path", "argument", "both"])
def test_line_breaks_make_no_fields(stage: Stage, line_break: str, place: str) -> None:
    """The value is dropped, cut or the request refused with 400: never a field, never our fault."""
    evil = f"a{line_break}X-Injected:%20yes{line_break}"
    target = {"path": f"/{evil}/b", "argument": f"/?a={evil}", "both": f"/{evil}?a={evil}"}[place]
    with stage.client() as client:
        answer = client.exchange(request("GET", target))
        assert answer.status in (200, 400)
        assert b"x-injected" not in answer.names()
        if client.is_open():
            assert client.exchange(request("GET", "/next")).status == 200
    for asked in stage.backend.requests:
        assert b"x-injected" not in asked.names()
    assert stage.backend.violations == []


@pytest.mark.parametrize("control", ["%00", "%01", "%0b", "%0c", "%1f", "%7f", "%C2%85", "%E2%80%A8"])
def test_controls_make_no_fields(stage: Stage, control: str) -> None:
    answer = stage.get(f"/?a=x{control}X-Injected:1")
    assert answer.status in (200, 400)
    assert b"x-injected" not in answer.names()
    assert stage.backend.violations == []


def test_encoded_twice_is_text(stage: Stage) -> None:
    answer = stage.get("/a%250d%250aX-Injected:1?a=%250d%250aX-Injected:1")
    assert answer.status == 200
    [asked] = stage.backend.requests
    assert asked.field("X-Path") == b"/a%0d%0aX-Injected:1"
    assert asked.field("X-Arg") == b"before %0d%0aX-Injected:1 after"
    assert asked.field("X-Uri") == b"/a%250d%250aX-Injected:1?a=%250d%250aX-Injected:1"
    assert answer.field("X-Down-Arg") == b"%0d%0aX-Injected:1"


def test_ordinary_values_pass(stage: Stage) -> None:
    fields = [("Cookie", "b=1; c=two; d=3"), ("X-Client", 'q"uote')]
    stage.backend.on_request = lambda asked, connection: response(200, [("X-Back", "b{?a}")])
    answer = stage.get("/d/f%20g?a=x%20y", fields)
    [asked] = stage.backend.requests
    assert asked.field("X-Path") == b"/d/f g"
    assert asked.field("X-Query") == b"a=x%20y"
    assert asked.field("X-Arg") == b"before x y after"
    assert (asked.field("X-Dir"), asked.field("X-File")) == (b"/d/", b"f g")
    assert asked.field("X-Cookie") == b"two"
    assert asked.field("X-Host") == b"site.test"
    assert asked.field("X-In") == answer.field("X-Down-In") == b'q"uote'
    assert answer.field("X-Down-Path") == b"/d/f g"
    assert answer.field("X-Site-Arg") == b"x y"
    assert answer.field("X-Down-Back") == b"b{?a}"


def test_values_are_not_expanded_again(stage: Stage) -> None:
    assert stage.get("/%7Bhost%7D?a={remote}", [("X-Client", "{host}")]).status == 200
    [asked] = stage.backend.requests
    assert asked.field("X-Path") == b"/{host}"
    assert asked.field("X-Arg") == b"before {remote} after"
    assert asked.field("X-In") == b"{host}"


def test_set_to_nothing_removes_a_forged_field(stage: Stage) -> None:
    forged = [("X-Cookie", "admin"), ("X-In", "admin"), ("X-Added", "kept")]
    assert stage.get("/", forged).status == 200
    [asked] = stage.backend.requests
    assert asked.names().isdisjoint({b"x-cookie", b"x-in"})
    assert asked.all("X-Added") == [b"kept"]


def test_every_request_is_one_line_of_json(stage: Stage) -> None:
    targets = ['/a%0a%22?q="\\', "/%0d%0a", "/{status}", "/\xff\xfe", "/%1b[31m", "/x?a=%0aX", "/last"]
    agents = ['quote"quote', "back\\slash", "{host}", "\xff\x80", "a\tb", "%0a", ""]
    for target, agent in zip(targets, agents, strict=True):
        fields = [("User-Agent", agent), ("Referer", agent)]
        assert stage.get(target, fields, host="lines.test").status in (200, 400)
    stage.posthouse.wait_access(len(targets))
    lines = (stage.posthouse.directory / "access.log").read_bytes().splitlines()
    assert len(lines) == len(targets)
    assert b"/last" in lines[-1]
    for line in lines:
        assert not any(byte < 0x20 or byte == 0x7F for byte in line)
        assert {"ts", "peer", "method", "uri", "status", "user_agent"} <= set(json.loads(line))


def test_quotes_stay_inside_the_combined_line(stage: Stage) -> None:
    agent = 'evil" 200 0 "-" "'
    assert stage.get('/"x', [("User-Agent", agent)], host="plain.test").status in (200, 400)
    assert stage.get("/last", host="plain.test").status == 200
    [first, last] = stage.posthouse.wait_access(2, "plain.log")
    assert 'evil" 200' not in first
    assert "/last" in last


@pytest.mark.parametrize("value", ["a\r\nX-Injected: 1", "a\nX-Injected: 1"], ids=["crlf", "lf"])
def test_environment_makes_no_fields(
    start_posthouse: Callable[..., Posthouse], backend: ScriptedBackend, value: str
) -> None:
    """Refused at the start, or stripped."""
    caddyfile = (
        "http://:PORT {\n bind 127.0.0.1\n proxy / BACKEND {\n  header_upstream X-Env {$EVIL}\n }\n}\n"
    )
    try:
        posthouse = start_posthouse(caddyfile, env={"EVIL": value}, BACKEND=backend.address)
    except AssertionError as refused:
        assert "header_upstream" in str(refused) or "X-Env" in str(refused)
        return
    assert get(posthouse.named_port()).status in (200, 400)
    assert all(b"x-injected" not in asked.names() for asked in backend.requests)
    assert backend.violations == []
