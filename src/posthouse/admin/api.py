"""What can be asked over the admin socket: a table from method and path to a function, and the answers as bytes.

What `PUBLIC` names can also be asked where `--admin-listen` says: it tells, and changes nothing. Requests are judged by
the codec that judges those of clients. Each connection carries one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol
from urllib.parse import parse_qsl

from posthouse.errors import ProtocolError
from posthouse.protocol.h1 import Codec, HeadLimits, RequestHead

HEAD_BYTES: Final = 8 * 1024
"""Of a request; what our own commands send has some hundred."""
LIMITS: Final = HeadLimits(HEAD_BYTES, 32)

Report = dict[str, object]
"""What JSON can hold; a top level that can grow."""


@dataclass(frozen=True, slots=True)
class Text:
    """An answer that is no JSON; kind: its media type."""

    status: int
    kind: str
    body: bytes


PIECES_AT_ONCE: Final = 5000
"""Of a report as text, some bytes each: a few milliseconds' work."""
_ENCODER: Final = json.JSONEncoder(indent=2)


class Functions(Protocol):
    """What the API is made of: handed in by who serves."""

    async def status(self) -> Report:
        """What there is and how it is (docs/admin.md)."""

    async def reload(self) -> Report:
        """Reload the configuration; how it went, with `error` where the old one stays."""

    async def upgrade(self) -> Report:
        """Have another process take over; how it went, with `error` where this one stays."""

    async def order(self, asked: Mapping[str, str]) -> Report:
        """Order something of a backend; what was ordered, with `error` where nothing was. asked: the query."""

    async def metrics(self, accept: bytes | None) -> Text:
        """What was counted, in the format that `Accept` asks for."""

    def health(self) -> Text:
        """That the process lives."""

    def ready(self) -> Text:
        """Whether requests are served."""


Act = Callable[[Functions, RequestHead], Report | Text | Awaitable[Report | Text]]


def _reads(act: Act) -> Mapping[str, Act]:
    return {"GET": act, "HEAD": act}


ENDPOINTS: Final[Mapping[str, Mapping[str, Act]]] = {
    "/status": {"GET": lambda functions, head: functions.status()},
    "/reload": {"POST": lambda functions, head: functions.reload()},
    "/upgrade": {"POST": lambda functions, head: functions.upgrade()},
    "/backend": {"POST": lambda functions, head: functions.order(query_of(head))},
    "/metrics": _reads(lambda functions, head: functions.metrics(head.fields.value(b"accept"))),
    "/health": _reads(lambda functions, head: functions.health()),
    "/ready": _reads(lambda functions, head: functions.ready()),
}
"""Path → method → who answers. A report with an `error` is answered with 422."""
PUBLIC: Final = ("/metrics", "/health", "/ready")
WITH_QUERY: Final = ("/backend",)
"""Those that are asked with a query."""


async def answer(
    data: bytes, functions: Functions, codec: Codec, paths: Collection[str] = tuple(ENDPOINTS)
) -> bytes:
    """The whole answer to one request head (with its empty line); paths: those that are there."""
    try:
        head = codec.read_request(data, len(data) - 4, LIMITS)
    except ProtocolError as error:
        return refusal(error.status, error.reason)
    if head.has_body:
        return refusal(400, "no request of this API has a body")
    path = head.target.raw.decode("latin-1")
    if path.partition("?")[0] in WITH_QUERY:
        path = path.partition("?")[0]
    methods = ENDPOINTS.get(path) if path in paths else None
    if methods is None:
        return refusal(404, f"there is no {path!r}; there are {', '.join(paths)}")
    method = head.method.decode("latin-1")
    act = methods.get(method)
    if act is None:
        return refusal(405, f"{path} takes {', '.join(methods)}", f"Allow: {', '.join(methods)}\r\n")
    made = act(functions, head)
    if isinstance(made, Awaitable):
        made = await made
    if isinstance(made, dict):
        return await _written_in_pieces(422 if "error" in made else 200, made)
    return _head(made.status, made.kind, len(made.body)) + (b"" if method == "HEAD" else made.body)


def query_of(head: RequestHead) -> dict[str, str]:
    """The query of a request; of a name that is there twice the last value."""
    query = head.target.raw.partition(b"?")[2].decode("latin-1")
    return dict(parse_qsl(query, keep_blank_values=True))


def refusal(status: int, reason: str, lines: str = "") -> bytes:
    """An answer that says what is wrong: {"error": …}."""
    return _written(status, {"error": reason}, lines)


async def _written_in_pieces(status: int, report: Report) -> bytes:
    """As `_written`; the loop has its turns, because the status of thousands of sites takes half a second."""
    body = []
    for number, piece in enumerate(_ENCODER.iterencode(report)):
        body.append(piece)
        if not number % PIECES_AT_ONCE:
            await asyncio.sleep(0)
    return _json(status, "".join(body))


def _written(status: int, report: Report, lines: str = "") -> bytes:
    return _json(status, _ENCODER.encode(report), lines)


def _json(status: int, text: str, lines: str = "") -> bytes:
    body = text.encode("ascii") + b"\n"
    return _head(status, "application/json", len(body), lines) + body


def _head(status: int, kind: str, length: int, lines: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {length}\r\n{lines}Connection: close\r\n\r\n"
    )
    return head.encode("ascii")
