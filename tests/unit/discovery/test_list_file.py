"""Lists of backends: both forms, and where what is wrong with them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.config.specs import EndpointSpec
from posthouse.discovery.list_file import MOST_MEMBERS, BrokenList, parse_list
from posthouse.endpoints import parse_endpoints

COMMON = EndpointSpec("file:list", "http", "", 0, max_conns=7, role="fallback")


def read(text: str) -> list[tuple[str, int]]:
    return [(member.text, member.weight) for member in parse_list(text, "list", parse_endpoints, COMMON)]


LISTS = {
    "lines with comments": ("a:1 # x\n\t b:2  weight=3\r\n# c:3\n", [("http://a:1", 1), ("http://b:2", 3)]),
    "unix": ("unix:/run/a.sock\n", [("unix:/run/a.sock", 1)]),
    "range": ("a:1-3 weight=2\n", [("http://a:1", 2), ("http://a:2", 2), ("http://a:3", 2)]),
    "json": ('["a:1", {"to": "http://b:2/x", "weight": 3}]', [("http://a:1", 1), ("http://b:2/x", 3)]),
    "json, spread": ('\n [ "a:1"\n,\n{ "to":"b" } ]\n', [("http://a:1", 1), ("http://b", 1)]),
    "nothing, on purpose": ("[]", []),
}


@pytest.mark.parametrize(("text", "expected"), LISTS.values(), ids=LISTS.keys())
def test_lists(text: str, expected: list[tuple[str, int]]) -> None:
    assert read(text) == expected


NO_PORT = "`b:x` is not a backend's address: `x` is not a port: a number from 1 to 65535 is expected"
MISTAKES = {
    "": "list:1:1: there is no backend in it; a list that is meant to be empty is `[]`",
    "# a:1\n": "list:1:1: there is no backend in it; a list that is meant to be empty is `[]`",
    "a:1\n  b:x\n": f"list:2:3: {NO_PORT}",
    "a:1 b:2\n": "list:1:5: expected a TO and perhaps `weight=N` on a line, found `b:2`",
    "a:1 weight=0\n": "list:1:5: expected a weight from 1 to 1000, found 0",
    "a:1 weight=1001\n": "list:1:5: expected a weight from 1 to 1000, found 1001",
    "a:1 weight=x\n": 'list:1:5: expected a weight from 1 to 1000, found "x"',
    "srv://a\n": "list:1:1: `srv://` is not a scheme that backends are reached by",
    "http://u:secret@a\n": "list:1:1: credentials are not taken from a list: write `header_upstream Authorization …`",
    '["a:1",\n "b:1"': "list:2:7: not JSON: Expecting ',' delimiter",
    '["a:1",\n  "b:x"]': f"list:2:3: {NO_PORT}",
    '["a", 7]': "list:1:7: expected a TO or an object with `to`, found 7",
    '[{"weight": 1}]': "list:1:2: the `to` of an entry is missing, or is no text",
    '[{"to": "a", "wieght": 1}]': "list:1:2: an entry has no `wieght`; there are `to` and `weight`",
    '[{"to": "a", "weight": true}]': "list:1:2: expected a weight from 1 to 1000, found true",
    '[{"to": "a", "weight": 1.5}]': "list:1:2: expected a weight from 1 to 1000, found 1.5",
    "[" * 100_000: "list:1:1: not JSON: maximum recursion depth exceeded",
}


@pytest.mark.parametrize(("text", "message"), MISTAKES.items(), ids=[text[:20] for text in MISTAKES])
def test_a_broken_list_says_where(text: str, message: str) -> None:
    with pytest.raises(BrokenList) as raised:
        read(text)
    assert str(raised.value).startswith(message)
    assert "secret" not in str(raised.value)


def test_an_address_in_brackets_is_no_json() -> None:
    assert read("[::1]:80\n[::2]:81 weight=2\n") == [("http://[::1]:80", 1), ("http://[::2]:81", 2)]


def test_the_length_of_a_list() -> None:
    text = "\n".join(f"h{number}:1" for number in range(MOST_MEMBERS))
    assert len(read(text)) == MOST_MEMBERS
    with pytest.raises(
        BrokenList, match=f"list:{MOST_MEMBERS + 1}:1: a list has at most {MOST_MEMBERS} backends"
    ):
        read(text + "\nx:1\n")


@given(st.lists(st.tuples(st.sampled_from(["a:1", "b", "c:3"]), st.integers(1, 1000))))
def test_both_forms_mean_the_same(entries: list[tuple[str, int]]) -> None:
    objects = json.dumps([{"to": to, "weight": weight} for to, weight in entries], indent=1)
    lines = "".join(f"{to} weight={weight}\n" for to, weight in entries)
    assert read(objects) == read(lines or "[]")


@given(st.text(alphabet='ab:1[]{}",#= \n'))
def test_any_text_is_a_list_or_broken(text: str) -> None:
    try:
        read(text)
    except BrokenList as broken:
        assert 1 <= broken.place.line <= text.count("\n") + 1


def test_members_are_what_their_line_says() -> None:
    (member,) = parse_list("a:1 weight=3", "list", parse_endpoints, COMMON)
    assert (member.max_conns, member.role, member.weight) == (7, "fallback", 3)
