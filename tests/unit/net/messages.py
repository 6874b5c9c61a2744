"""Messages that several conversations begin with, and short names for what is looked at."""

from __future__ import annotations

from posthouse.net.timers import TICK
from unit.net.fakes import FakePlan

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED_HEAD = b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"3\r\nabc\r\n2\r\nde\r\n0\r\nSum: 1\r\n\r\n"
CHUNKED = CHUNKED_HEAD + CHUNKS
NO_TRAILERS = CHUNKED.replace(b"Sum: 1\r\n", b"")
LATE = TICK + 0.002


def refusal(status: int) -> bytes:
    return b"HTTP/1.1 %d refused\r\nConnection: close\r\n\r\n" % status


def names(plan: FakePlan) -> list[list[object]]:
    return [exchange.names for exchange in plan.exchanges]
