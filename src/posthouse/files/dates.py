"""Dates of HTTP, in the three forms that must be understood (RFC 9110 5.6.7)."""

from __future__ import annotations

import re
from calendar import timegm
from email.utils import formatdate
from functools import lru_cache
from typing import Final

from posthouse.protocol.fields import Field

_MONTHS: Final = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_MONTH: Final = b"(?P<month>" + b"|".join(_MONTHS) + b")"
_TIME: Final = rb"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_FORMS: Final = (
    re.compile(
        rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?P<day>\d\d) %b (?P<year>\d{4}) %b GMT" % (_MONTH, _TIME)
    ),
    re.compile(
        rb"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?P<day>\d\d)-%b-(?P<year>\d\d) %b GMT"
        % (_MONTH, _TIME)
    ),
    re.compile(rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) %b (?P<day>[ \d]\d) %b (?P<year>\d{4})" % (_MONTH, _TIME)),
)
LAST_SECOND: Final = 253402300799
"""Of the year 9999: later ones have no form."""


def parse_date(text: bytes) -> int | None:
    """Seconds since 1970; None if it is no date."""
    match = next((found for form in _FORMS if (found := form.fullmatch(text)) is not None), None)
    if match is None:
        return None
    year = int(match["year"])
    if year < 100:  # RFC 850: as most do, 70 is where the century turns
        year += 1900 if year >= 70 else 2000
    month = _MONTHS.index(match["month"]) + 1
    day, hour, minute, second = (int(match[name]) for name in ("day", "hour", "minute", "second"))
    if not (1 <= day <= _days(year, month) and hour < 24 and minute < 60 and second <= 60):
        return None
    return timegm((year, month, day, hour, minute, second))


def _days(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


@lru_cache(512)
def last_modified(second: int) -> Field | None:
    """The Last-Modified field; None for times that have no form or, as 0, mean that nobody knows."""
    if not 0 < second <= LAST_SECOND:
        return None
    return Field(b"Last-Modified", formatdate(second, usegmt=True).encode("ascii"))
