"""Conditional requests: whether what the client has is what there is (RFC 9110 13)."""

from __future__ import annotations

import re
from typing import Final

from posthouse.files.dates import parse_date
from posthouse.protocol.blocks import RequestFields

_TAG: Final = re.compile(rb'((?:W/)?)("[\x21\x23-\x7e\x80-\xff]*")')
NO_DATE: Final = -1
"""In place of the time of the last change, where there is none that can be sent."""


def judge(fields: RequestFields, etag: bytes, modified: int) -> int:
    """412 or 304 if a condition says so, else 0, in the order of RFC 9110 13.2.2; for GET and HEAD.

    etag      of the representation that would be sent, strong
    modified  when it last changed, in seconds since 1970, or NO_DATE
    """
    match = fields.value(b"if-match")
    if match is not None:
        if not is_among(etag, match, is_weak=False):
            return 412
    else:
        since = _date(fields.value(b"if-unmodified-since"), modified)
        if since is not None and modified > since:
            return 412
    none_match = fields.value(b"if-none-match")
    if none_match is not None:
        return 304 if is_among(etag, none_match, is_weak=True) else 0
    since = _date(fields.value(b"if-modified-since"), modified)
    return 304 if since is not None and modified <= since else 0


def _date(value: bytes | None, modified: int) -> int | None:
    """The date of a condition; None: there is none, or none that can be compared, which is ignored."""
    return None if value is None or modified == NO_DATE else parse_date(value)


def is_among(etag: bytes, value: bytes, *, is_weak: bool) -> bool:
    """Whether a strong tag is in a list of tags. The strong comparison takes no weak ones (RFC 9110 8.8.3.2)."""
    if value == b"*":
        return True
    return any(tag == etag and (is_weak or not weak) for weak, tag in _TAG.findall(value))


def may_range(fields: RequestFields, etag: bytes, modified: int, now: int) -> bool:
    """Whether If-Range lets a range be sent: it names exactly what there is (RFC 9110 13.1.5)."""
    value = fields.value(b"if-range")
    if value is None:
        return True
    if value.startswith((b'"', b"W/")):
        return value == etag
    # A date tells versions apart only if the last change is a second old (RFC 9110 8.8.2.2).
    return modified != NO_DATE and modified < now and parse_date(value) == modified
