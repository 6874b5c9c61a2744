from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from posthouse.files.ranges import MOST_RANGES, Part, joined, parse_ranges


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        (b"bytes=0-9", [(0, 10)]),
        (b"bytes=0-0", [(0, 1)]),
        (b"bytes=90-", [(90, 100)]),
        (b"bytes=-10", [(90, 100)]),
        (b"bytes=-200", [(0, 100)]),
        (b"bytes=95-200", [(95, 100)]),
        (b"BYTES = 0-1", [(0, 2)]),
        (b"bytes=0-1,5-6", [(0, 2), (5, 7)]),
        (b"bytes= 5-6 ,\t0-1", [(5, 7), (0, 2)]),
        (b"bytes=0-1,,5-6,", [(0, 2), (5, 7)]),
        (b"bytes=0-1,200-", [(0, 2)]),
        (b"bytes=100-", []),
        (b"bytes=-0", []),
        (b"bytes=200-300,-0", []),
        (b"bytes=999999999999999999-", []),
    ],
)
def test_parts(value: bytes, parts: list[Part]) -> None:
    assert parse_ranges(value, 100) == parts


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"bytes",
        b"bytes=",
        b"bytes=,",
        b"bytes=-",
        b"bytes=5-4",
        b"bytes=0-1,5-4",
        b"bytes=a-b",
        b"bytes=0x1-2",
        b"bytes=+1-2",
        b"bytes=1_0-20",
        b"bytes=--1",
        b"bytes=1-2-3",
        b"bytes=1 - 2",
        b"bytes=9999999999999999999-",
        b"bytes=0-1;2-3",
        b"bytes=0-1,bytes=2-3",
        b"lines=0-1",
        "bytes=٠-١".encode(),
    ],
)
def test_what_is_no_range_is_ignored(value: bytes) -> None:
    assert parse_ranges(value, 100) is None


def test_of_an_empty_file_all_is_sent() -> None:
    assert parse_ranges(b"bytes=0-", 0) is None


def test_too_many_parts() -> None:
    spec = [b"%d-%d" % (at, at) for at in range(0, 200, 2)]
    assert parse_ranges(b"bytes=" + b",".join(spec[:MOST_RANGES]), 1000) is not None
    assert parse_ranges(b"bytes=" + b",".join(spec[: MOST_RANGES + 1]), 1000) is None


def test_parts_that_overlap_or_touch_are_one() -> None:
    assert parse_ranges(b"bytes=0-,0-,0-", 100) == [(0, 100)]
    assert parse_ranges(b"bytes=50-59,0-9,55-69,10-19", 100) == [(50, 70), (0, 20)]
    assert parse_ranges(b"bytes=0-9,11-20", 100) == [(0, 10), (11, 21)]
    assert parse_ranges(b"bytes=0-9,20-29,5-25", 100) == [(0, 30)]


parts_of_100 = st.lists(st.tuples(st.integers(0, 99), st.integers(1, 40)), max_size=MOST_RANGES)


@given(parts_of_100)
@example([(0, 10), (20, 10), (5, 20)])
def test_joining_loses_and_repeats_nothing(starts: list[tuple[int, int]]) -> None:
    parts = [(start, min(100, start + size)) for start, size in starts]
    found = joined(parts)
    wanted = {place for start, stop in parts for place in range(start, stop)}
    sent = [place for start, stop in found for place in range(start, stop)]
    assert sorted(sent) == sorted(wanted)


@given(
    st.binary(max_size=60) | st.from_regex(rb"bytes=([0-9]{0,3}-[0-9]{0,3},?){1,6}", fullmatch=True),
    st.integers(0, 500),
)
def test_whatever_is_asked_for_lies_within(value: bytes, length: int) -> None:
    found = parse_ranges(value, length)
    assert all(0 <= start < stop <= length for start, stop in found or ())
    assert sum(stop - start for start, stop in found or ()) <= length
