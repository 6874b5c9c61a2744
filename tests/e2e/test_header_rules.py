"""Header rules on a real exchange: set, add, remove, wildcards, placeholders, in the order of the file.

"Headers" of the stance, chapter 5 of what v1 does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from uuid import UUID

import pytest

from e2e.pair import Pair
from kit import Posthouse, Response, Stage, request, response
from kit.http1 import Fields, Request

CADDYFILE = r"""
http://:PORT {
    bind 127.0.0.1
    request_id
    header /site {
        X-Set site
        +X-Add site
        -X-Remove
        -X-Pre-*
        Cache-Control no-store
        X-Who "{host} {status} {<X-Backend}"
    }
    header /site/deeper X-Deeper yes
    header / X-All yes
    proxy / BACKEND
    proxy /up BACKEND {
        header_upstream X-Set new
        header_upstream +X-Add three
        header_upstream -X-Remove
        header_upstream -X-Pre-*
        header_upstream -*-Post
        header_upstream X-New value
        header_upstream "X-Blank" "two words"
        header_upstream User-Agent ours
    }
    proxy /order BACKEND {
        header_upstream X-A one
        header_upstream +X-A two
        header_upstream -X-A
        header_upstream +X-A three
        header_upstream +X-B one
        header_upstream -X-B
        header_upstream X-C one
        header_upstream X-C two
        header_upstream -X-*
        header_upstream X-D last
    }
    proxy /nothing BACKEND {
        header_upstream X-Set {>X-Absent}
        header_upstream +X-Add {>X-Absent}
        header_downstream X-Set {<X-Absent}
        header_downstream +X-Add {<X-Absent}
    }
    proxy /regex BACKEND {
        header_upstream X-User "(\w+)@(\w+)" "$2/$1 of {host}"
        header_upstream X-User of at
        header_upstream X-List a b
        header_upstream +X-List c
        header_upstream Host (.*) "regex.test"
        header_downstream Location ^http://internal(:[0-9]+)?/ {scheme}://{host}/
        header_downstream Set-Cookie Domain=in Domain=out
        header_downstream X-Gone .* ""
        header_downstream X-One b c transparent
    }
    proxy /host BACKEND {
        header_upstream Host set.test:99
    }
    proxy /hosts BACKEND {
        header_upstream Host {host}
    }
    proxy /hostless BACKEND {
        header_upstream -Host
    }
    proxy /down BACKEND {
        header_downstream X-Set new
        header_downstream +X-Add three
        header_downstream -X-Remove
        header_downstream -X-Pre-*
        header_downstream -Server
        header_downstream X-Seen "{status} {<X-Backend} {upstream} {method} {>X-Ask}"
        header_downstream Set-Cookie "b=2"
    }
    proxy /placeholders BACKEND {
        header_upstream P-Method {method}
        header_upstream P-Proto {proto}
        header_upstream P-Scheme {scheme}
        header_upstream P-Host {host}
        header_upstream P-Hostonly {hostonly}
        header_upstream P-Label "{label1} {label2} {label3}"
        header_upstream P-Remote {remote}
        header_upstream P-Port {port}
        header_upstream P-Client {client_ip}
        header_upstream P-Path {path}
        header_upstream P-Query {query}
        header_upstream P-Uri {uri}
        header_upstream P-Escaped {uri_escaped}
        header_upstream P-File "{dir} {file}"
        header_upstream P-Field "{>x-ask} {>X-ASK}"
        header_upstream P-Cookie {~session}
        header_upstream P-Argument {?q}
        header_upstream P-Upstream {upstream}
        header_upstream P-Server-Port {server_port}
        header_upstream P-Id {request_id}
        header_upstream P-Braces "\{host\} {unclosed"
        header_upstream P-Unknown "a{no_such_thing}b"
        header_upstream P-Attempts {attempts}
    }
}
"""

PRE: Fields = [("X-Pre-A", "1"), ("x-pre-b", "2"), ("X-Pre", "stays")]


def asked(stage: Stage, target: str, fields: Fields = (), host: str = "site.test") -> Request:
    """The request as the backend got it."""
    assert stage.get(target, fields, host=host).status == 200
    return stage.backend.requests[-1]


def answered(stage: Stage, target: str, fields: Fields, ask: Fields = ()) -> Response:
    """The answer as the client got it, when the backend sends these fields."""
    stage.backend.on_request = lambda asked, connection: response(200, fields)
    return stage.get(target, ask)


def test_upstream_rules(stage: Stage) -> None:
    fields: Fields = [("X-Set", "a"), ("x-set", "b"), ("X-Add", "one"), ("X-Add", "two"), ("X-Remove", "x")]
    more: Fields = [("A-Post", "x"), ("Post", "stays"), ("User-Agent", "theirs"), *PRE]
    got = asked(stage, "/up", [*fields, *more])
    assert got.all("X-Set") == [b"new"]
    assert got.all("X-Add") == [b"one", b"two", b"three"]
    assert (got.field("X-New"), got.field("X-Blank"), got.field("User-Agent")) == (
        b"value",
        b"two words",
        b"ours",
    )
    assert not got.names() & {b"x-remove", b"x-pre-a", b"x-pre-b", b"a-post"}
    assert (got.field("X-Pre"), got.field("Post")) == (b"stays", b"stays")


def test_expressions_rewrite_requests(stage: Stage) -> None:
    got = asked(stage, "/regex", [("X-User", "ann@shop"), ("X-List", "aa"), ("X-List", "lost")], "a.test")
    assert got.field("X-User") == b"shop/ann at a.test"
    assert got.all("X-List") == [b"bb", b"c"], "as in v1 the first line is looked at, and the field is set"
    assert got.field("Host") == b"regex.test"
    assert got.field("X-Forwarded-Port") == b"80", (
        "`transparent` after two words and an expression is a preset"
    )


def test_expressions_rewrite_responses(stage: Stage) -> None:
    sent: Fields = [
        *(("Location", "http://internal:8000/next?x=1"), ("X-Gone", "away"), ("X-One", "abc")),
        *(("Set-Cookie", "a=1; Domain=in"), ("Set-Cookie", "b=2; Domain=in")),
    ]
    got = answered(stage, "/regex", sent)
    assert got.field("Location") == b"http://site.test/next?x=1"
    assert got.all("Set-Cookie") == [b"a=1; Domain=out", b"b=2; Domain=out"]
    assert got.field("X-One") == b"acc"
    assert got.field("X-Gone") is None


def test_rules_run_in_the_order_of_the_file(stage: Stage) -> None:
    got = asked(stage, "/order", [("X-A", "theirs"), ("X-Other", "theirs")])
    assert [
        name for name in got.names() if name.startswith(b"x-") and not name.startswith(b"x-forwarded")
    ] == [b"x-d"]
    assert got.field("X-D") == b"last"


def test_set_to_nothing_removes_and_add_adds_nothing(stage: Stage) -> None:
    got = asked(stage, "/nothing", [("X-Set", "forged"), ("X-Add", "own")])
    assert (got.all("X-Set"), got.all("X-Add")) == ([], [b"own"])
    answer = answered(stage, "/nothing", [("X-Set", "backend"), ("X-Add", "own")])
    assert (answer.all("X-Set"), answer.all("X-Add")) == ([], [b"own"])


def test_host(stage: Stage) -> None:
    """The backend's authority, unless a rule sets it; it can't be removed."""
    assert asked(stage, "/").field("Host") == stage.backend.address.encode()
    assert asked(stage, "/host").field("Host") == b"set.test:99"
    assert asked(stage, "/hostless").field("Host") == stage.backend.address.encode()
    assert asked(stage, "/hosts", host="Asked.Test:8080").field("Host") == b"Asked.Test:8080"


def test_names_and_order_stay_as_sent(stage: Stage) -> None:
    """Case, order, repetition, odd names and high bytes."""
    fields: Fields = [
        ("x-lower_case", "1"),
        ("ETAG", "2"),
        ("B", "3"),
        ("a", "4"),
        ("B", "5"),
        ("X-High", b"\xe4\xff"),
    ]
    wire = [(name.encode(), value.encode() if isinstance(value, str) else value) for name, value in fields]  # type: ignore[union-attr]
    got = asked(stage, "/", fields)
    assert [field for field in got.fields if field in wire] == wire
    answer = answered(stage, "/", fields)
    assert [field for field in answer.fields if field in wire] == wire


def test_downstream_rules(stage: Stage) -> None:
    fields: Fields = [("X-Set", "a"), ("X-Set", "b"), ("X-Add", "one"), ("X-Add", "two"), ("X-Remove", "x")]
    more: Fields = [("Server", "theirs"), ("X-Backend", "name"), ("Set-Cookie", "a=1"), *PRE]
    answer = answered(stage, "/down", [*fields, *more], [("X-Ask", "asked")])
    assert answer.all("X-Set") == [b"new"]
    assert answer.all("X-Add") == [b"one", b"two", b"three"]
    assert answer.all("Set-Cookie") == [b"b=2"]
    assert not answer.names() & {b"x-remove", b"x-pre-a", b"x-pre-b", b"server"}
    assert answer.field("X-Pre") == b"stays"
    assert answer.field("X-Seen") == b"200 name http://%b GET asked" % stage.backend.address.encode()


def test_the_backends_fields_pass(stage: Stage) -> None:
    """Its Server, its repeated cookies, its encoding; no type is guessed, nothing is compressed or decoded."""
    fields: Fields = [
        ("Server", "theirs"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("Content-Encoding", "gzip"),
    ]
    answer = answered(stage, "/", [*fields, ("Date", "Thu, 01 Jan 1970 00:00:00 GMT")])
    assert (answer.all("Server"), answer.all("Set-Cookie")) == ([b"theirs"], [b"a=1", b"b=2"])
    assert answer.all("Date") == [b"Thu, 01 Jan 1970 00:00:00 GMT"]
    assert answer.field("Content-Encoding") == b"gzip"
    assert not answer.names() & {b"content-type", b"via"}
    assert b"accept-encoding" not in stage.backend.requests[-1].names()


def test_a_missing_date_is_added(stage: Stage) -> None:
    date = answered(stage, "/", []).field("Date")
    assert date is not None
    assert re.fullmatch(rb"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", date)


def test_the_header_directive_wins(stage: Stage) -> None:
    fields: Fields = [("X-Set", "a"), ("X-Add", "one"), ("X-Remove", "x"), ("Cache-Control", "public"), *PRE]
    answer = answered(stage, "/site/deeper/x", [*fields, ("X-Backend", "name")])
    assert (answer.all("X-Set"), answer.all("X-Add")) == ([b"site"], [b"one", b"site"])
    assert answer.all("Cache-Control") == [b"no-store"]
    assert not answer.names() & {b"x-remove", b"x-pre-a", b"x-pre-b"}
    assert (answer.field("X-All"), answer.field("X-Deeper")) == (b"yes", b"yes")
    assert answer.field("X-Who") == b"site.test 200 name"


def test_the_header_directive_applies_by_path(stage: Stage) -> None:
    answer = answered(stage, "/other", [("X-Set", "a"), ("X-Remove", "x")])
    assert (answer.field("X-Set"), answer.field("X-Remove"), answer.field("X-All")) == (b"a", b"x", b"yes")
    assert b"x-deeper" not in answer.names()


def test_placeholders(stage: Stage) -> None:
    target = "/placeholders/d%C3%BCr/file.txt?q=a%20b&q=2&x"
    fields: Fields = [
        ("X-Ask", "one"),
        ("x-ask", "two"),
        ("Cookie", "a=b; session=s1"),
        ("Cookie", "session=s2"),
    ]
    with stage.client() as client:
        client.send(request("GET", target, fields, host="Www.Site.test:81"))
        assert client.read_response().status == 200
        port = client.local_port
    got = stage.backend.requests[-1]
    wanted: dict[str, bytes] = {
        "Method": b"GET",
        "Proto": b"HTTP/1.1",
        "Scheme": b"http",
        "Host": b"Www.Site.test:81",
        "Remote": b"127.0.0.1",
        "Client": b"127.0.0.1",
        "Port": b"%d" % port,
        "Server-Port": b"81",
        "Path": b"/placeholders/d\xc3\xbcr/file.txt",
        "Query": b"q=a%20b&q=2&x",
        "Uri": target.encode(),
        "Escaped": b"%2Fplaceholders%2Fd%25C3%25BCr%2Ffile.txt%3Fq%3Da%2520b%26q%3D2%26x",
        "File": b"/placeholders/d\xc3\xbcr/ file.txt",
        "Field": b"one,two one,two",
        "Cookie": b"s1",
        "Argument": b"a b",
        "Braces": b"{host} {unclosed",
        "Unknown": b"ab",
        "Upstream": b"http://" + stage.backend.address.encode(),
        "Attempts": b"1",
    }
    assert {name: got.field(f"P-{name}") for name in wanted} == wanted
    label = got.field("P-Label")
    assert label is not None and label.lower().startswith(b"www site test")
    hostonly, made = got.field("P-Hostonly"), got.field("P-Id")
    assert hostonly is not None and hostonly.lower() == b"www.site.test"
    assert made is not None and UUID(made.decode())


def test_rules_apply_to_our_own_answers(pair_of: Callable[[], Pair]) -> None:
    """`header` does, as it belongs to the site; the fields of our answers are ours."""
    pair = pair_of()
    pair.serve(site="http://:PORT {\n bind 127.0.0.1\n header / X-Site {status}\n proxy / DEAD\n}\n")
    answer = pair.get()
    assert (answer.status, answer.field("X-Site"), answer.field("Server")) == (502, b"502", b"Posthouse")


@pytest.fixture
def pair_of(start_posthouse: Callable[..., Posthouse], request: pytest.FixtureRequest) -> Callable[[], Pair]:
    def make() -> Pair:
        made = Pair(start_posthouse)
        request.addfinalizer(made.close)
        return made

    return make
