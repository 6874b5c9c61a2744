"""Targets as v1's own tests have them, and what nobody can make of them."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.config.step_specs import ConditionSpec, ConditionsSpec, RewriteSpec
from posthouse.protocol.h1 import TARGET_BYTES
from posthouse.proxy.answer import Answer
from posthouse.proxy.site import path_key
from posthouse.steps.rewrite import Rewrite, Rule
from unit.steps.fake_visit import TARGETS, FakeVisit


def step(*specs: RewriteSpec, files: Collection[str] = ()) -> Rewrite:
    return Rewrite([Rule(spec, path_key(spec.base, TARGETS)) for spec in specs], lambda path: path in files)


def simple(pattern: str, *to: str, is_negated: bool = False) -> RewriteSpec:
    return RewriteSpec(to, pattern=pattern, is_negated=is_negated)


V1 = step(
    simple("^/from$", "/to"),
    simple("^/a$", "/b"),
    simple("^/b$", "/b{uri}"),
    simple("^/simplereggrp/([0-9]+)([a-z]*)$", "/{1}/{2}/{query}"),
    RewriteSpec(("/to",), "/reg/", ".*"),
    RewriteSpec(("/toaz",), "/r/", "[a-z]+", extensions=("!.html",)),
    RewriteSpec(("/to/{path}",), "/path/", "[a-z0-9]"),
    RewriteSpec(("/to/{rewrite_path}",), "/url/", "a([a-z0-9]*)s([A-Z]{2})"),
    RewriteSpec(("/ab?{query}",), "/ab/", "ab", extensions=(".txt",)),
    RewriteSpec(("/ab?type=html&{query}",), "/ab/", "ab", extensions=(".html",)),
    RewriteSpec(("/abc/{file}",), "/abc/", "ab", extensions=(".html",)),
    RewriteSpec(("/a/{dir}/{file}",), "/abcd/", "ab", extensions=(".html",)),
    RewriteSpec(("/ajpg",), "/ab/", r".*\.jpg"),
    RewriteSpec(("/a{1}/{2}",), "/reggrp", "/ad/([0-9]+)([a-z]*)"),
    RewriteSpec(("/{1}",), "/reg2grp", "(.*)"),
    RewriteSpec(("/{1}{2}{3}",), "/reg3grp", "(.*)/(.*)/(.*)"),
    RewriteSpec(("/{1}",), "/hashtest", "(.*)"),
)


@pytest.mark.parametrize(
    ("came", "goes"),
    [
        ("/from", "/to"),
        ("/a", "/b"),
        ("/b", "/b/b"),
        ("/aa", None),
        ("/a?foo=bar", "/b?foo=bar"),
        ("/reg/foo", "/to"),
        ("/r/", None),
        ("/r/a123", "/toaz"),
        ("/r/z.html", None),
        ("/r/z.js", "/toaz"),
        ("/path/a1b2c", "/to/path/a1b2c"),
        ("/url/asAB", "/to/url/asAB"),
        ("/url/aBsAB", None),
        ("/ab/aa", None),
        ("/ab/ab.txt", "/ab"),
        ("/ab/ab.txt?name=name", "/ab?name=name"),
        ("/ab/ab.html?name=name", "/ab?type=html&name=name"),
        ("/abc/ab.html", "/abc/ab.html"),
        ("/abcd/abcd.html", "/a/abcd/abcd.html"),
        ("/ab/ab.jpg", "/ajpg"),
        ("/reggrp/ad/124abc", "/a124/abc"),
        ("/reg2grp/ad/124abc", "/ad/124abc"),
        ("/reg3grp/ad612/n1n/ab", "/ad612n1nab"),
        ("/hashtest/a%20%23%20test", "/a%20%23%20test"),
        ("/hashtest/a%20%3F%23test", "/a%20%3F%23test"),
        ("/simplereggrp/123abc?q", "/123/abc/q?q"),
    ],
)
def test_what_v1_makes_of_it(came: str, goes: str | None) -> None:
    visit = FakeVisit(came)
    assert V1.act(visit) is None
    assert visit.moved == ([] if goes is None else [goes.encode()])


def moved(step: Rewrite, came: str, **fields: str) -> bytes | Answer | None:
    visit = FakeVisit(came, fields)
    answer = step.act(visit)
    return answer if answer is not None else (visit.moved[0] if visit.moved else None)


def test_not_takes_what_the_expression_does_not_match() -> None:
    made = step(simple("^/(static|api)", "/index.html", is_negated=True))
    assert moved(made, "/x") == b"/index.html"
    assert moved(made, "/static/x") is None


def test_the_longest_base_that_matches_acts_alone() -> None:
    made = step(
        simple(".*", "/first"),
        simple(".*", "/second"),
        RewriteSpec(("/app",), "/app"),
        RewriteSpec(("/in",), "/APP/in"),
    )
    assert moved(made, "/x") == b"/first"
    assert moved(made, "/App/x") == b"/app"
    assert moved(made, "/app/IN") == b"/in"


def test_conditions_decide_too() -> None:
    is_mobile = ConditionsSpec((ConditionSpec("{>User-Agent}", "has", "mobile"),))
    made = step(RewriteSpec(("/m{path}",), conditions=is_mobile))
    assert moved(made, "/x", **{"User-Agent": "a mobile one"}) == b"/m/x"
    assert moved(made, "/x", **{"User-Agent": "another"}) is None


def test_the_first_that_exists_else_the_last() -> None:
    made = step(
        simple(".*", "{path}", "{path}/", "/maintenance.html?m", "/index.php?p={path}"),
        files=("/a b", "/folder/"),
    )
    assert moved(made, "/a%20b?q") == b"/a%20b?q"
    assert moved(made, "/folder?q") == b"/folder/?q"
    assert moved(made, "/none?q") == b"/index.php?p=/none"


def test_a_query_belongs_to_its_own_destination() -> None:
    """In v1 that of a destination that does not exist stuck."""
    assert moved(step(simple(".*", "/a?x", "/b")), "/p?q") == b"/b?q"


@pytest.mark.parametrize(
    ("extensions", "taken"),
    [
        ((".php",), ["/x.php", "/a.b/x.php", "/x.php/"]),
        (("/",), ["/", "/x", "/a.b/x"]),
        (("!.php",), ["/", "/x", "/x.txt", "/a.b/x"]),
        (("!.php", "!.txt"), ["/", "/x", "/a.b/x"]),
        (("/", ".txt"), ["/", "/x", "/x.txt", "/a.b/x"]),
    ],
)
def test_extensions(extensions: tuple[str, ...], taken: list[str]) -> None:
    made = step(RewriteSpec(("/to",), extensions=extensions))
    paths = ["/", "/x", "/x.php", "/x.txt", "/a.b/x", "/a.b/x.php", "/x.php/"]
    assert [path for path in paths if moved(made, path)] == [path for path in paths if path in taken]


@pytest.mark.parametrize(
    ("pattern", "to", "came", "goes"),
    [
        # Decoded once: v1 decoded the destination a second time.
        ("(.*)", "/x{1}", "/a%2541", b"/x/a%2541"),
        ("(.*)", "/x?p={1}", "/a%26admin=1", b"/x?p=/a%26admin%3D1"),
        ("(.*)", "/x?p={1}", "/a%3Fb%23c", b"/x?p=/a%3Fb%23c"),
        ("(?s)(.*)", "/x{1}", "/a%0D%0Ab", b"/x/a%0D%0Ab"),
        ("(.*)", "x", "/a", b"/x"),
        ("(.*)", "/x/", "/a", b"/x/"),
        ("^/old/(.*)", "/{1}", "/old//a", b"/a"),
        ("(.*)", "/%41{1}", "/b", b"/%41/b"),
    ],
)
def test_values_stay_values(pattern: str, to: str, came: str, goes: bytes) -> None:
    assert moved(step(simple(pattern, to)), came) == goes


@pytest.mark.parametrize("value", ["..", "../admin", "a/../../b", "."])
def test_a_value_that_climbs_is_refused(value: str) -> None:
    answer = moved(step(simple(".*", "/users/{>X-User}")), "/", **{"X-User": value})
    assert isinstance(answer, Answer) and answer.status == 400


def test_so_is_a_group_of_which_dots_are_made() -> None:
    answer = moved(step(simple("^/files/x(.*)", "/public/{1}/a")), "/files/x..")
    assert isinstance(answer, Answer) and answer.status == 400
    assert moved(step(simple("^/files/x(.*)", "/public/{1}/a")), "/files/x...") == b"/public/.../a"


def test_a_target_is_no_longer_than_what_a_client_may_send() -> None:
    made = step(simple(".*", "/{>X-A}"))
    assert moved(made, "/", **{"X-A": "a" * (TARGET_BYTES - 1)}) == b"/" + b"a" * (TARGET_BYTES - 1)
    answer = moved(made, "/", **{"X-A": "a" * TARGET_BYTES})
    assert isinstance(answer, Answer) and answer.status == 400


def test_a_destination_that_climbs_is_not_looked_up() -> None:
    asked: list[str] = []

    def exists(path: str) -> bool:
        asked.append(path)
        return True

    made = Rewrite([Rule(simple(".*", "/u/{>X-User}", "/index"), "/")], exists)
    assert moved(made, "/", **{"X-User": "../../etc/passwd"}) == b"/index"
    assert moved(made, "/", **{"X-User": "ann"}) == b"/u/ann"
    assert asked == ["/u/ann"]


VALUES = st.text(st.sampled_from("/.%2eaE?#&= \r\n\\:;é\x00"), max_size=12)


@given(VALUES, VALUES)
def test_whatever_comes_goes_below_the_destination_or_nowhere(value: str, name: str) -> None:
    made = step(simple("^/in/(.*)", "/base/{1}/{>X-A}/{?n}?keep=1"))
    visit = FakeVisit("/")
    visit.fields = {b"x-a": value.encode()}
    visit.path = "/in/" + name.replace("\x00", "")
    visit.key = visit.path.lower()
    answer = made.act(visit)
    if answer is not None:
        assert answer.status == 400 and visit.moved == []
    else:
        (target,) = visit.moved
        assert target.endswith(b"?keep=1") and target.count(b"?") == 1
        assert target.startswith(b"/base/")
        assert not {b".", b".."} & set(unquote_to_bytes(target.partition(b"?")[0]).split(b"/"))
        assert TARGETS.judge(target).key.startswith("/base/")
