"""Replies of our own, and the table from failures to statuses."""

from __future__ import annotations

import time

import pytest

from posthouse.errors import FailureKind
from posthouse.proxy import reply

STATUSES = {
    FailureKind.NO_BACKEND: 503,
    FailureKind.FULL: 503,
    FailureKind.QUEUE_TIMEOUT: 503,
    FailureKind.DNS: 502,
    FailureKind.CONNECT: 502,
    FailureKind.TLS: 502,
    FailureKind.RESET: 502,
    FailureKind.MALFORMED: 502,
    FailureKind.TRUNCATED: 502,
    FailureKind.CONNECT_TIMEOUT: 504,
    FailureKind.RESPONSE_TIMEOUT: 504,
    FailureKind.IDLE_TIMEOUT: 504,
    FailureKind.EXCHANGE_TIMEOUT: 504,
    FailureKind.CLIENT_GONE: 499,
    FailureKind.CLIENT_TIMEOUT: 408,
    FailureKind.CLIENT_MALFORMED: 400,
}


def test_every_kind_of_failure_has_its_status() -> None:
    assert {kind: reply.failure_status(kind) for kind in FailureKind} == STATUSES


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (200, b"200 OK"),
        (404, b"404 Not Found"),
        (413, b"413 Request Entity Too Large"),
        (508, b"508 Loop Detected"),
        (499, b"499 "),
        (599, b"599 "),
    ],
)
def test_status_lines(status: int, line: bytes) -> None:
    assert reply.status_line(status) == line


def test_a_text_says_what_it_is() -> None:
    assert [field.wire for field in (reply.SERVER, *reply.TEXT_FIELDS)] == [
        b"Server: Posthouse\r\n",
        b"Content-Type: text/plain; charset=utf-8\r\n",
        b"X-Content-Type-Options: nosniff\r\n",
    ]


def test_the_date_is_made_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1769860800.9
    monkeypatch.setattr(time, "time", lambda: now)
    first = reply.date_field()
    assert first.wire == b"Date: Sat, 31 Jan 2026 12:00:00 GMT\r\n"
    assert reply.date_field() is first
    now += 0.2
    assert reply.date_field().value == b"Sat, 31 Jan 2026 12:00:01 GMT"
    now -= 3600
    assert reply.date_field().value == b"Sat, 31 Jan 2026 11:00:01 GMT", "a clock may be set back"


def test_a_refusal_is_a_whole_answer_that_ends_the_connection() -> None:
    head, _, body = reply.refusal(431).partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    assert status == b"HTTP/1.1 431 Request Header Fields Too Large"
    assert body == b"431 Request Header Fields Too Large\n"
    assert lines[-2:] == [b"Content-Length: %d" % len(body), b"Connection: close"]
