"""Whatever the request holds, what a template makes of it has the structure that the Caddyfile gave it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.steps.url_template import UrlTemplate, legal
from unit.steps.fake_visit import FakeVisit

VISIT = FakeVisit(
    "/a%20b/%3Fc;d?x=1&y=%26&z=/p",
    {"X-Name": "q?r#s&t=u/v", "X-Host": "other.test:81", "X-Crlf": "a\rb\n\tc", "X-Percent": "50%"},
    host="site.test:8080",
)


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("/plain", "/plain"),
        ("/with%20escape?a=b&c", "/with%20escape?a=b&c"),
        ('/ü "<>\\^`|', "/%C3%BC%20%22%3C%3E%5C%5E%60%7C"),
        (r"/\{literal\}", "/%7Bliteral%7D"),
        ("{half\\}", "%7Bhalf%7D"),
        ("/x{path}", "/x/a%20b/%3Fc;d"),
        ("/x{rewrite_path}", "/x/a%20b/%3Fc;d"),
        ("{dir}i", "/a%20b/i"),
        ("/{file}", "/%3Fc;d"),
        ("/x{uri}", "/x/a%20b/%3Fc;d?x=1&y=%26&z=/p"),
        ("/x?from={uri}", "/x?from=/a%20b/%3Fc;d?x=1&y=%26&z=/p"),
        ("/x?from={uri_escaped}", "/x?from=%2Fa%2520b%2F%253Fc%3Bd%3Fx%3D1%26y%3D%2526%26z%3D%2Fp"),
        ("/x?{query}", "/x?x=1&y=%26&z=/p"),
        ("/x?p={path}", "/x?p=/a%20b/%3Fc;d"),
        ("/x?p={?y}", "/x?p=%26"),
        ("/{?y}", "/&"),
        ("/x/{>X-Name}", "/x/q%3Fr%23s&t=u/v"),
        ("/x?p={>X-Name}", "/x?p=q%3Fr%23s%26t%3Du/v"),
        ("/x/{>X-Percent}", "/x/50%25"),
        ("/x/{>X-Crlf}", "/x/a%0Db%0A%09c"),
        ("/x/{>X-None}/y", "/x//y"),
        ("/{1}/{2}/{3}{0}", "/o%3Fne/two/o%3Fnetwo"),
        ("/x?{1}", "/x?o%3Fne"),
        ("/{query}", "/x=1&y=%26&z=/p"),
    ],
)
def test_in_a_path(text: str, made: str) -> None:
    groups = (b"o?netwo", b"o?ne", b"two")
    assert UrlTemplate(text, is_path=True).expand(VISIT, groups) == made.encode()


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("https://new.test{uri}", "https://new.test/a%20b/%3Fc;d?x=1&y=%26&z=/p"),
        ("{scheme}://www.{host}{path}", "http://www.site.test:8080/a%20b/%3Fc;d"),
        ("https://{>X-Host}/in?p={>X-Name}", "https://other.test:81/in?p=q%3Fr%23s%26t%3Du/v"),
        ("//cdn.test/{>X-Name}", "//cdn.test/q%3Fr%23s&t=u/v"),
        ("https://new.test?p={>X-Name}", "https://new.test?p=q%3Fr%23s%26t%3Du/v"),
        ("{>X-Name}", "q?r#s&t=u/v"),
        ("{>X-Crlf}", "a%0Db%0A%09c"),
    ],
)
def test_in_a_whole_url(text: str, made: str) -> None:
    assert UrlTemplate(text, is_path=False).expand(VISIT) == made.encode()


@pytest.mark.parametrize("name", ["path", "rewrite_path", "uri", "rewrite_uri", "dir"])
def test_dot_segments_of_the_request_end_within_their_value(name: str) -> None:
    visit = FakeVisit("/../a/./%2e%2e/b/")
    assert UrlTemplate(f"/base{{{name}}}", is_path=True).expand(visit) == b"/base/b/"


def test_a_query_in_a_path_is_one_segment() -> None:
    visit = FakeVisit("/?a?b%zz")
    assert UrlTemplate("/x/{query}", is_path=True).expand(visit) == b"/x/a%3Fb%25zz"


ANY_BYTES = st.binary(max_size=20)
TEXTS = st.lists(
    st.sampled_from(
        [
            "/",
            "/x",
            "?",
            "&",
            "https://h",
            "{>X-A}",
            "{>X-B}",
            "{1}",
            "{path}",
            "{uri}",
            "{query}",
            "{?q}",
            "{~c}",
            "ü",
        ]
    ),
    max_size=6,
).map("".join)


@given(TEXTS, st.booleans(), ANY_BYTES, ANY_BYTES, ANY_BYTES)
def test_the_result_is_printable_ascii_without_blanks(
    text: str, is_path: bool, first: bytes, second: bytes, group: bytes
) -> None:
    visit = FakeVisit("/p%0D%0A%20x/?q=%0A&r")
    visit.fields = {b"x-a": first, b"x-b": second, b"cookie": b"c=" + first}
    made = UrlTemplate(text, is_path=is_path).expand(visit, (b"", group))
    assert re.fullmatch(rb"[\x21-\x7e]*", made)


@given(ANY_BYTES)
def test_a_value_adds_no_structure(value: bytes) -> None:
    visit = FakeVisit("/p")
    visit.fields = {b"x-a": value}
    path = UrlTemplate("/a/{>X-A}?b=c", is_path=True).expand(visit)
    assert path.count(b"?") == 1 and b"#" not in path and path.endswith(b"?b=c")
    query = UrlTemplate("/a?b={1}&c=d", is_path=True).expand(visit, (b"", value))
    assert (query.count(b"?"), query.count(b"&"), query.count(b"="), query.count(b"#")) == (1, 1, 2, 0)


def test_every_byte_that_no_url_holds_is_encoded() -> None:
    kept = bytes(byte for byte in range(256) if legal(bytes([byte])) == bytes([byte]))
    assert kept == b"!#$%&'()*+,-./0123456789:;=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]_abcdefghijklmnopqrstuvwxyz~"
