"""Host, targets and versions: one reading or none, and what is odd but allowed passes unchanged.

Rule 3 and topic 2.2 of the specification of reliability.
"""

from __future__ import annotations

import pytest

from kit import Stage, request
from kit.tables import SMUGGLED, named

VERSIONS = [
    b"HTTP/0.9",
    b"HTTP/1.2",
    b"HTTP/1.10",
    b"HTTP/1.01",
    b"HTTP/01.1",
    b"HTTP/1.",
    b"HTTP/.1",
    b"HTTP/1",
    b"HTTP/11",
    b"HTTP/2.0",
    b"HTTP/2",
    b"HTTP/3.0",
    b"HTTP/1,1",
    b"HTTP/1.1.",
    b"http/1.1",
    b"Http/1.1",
    b"HTTP /1.1",
    b"HTTP/ 1.1",
    b"HTTPS/1.1",
    b"HTTP/-1.1",
    b"HTTP/+1.1",
    b"HTTP/1.\xb9",
    b"ICY/1.1",
    b"",
]


@pytest.mark.parametrize("version", VERSIONS, ids=repr)
def test_version_must_be_1_0_or_1_1(stage: Stage, version: bytes) -> None:
    stage.assert_refused(b"GET / " + version + b"\r\nHost: site.test\r\n\r\n" + SMUGGLED, 400, 505)
    stage.assert_serves()


def test_http_0_9_is_refused(stage: Stage) -> None:
    stage.assert_refused(b"GET /\r\n\r\n")


def test_http_2_preface_is_refused(stage: Stage) -> None:
    stage.assert_refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), 400, 505)


# Host.

BAD_HOSTS = [
    b"a b",
    b"a\tb",
    b"a/b",
    b"a,b",
    b"a@b",
    b"user@site.test",
    b"a\\b",
    b"a?b",
    b"a#b",
    b"a<b",
    b'a"b',
    b"a^b",
    b"a|b",
    b"a{b}",
    b"site.test:http",
    b"site.test:80a",
    b"site.test:-1",
    b"site.test:+80",
    b"site.test:99999",
    b"site.test:80:80",
    b"::1",
    b"[::1",
    b"::1]",
    b"[::1]x",
    b"[]",
    b"[site.test]",
    b"a%zzb",
    b"a\x85b",
    b"http://site.test",
]


@pytest.mark.parametrize("host", BAD_HOSTS, ids=repr)
def test_invalid_host_is_refused(stage: Stage, host: bytes) -> None:
    stage.assert_refused(request("GET", "/", host=host) + SMUGGLED)


HOSTS = {
    "none": b"",
    "twice-equal": b"Host: site.test\r\nHost: site.test\r\n",
    "twice-odd-case": b"Host: site.test\r\nhost: site.test\r\n",
    "twice-differing": b"Host: site.test\r\nHost: other.test\r\n",
    "twice-apart": b"Host: site.test\r\nX-A: 1\r\nHOST: other.test\r\n",
    "twice-first-empty": b"Host:\r\nHost: site.test\r\n",
    "list": b"Host: site.test, other.test\r\n",
}


@pytest.mark.parametrize("fields", named(HOSTS))
def test_host_must_come_once(stage: Stage, fields: bytes) -> None:
    stage.assert_refused(b"GET / HTTP/1.1\r\n" + fields + b"\r\n" + SMUGGLED)
    stage.assert_serves()


@pytest.mark.parametrize("target", [b"http://site.test/", b"http://other.test/"])
@pytest.mark.parametrize("fields", [HOSTS["none"], HOSTS["twice-equal"]], ids=["none", "twice"])
def test_absolute_form_does_not_excuse_host(stage: Stage, target: bytes, fields: bytes) -> None:
    stage.assert_refused(b"GET " + target + b" HTTP/1.1\r\n" + fields + b"\r\n" + SMUGGLED)


GOOD_HOSTS = [
    b"site.test",
    b"SITE.Test",
    b"site.test.",
    b"site.test:80",
    b"site.test:65535",
    b"under_score.test",
    b"127.0.0.1:8080",
    b"[::1]",
    b"[::1]:8080",
    b"xn--bcher-kva.test",
    b"localhost",
]


@pytest.mark.parametrize("host", GOOD_HOSTS, ids=repr)
def test_valid_host_is_served(stage: Stage, host: bytes) -> None:
    assert stage.get("/", host=host).status == 200
    assert stage.backend.requests[0].field("X-Forwarded-Host") == host


