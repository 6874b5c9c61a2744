"""Bodies to send and to compare, and a stage on each event loop."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

from kit import Stage, chunk

MIB = 1 << 20
CHUNKED = ("Transfer-Encoding", "chunked")
POOL = random.Random(7).randbytes(21 * MIB)
"""Random bytes: a piece that is lost, doubled or from elsewhere changes the body."""

LOOPS = ("uvloop", "asyncio")
CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    log / access.log json
    timeouts {
        body 500ms
    }
    proxy / BACKEND
    proxy /idle BACKEND {
        idle_timeout 500ms
    }
}
"""


@contextmanager
def stage_on(loop: str) -> Iterator[Stage]:
    """A stage on that event loop, which has served one small request."""
    with Stage(CADDYFILE, env={"POSTHOUSE_LOOP": loop}) as started:
        assert started.get("/").status == 200
        yield started


def body_of(size: int) -> bytes:
    """Another body for each size."""
    start = size % 1000
    return POOL[start : start + size]


def coded(body: bytes, framing: str) -> bytes:
    """In pieces of odd sizes if chunked."""
    if framing != "chunked":
        return body
    pieces, at, size = [], 0, 1
    while at < len(body):
        pieces.append(body[at : at + size])
        at += size
        size = size * 3 + 1 if size < 300_000 else 17
    return chunk(*pieces)


def same(found: bytes, wanted: bytes) -> bool:
    """Equal (pytest would print the difference of two 20 MiB bodies for minutes)."""
    return found == wanted
