"""What can be asked over the admin socket: a table from method and path to a function, and the answers as bytes.

Requests are judged by the codec that judges those of clients. Each connection carries one.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final, Protocol

from posthouse.errors import ProtocolError
from posthouse.protocol.h1 import Codec, HeadLimits

HEAD_BYTES: Final = 8 * 1024
"""Of a request; what our own commands send has some hundred."""
LIMITS: Final = HeadLimits(HEAD_BYTES, 32)

Report = dict[str, object]
"""What JSON can hold; a top level that can grow."""


class Functions(Protocol):
    """What the API is made of: handed in by who serves."""

    async def status(self) -> Report:
        """What there is and how it is (docs/admin.md)."""

    async def upgrade(self) -> Report:
        """Have another process take over; how it went, with `error` where this one stays."""


ENDPOINTS: Final[Mapping[str, Mapping[str, Callable[[Functions], Awaitable[Report]]]]] = {
    "/status": {"GET": lambda functions: functions.status()},
    "/upgrade": {"POST": lambda functions: functions.upgrade()},
}
"""Path → method → who answers. A report with an `error` is answered with 422."""


async def answer(data: bytes, functions: Functions, codec: Codec) -> bytes:
    """The whole answer to one request head (with its empty line)."""
    try:
        head = codec.read_request(data, len(data) - 4, LIMITS)
    except ProtocolError as error:
        return refusal(error.status, error.reason)
    if head.has_body:
        return refusal(400, "no request of this API has a body")
    path = head.target.raw.decode("latin-1")
    methods = ENDPOINTS.get(path)
    if methods is None:
        return refusal(404, f"there is no {path!r}; there are {', '.join(ENDPOINTS)}")
    method = head.method.decode("latin-1")
    act = methods.get(method)
    if act is None:
        return refusal(405, f"{path} takes {', '.join(methods)}", f"Allow: {', '.join(methods)}\r\n")
    report = await act(functions)
    return _written(422 if "error" in report else 200, report)


def refusal(status: int, reason: str, lines: str = "") -> bytes:
    """An answer that says what is wrong: {"error": …}."""
    return _written(status, {"error": reason}, lines)


def _written(status: int, report: Report, lines: str = "") -> bytes:
    body = json.dumps(report, indent=2).encode("ascii") + b"\n"
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{lines}Connection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