# Targets.

BAD_TARGETS = [
    b"x",
    b"?a",
    b"#",
    b"*",
    b"/a#b",
    b"/a?b#c",
    b"/%",
    b"/%a",
    b"/%zz",
    b"/%0g",
    b"/a%",
    b"/%00",
    b"/a%00b",
    b"/%+1",
    b"http:",
    b"http:/",
    b"http://",
    b"http:///x",
    b"http://a b/",
    b"http://user@site.test/",
    b"http://user:pw@site.test/",
    b"http://site.test:99999/",
    b"http://site.test:x/",
    b"ftp://site.test/",
    b"javascript:alert(1)",
    b"site.test:80",
    b"\\a",
]


@pytest.mark.parametrize("target", BAD_TARGETS, ids=repr)
def test_target_is_refused(stage: Stage, target: bytes) -> None:
    stage.assert_refused(request("GET", target) + SMUGGLED)
    stage.assert_serves()


def test_connect_is_not_for_us(stage: Stage) -> None:
    stage.assert_refused(request("CONNECT", "site.test:443", host="site.test:443") + SMUGGLED, 405)
    stage.assert_refused(request("CONNECT", "/") + SMUGGLED, 405, 400)
    stage.assert_serves()


def test_options_star_is_never_forwarded(stage: Stage) -> None:
    with stage.client() as client:
        assert client.exchange(request("OPTIONS", "*")).status < 500
    assert stage.backend.requests == []


@pytest.mark.parametrize(
    ("target", "expected", "host"),
    [
        (b"http://other.test/x?y", b"/x?y", b"other.test"),
        (b"http://other.test", b"/", b"other.test"),
        (b"http://other.test?q", b"/?q", b"other.test"),
        (b"HTTP://other.test:81/x", b"/x", b"other.test:81"),
    ],
)
def test_absolute_form_becomes_origin_form(stage: Stage, target: bytes, expected: bytes, host: bytes) -> None:
    with stage.client() as client:
        assert client.exchange(request("GET", target, host="site.test")).status == 200
    [asked] = stage.backend.requests
    assert (asked.target, asked.field("X-Forwarded-Host")) == (expected, host)
    assert stage.backend.violations == []


# What is odd and allowed.


@pytest.mark.parametrize("method", ["get", "M-SEARCH", "PROPFIND", "X!#$%&'*+.^_`|~", "G" * 20])
def test_any_token_is_a_method(stage: Stage, method: str) -> None:
    assert stage.get("/m", method=method).status == 200
    assert stage.backend.requests[0].method == method.encode()


def test_one_empty_line_before_a_request_is_skipped(stage: Stage) -> None:
    with stage.client() as client:
        assert client.exchange(b"\r\n" + request("GET", "/1")).status == 200
        assert client.exchange(b"\r\n" + request("GET", "/2")).status == 200
    assert [asked.target for asked in stage.backend.requests] == [b"/1", b"/2"]


def test_case_and_order_of_fields_are_kept(stage: Stage) -> None:
    fields = [("x-LOWER_case", "1"), ("ETAG", "2"), ("a", "3"), ("X-Twice", "4"), ("B", ""), ("x-twice", "5")]
    assert stage.get("/", fields).status == 200
    wanted = [(name.encode(), value.encode()) for name, value in fields]
    assert [field for field in stage.backend.requests[0].fields if field in wanted] == wanted


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_pieces_of_any_size_read_the_same(stage: Stage, size: int) -> None:
    data = b"POST /x?y HTTP/1.1\r\nHost: site.test\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello"
    with stage.client() as client:
        client.send_pieces(data + request("GET", "/next"), size)
        assert client.read_response().status == 200
        assert client.read_response().status == 200
    first, second = stage.backend.requests
    assert (first.target, first.body, first.field("X-A")) == (b"/x?y", b"hello", b"b")
    assert second.target == b"/next"


def test_request_without_host_in_http_1_0(stage: Stage) -> None:
    """RFC 9112 3.2 asks 1.1 requests for a Host only; whatever is decided, the backend gets exactly one."""
    with stage.client() as client:
        assert client.exchange(request("GET", "/", host=None, version="HTTP/1.0")).status in (200, 400)
        assert client.end() == "fin"
    assert stage.backend.violations == []
