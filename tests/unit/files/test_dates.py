from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.files.dates import LAST_SECOND, last_modified, parse_date


@pytest.mark.parametrize(
    "text",
    [b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994"],
)
def test_the_three_forms(text: bytes) -> None:
    assert parse_date(text) == 784111777


@pytest.mark.parametrize(
    ("text", "second"),
    [
        (b"Thursday, 01-Jan-70 00:00:00 GMT", 0),
        (b"Friday, 31-Dec-69 00:00:00 GMT", 3155673600),
        (b"Tue, 29 Feb 2000 00:00:00 GMT", 951782400),
        (b"Tue, 30 Jun 2015 23:59:60 GMT", 1435708800),
    ],
)
def test_centuries_and_leaps(text: bytes, second: int) -> None:
    assert parse_date(text) == second


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"0",
        b"784111777",
        b"06 Nov 1994 08:49:37 GMT",
        b"Sun, 6 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 08:49:37 UTC",
        b"Sun, 06 Nov 1994 08:49:37 GMT ",
        b"Sun, 06 nov 1994 08:49:37 GMT",
        b"Sun, 31 Nov 1994 08:49:37 GMT",
        b"Sun, 29 Feb 1900 08:49:37 GMT",
        b"Sun, 00 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 24:00:00 GMT",
        b"Sun, 06 Nov 1994 08:60:00 GMT",
        b"Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov ١٩٩٤ 08:49:37 GMT".encode(),
    ],
)
def test_what_is_no_date(text: bytes) -> None:
    assert parse_date(text) is None


@given(st.integers(0, LAST_SECOND))
def test_what_is_written_is_read(second: int) -> None:
    assert parse_date(formatdate(second, usegmt=True).encode()) == second


@given(st.binary(max_size=40))
def test_anything_is_a_date_or_none(text: bytes) -> None:
    assert parse_date(text) is None or b":" in text


@pytest.mark.parametrize(
    ("second", "is_there"),
    [(-1, False), (0, False), (1, True), (LAST_SECOND, True), (LAST_SECOND + 1, False)],
)
def test_times_without_a_form_are_not_told(second: int, is_there: bool) -> None:
    assert (last_modified(second) is not None) == is_there


def test_the_field() -> None:
    found = last_modified(784111777)
    assert found is not None
    assert found.wire == b"Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
