"""What clients and backends of the fault matrix agree on: targets, and bodies that both sides know beforehand."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from enum import Enum

PARTS_OF_STREAM = 8
PAUSE_IN_STREAM = 0.02
"""Seconds between two parts."""


class Kind(Enum):
    """What a request asks for; the value begins its target."""

    GET = "get"
    POST = "post"
    STREAM = "stream"

    @property
    def method(self) -> str:
        """Of its request line."""
        return "POST" if self is Kind.POST else "GET"


def target(kind: Kind, identity: str, size: int) -> str:
    """Where a request with that id asks for so many bytes."""
    return f"/{kind.value}/{identity}/{size}"


def read_target(text: str) -> tuple[Kind, str, int] | None:
    """The three of them; None for any other target."""
    try:
        _, kind, identity, size = text.split("/")
        return Kind(kind), identity, int(size)
    except ValueError:
        return None


def body_of(identity: str, size: int) -> bytes:
    """The body of the one good answer to that id.

    No other id has it, so a part of it, or another's, is known for what it is.
    """
    digest = hashlib.sha256(identity.encode()).hexdigest().encode()
    return (digest * (size // len(digest) + 1))[:size]


async def read_head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    """The first line, and the fields with their names in lower case. IncompleteReadError at an early end."""
    raw = await reader.readuntil(b"\r\n\r\n")
    first, *lines = raw.decode("latin-1").rstrip().split("\r\n")
    fields = dict(line.split(":", 1) for line in lines)
    return first, {name.lower(): value.strip() for name, value in fields.items()}


async def body_parts(fields: dict[str, str], reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The bytes of a body by Content-Length, in chunks, or of a response until the end of the connection.

    IncompleteReadError if the end comes earlier than the framing says.
    """
    if fields.get("transfer-encoding", "").lower() == "chunked":
        while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            yield await reader.readexactly(size)
            await reader.readexactly(2)
        while (await reader.readuntil(b"\r\n")) != b"\r\n":
            pass
        return
    if "content-length" not in fields:
        yield await reader.read(-1)
        return
    left = int(fields["content-length"])
    while left:
        part = await reader.read(min(left, 65536))
        if not part:
            raise asyncio.IncompleteReadError(b"", left)
        left -= len(part)
        yield part
