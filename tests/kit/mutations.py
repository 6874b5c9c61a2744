"""Seeded mutations of messages, and a stream for the kit's own parser to read the same bytes."""

from __future__ import annotations

import random

from kit.tables import ODD_BYTES, SMUGGLED

SPLICES = [
    *(bytes([byte]) for byte in ODD_BYTES),
    b"\r\n", b"\r\n\r\n", b"\n\n", b"\r\r\n", b"0", b"+", b"-", b"_", b"0x", b",", b";", b":", b": ", b"chunked",
    b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: b\r\n", b"\r\n ", b"\r\n\t", b"%00",
    b"HTTP/1.0", b"Connection: close\r\n", b"Content-Length", b"\x85", b"ffffffffffffffff", SMUGGLED,
]  # fmt: skip


class Text:
    """A stream for the kit's parser that holds all there is."""

    def __init__(self, data: bytes) -> None:
        self.buffer = bytearray(data)

    def fill(self) -> str:
        return "fin"


def mutate(chance: random.Random, data: bytes) -> bytes:
    """One to three places overwritten, cut out, doubled or spliced into."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        at = chance.randrange(len(data))
        size = chance.choice((0, 0, 1, 1, 2, 4, 12))
        match chance.randrange(4):
            case 0:
                data = data[:at] + data[at + size + 1 :]
            case 1:
                data = data[: at + size] + data[at:]
            case _:
                data = data[:at] + chance.choice(SPLICES) + data[at + size :]
    return data
