from __future__ import annotations

import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.config.step_specs import ConditionSpec, ConditionsSpec, RedirectSpec
from posthouse.proxy.answer import Answer
from posthouse.steps.redir import Redirects, Rule
from unit.steps.fake_visit import FakeVisit


def ask(visit: FakeVisit, *specs: RedirectSpec) -> Answer | None:
    return Redirects([Rule(spec) for spec in specs]).act(visit)


def location(to: str, target: str = "/a", source: str = "/", **fields: str) -> str:
    answer = ask(FakeVisit(target, fields), RedirectSpec(source, to))
    assert answer is not None and answer.status == 301
    (found,) = [field.value for field in answer.fields if field.name == b"Location"]
    return found.decode()


def test_from_is_one_path_and_a_slash_is_all() -> None:
    rules = RedirectSpec("/old", "/new", 307), RedirectSpec("/a b", "/c"), RedirectSpec("/", "/rest", 302)
    statuses = {}
    for target in ("/old", "/old?q", "//old", "/x/../old", "/Old", "/old/", "/a%20b"):
        answer = ask(FakeVisit(target), *rules)
        statuses[target] = answer and answer.status
    assert statuses == {
        "/old": 307, "/old?q": 307, "//old": 307, "/x/../old": 307, "/Old": 302, "/old/": 302, "/a%20b": 301,
    }  # fmt: skip
    assert ask(FakeVisit("/other"), *rules[:2]) is None


def test_the_first_of_the_file_that_applies() -> None:
    secure = ConditionsSpec((ConditionSpec("{>X-Forwarded-Proto}", "is", "http"),))
    rules = RedirectSpec("/", "https://{host}{uri}", 308, conditions=secure), RedirectSpec("/a", "/b")
    for proto, status in (("http", 308), ("https", 301)):
        answer = ask(FakeVisit("/a", {"X-Forwarded-Proto": proto}), *rules)
        assert answer is not None and answer.status == status


@pytest.mark.parametrize(
    ("to", "target", "expected"),
    [
        ("https://new.test{uri}", "/a%20b?x=1", "https://new.test/a%20b?x=1"),
        ("{scheme}://www.{host}{uri}", "/a", "http://www.x.test/a"),
        ("https://new.test{path}", "/a%3Fb%2541", "https://new.test/a%3Fb%2541"),
        ("/new{uri}", "/a?b", "/new/a?b"),
        ("/ü b", "/a", "/%C3%BC%20b"),
        ("//cdn.test{uri}", "/a", "//cdn.test/a"),
        ("other", "/dir/a", "./other"),
        ("{file}.html", "/dir/a:b", "./a:b.html"),
        ("{?to}", "/go?to=https://x.test/?y=z%26w", "https://x.test/?y=z&w"),
        ("https://s.test/?q={?q}", "/go?q=a%26b", "https://s.test/?q=a%26b"),
    ],
)
def test_where_to(to: str, target: str, expected: str) -> None:
    assert location(to, target) == expected


@pytest.mark.parametrize(
    ("to", "target"),
    [
        ("{path}", "//evil.test/x"),
        ("{path}/", "///evil.test"),
        ("{uri}", "//evil.test/x?y"),
        ("{uri}", "/\\evil.test"),
        ("{path}", "/%5Cevil.test"),
        ("{path}", "/%2Fevil.test"),
        ("{uri}", "/x/..//evil.test"),
        ("{uri}", "/.//evil.test"),
        ("{dir}", "//evil.test/"),
        ("/{?to}", "/x?to=/evil.test"),
        ("/{?to}", "/x?to=%5Cevil.test"),
        ("/{?to}", "/x?to=%09/evil.test"),
        ("{rewrite_uri}", "//evil.test/x"),
        ("{file}", "/javascript:alert(1)"),
    ],
)
def test_a_path_of_this_site_stays_on_this_host(to: str, target: str) -> None:
    """Browsers read `//host` and `/\\host` as another host."""
    assert re.match(r"/(?![/\\])|\./", location(to, target))


def test_a_value_brings_no_line_of_its_own() -> None:
    made = location("https://new.test/{>X-A}{path}", "/a%0D%0ASet-Cookie:%20x", **{"X-A": "b\r\nc"})
    assert made == "https://new.test/b%0D%0Ac/a%0D%0ASet-Cookie:%20x"


def test_nothing_to_go_to() -> None:
    answer = ask(FakeVisit("/go"), RedirectSpec("/", "{?to}"))
    assert answer is not None and answer.status == 400


def test_the_page_says_where_to() -> None:
    answer = ask(FakeVisit("/a?\"'<b>&c"), RedirectSpec("/", "/new{uri}"))
    assert answer is not None and isinstance(answer.body, bytes)
    assert b'<a href="/new/a?%22&#x27;%3Cb%3E&amp;c">301 Moved Permanently</a>' in answer.body


def test_a_page_that_redirects() -> None:
    answer = ask(FakeVisit("/a?'\"<script>&x"), RedirectSpec("/", "/new{uri}", is_meta=True))
    assert answer is not None and isinstance(answer.body, bytes)
    assert (answer.status, [field.name for field in answer.fields]) == (200, [b"Content-Type"])
    assert b"content=\"0; url='/new/a?%27%22%3Cscript%3E&amp;x'\"" in answer.body


@given(
    st.sampled_from(
        ["{>X-A}", "/{>X-A}", "https://h.test/{>X-A}", "{path}", "{uri}{>X-A}", "x{>X-A}", "//{>X-A}/"]
    ),
    st.binary(max_size=20),
    st.booleans(),
)
def test_whatever_the_request_holds(to: str, value: bytes, is_meta: bool) -> None:
    visit = FakeVisit("/p%0A'%22/<>?q")
    visit.fields = {b"x-a": value}
    answer = ask(visit, RedirectSpec("/", to, is_meta=is_meta))
    assert answer is not None and isinstance(answer.body, bytes | None)
    if answer.status == 400:
        assert to == "{>X-A}" and not value
        return
    assert isinstance(answer.body, bytes)
    (link,) = re.findall(rb'<a href="([^"]*)">', answer.body)
    if is_meta:
        (refresh,) = re.findall(rb"content=\"0; url='([^'\"]*)'\"", answer.body)
        assert refresh == link
    else:
        (found,) = [field.value for field in answer.fields if field.name == b"Location"]
        assert re.fullmatch(rb"[\x21-\x7e]+", found)
        assert unescape(link.decode()) == found.decode()
