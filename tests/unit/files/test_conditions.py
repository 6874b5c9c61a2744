"""Conditions of RFC 9110 13, each alone and in their order."""

from __future__ import annotations

import pytest

from posthouse.files.conditions import NO_DATE, judge, may_range
from unit.files.asking import ask_head

TAG = b'"a-1"'
THEN = 784111777
AT = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = "Mon, 07 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([], 0),
        (['If-None-Match: "a-1"'], 304),
        (['If-None-Match: W/"a-1"'], 304),
        (['If-None-Match: "b", W/"a-1" , "c"'], 304),
        (['If-None-Match: "b"', 'If-None-Match: "a-1"'], 304),
        (["If-None-Match: *"], 304),
        (['If-None-Match: "a"'], 0),
        (["If-None-Match: a-1"], 0),
        (['If-None-Match: "a-1'], 0),
        (["If-None-Match:"], 0),
        ([f"If-Modified-Since: {AT}"], 304),
        ([f"If-Modified-Since: {AFTER}"], 304),
        ([f"If-Modified-Since: {BEFORE}"], 0),
        (["If-Modified-Since: yesterday"], 0),
        ([f"If-Modified-Since: {AT}", f"If-Modified-Since: {AT}"], 0),
        (['If-Match: "a-1"'], 0),
        (['If-Match: "b", "a-1"'], 0),
        (["If-Match: *"], 0),
        (['If-Match: W/"a-1"'], 412),
        (['If-Match: "b"'], 412),
        (["If-Match:"], 412),
        ([f"If-Unmodified-Since: {AT}"], 0),
        ([f"If-Unmodified-Since: {AFTER}"], 0),
        ([f"If-Unmodified-Since: {BEFORE}"], 412),
        (["If-Unmodified-Since: never"], 0),
    ],
)
def test_one_condition(lines: list[str], status: int) -> None:
    assert judge(ask_head("/", *lines).fields, TAG, THEN) == status


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (['If-Match: "a-1"', f"If-Unmodified-Since: {BEFORE}"], 0),
        (['If-Match: "b"', 'If-None-Match: "a-1"'], 412),
        (['If-Match: "a-1"', 'If-None-Match: "a-1"'], 304),
        (['If-None-Match: "b"', f"If-Modified-Since: {AFTER}"], 0),
        ([f"If-Unmodified-Since: {BEFORE}", f"If-Modified-Since: {AFTER}"], 412),
        ([f"If-Unmodified-Since: {AT}", f"If-Modified-Since: {AT}"], 304),
    ],
)
def test_the_order(lines: list[str], status: int) -> None:
    """A tag says more than a date, and what forbids comes before what spares (RFC 9110 13.2.2)."""
    assert judge(ask_head("/", *lines).fields, TAG, THEN) == status


def test_without_a_date_only_tags_are_compared() -> None:
    dates = [f"If-Modified-Since: {AFTER}", f"If-Unmodified-Since: {BEFORE}"]
    assert judge(ask_head("/", *dates).fields, TAG, NO_DATE) == 0
    assert judge(ask_head("/", 'If-None-Match: "a-1"').fields, TAG, NO_DATE) == 304


@pytest.mark.parametrize(
    ("line", "is_allowed"),
    [
        ("X: y", True),
        ('If-Range: "a-1"', True),
        ('If-Range: W/"a-1"', False),
        ('If-Range: "b"', False),
        (f"If-Range: {AT}", True),
        (f"If-Range: {AFTER}", False),
        (f"If-Range: {BEFORE}", False),
        ("If-Range: nonsense", False),
        ("If-Range:", False),
    ],
)
def test_if_range(line: str, is_allowed: bool) -> None:
    assert may_range(ask_head("/", line).fields, TAG, THEN, THEN + 1) == is_allowed


def test_a_date_of_this_second_may_name_two_versions() -> None:
    fields = ask_head("/", f"If-Range: {AT}").fields
    assert not may_range(fields, TAG, THEN, THEN)
    assert not may_range(fields, TAG, NO_DATE, THEN + 1)


def test_a_long_list_of_tags_takes_no_time() -> None:
    value = '"b",W/' * 3000 + '"'
    assert judge(ask_head("/", f"If-None-Match: {value}").fields, TAG, THEN) == 0
