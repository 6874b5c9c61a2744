"""What tables of hostile messages share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import pytest

T = TypeVar("T")

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: site.test\r\nX-Smuggled: 1\r\n\r\n"
"""A complete request to hide inside another one: a backend must never see it."""

POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON"
"""A complete response to put where no request waits for one: a client must never see it."""

ODD_BYTES = (*range(0x21), 0x7F, 0x85, 0xA0, 0xFF)
"""Controls, the blank, DEL, and the bytes that Latin-1 or UTF-8 readers take for blanks."""


def named(cases: Mapping[str, T]) -> list[object]:
    """The rows of a table for `parametrize`, each under its name."""
    return [pytest.param(value, id=name) for name, value in cases.items()]
