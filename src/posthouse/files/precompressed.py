"""Files that lie beside others in a coded form: `app.js.br` beside `app.js`."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

CODINGS: Final[tuple[tuple[bytes, str], ...]] = ((b"zstd", ".zst"), (b"br", ".br"), (b"gzip", ".gz"))
"""Coding and what its files are called; of those that the client likes equally, the first, as in v1."""

_MEMBER: Final = re.compile(
    rb"[ \t]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*(?:;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*)?"
)
_ENDINGS: Final = tuple((coding, ending, os.fsencode(ending)) for coding, ending in CODINGS)
_MOST_BYTES: Final = 256
"""Of an Accept-Encoding that is read; browsers send 30. Longer ones get the plain file."""


def beside(name: bytes) -> Sequence[tuple[bytes, str]]:
    """Which of CODINGS lie beside a file."""
    # Asking whether it exists costs a third of opening what does not.
    return [(coding, ending) for coding, ending, raw in _ENDINGS if os.access(name + raw, os.F_OK)]


def accepted(value: bytes | None) -> Sequence[bytes]:
    """The codings that a client takes, the best first, by its Accept-Encoding (RFC 9110 12.5.3)."""
    return _ranked(value) if value and len(value) <= _MOST_BYTES else ()


@lru_cache(256)
def _ranked(value: bytes) -> Sequence[bytes]:
    weights: dict[bytes, float] = {}
    for member in value.split(b","):
        match = _MEMBER.fullmatch(member)
        if match is not None:
            weights.setdefault(match[1].lower(), float(match[2] or 1))
    weights.setdefault(b"gzip", weights.get(b"x-gzip", weights.get(b"*", 0.0)))
    ranked = [(-weights.get(coding, weights.get(b"*", 0.0)), coding) for coding, _ in CODINGS]
    return [coding for weight, coding in sorted(ranked, key=lambda pair: pair[0]) if weight < 0]
