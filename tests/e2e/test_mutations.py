"""Mutated requests, many of them: one reading or none, judged by a second parser.

Rule 1 and topic 2.1 of the specification of reliability. The kit's strict parser reads the same bytes: what it
takes must arrive as it reads it or be refused; what it refuses may arrive in normal form only. Seeded and bounded;
POSTHOUSE_MUTATIONS sets how many, POSTHOUSE_SEED where it begins.
"""

from __future__ import annotations

import os
import random
from urllib.parse import unquote_to_bytes

import pytest

from kit import BadMessage, RawClient, Request, Stage, Truncated, chunk, http1, request
from kit.mutations import Text, mutate
from kit.tables import SMUGGLED

COUNT = int(os.environ.get("POSTHOUSE_MUTATIONS", "1200"))
SEED = int(os.environ.get("POSTHOUSE_SEED", "1"))

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    timeouts {
        header 200ms
        body 200ms
    }
    proxy / BACKEND {
        header_upstream X-Port {port}
    }
}
"""

JUNK = b"\0" * 300 + b"\r\n\r\n"
"""Sent after everything: it ends what waits for more, unless a body swallows it."""

CHUNKED = [("Transfer-Encoding", "chunked")]
SEEDS = [
    request("GET", "/a?b=c", [("X-A", "1"), ("X-B", "2")]),
    request("POST", "/a", [("X-A", "1")], b"body" + SMUGGLED),
    request("POST", "/a", CHUNKED) + chunk(b"body", SMUGGLED, trailers=[("X-T", "1")]),
    request("GET", "/1") + request("POST", "/2", CHUNKED) + chunk(b"x") + request("GET", "/3"),
    request("POST", "/a", [("Connection", "keep-alive"), ("Content-Length", "0")]) + SMUGGLED,
    request("POST", "/a", CHUNKED) + b"4;a=b\r\nbody\r\n000\r\n\r\n" + SMUGGLED,
]


def read_strictly(data: bytes) -> list[Request]:
    """The requests in normal form at the beginning of the data."""
    stream, found = Text(data), []
    try:
        while stream.buffer:
            asked = http1.parse_request_head(http1.read_head(stream))
            http1.read_body(stream, asked)
            found.append(asked)
    except (BadMessage, Truncated):
        pass
    return found


def converse(client: RawClient, data: bytes) -> list[int]:
    """Send, and read answers until the end: their statuses."""
    client.send(data)
    statuses = []
    try:
        while True:
            statuses.append(client.read_response().status)
    except Truncated as ended:
        assert ended.partial is None
    return statuses


def describe(asked: Request) -> tuple[bytes, bytes, bytes]:
    """High bytes of a path may arrive percent-encoded, so targets are compared decoded."""
    return asked.method, unquote_to_bytes(asked.target), asked.body


@pytest.mark.parametrize("seed", range(SEED, SEED + 12))
def test_mutations(stage: Stage, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(COUNT // 12):
        data = mutate(chance, chance.choice(SEEDS)) + JUNK
        with stage.client() as client:
            port = b"%d" % client.local_port
            statuses = converse(client, data)
        seen = [describe(asked) for asked in stage.backend.requests if asked.field("X-Port") == port]
        stage.backend.requests.clear()
        assert stage.backend.violations == [], data
        assert set(statuses) <= {200, 400, 404, 405, 408, 414, 431, 505}, (statuses, data)
        strict = [describe(asked) for asked in read_strictly(data)]
        common = min(len(seen), len(strict))
        if not any(b"." in target or b"*" in target for _, target, _ in strict):
            assert seen[:common] == strict[:common], data
    stage.assert_serves()
