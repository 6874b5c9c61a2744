"""Files that lie beside others in a coded form: `app.js.br` beside `app.js`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from posthouse.protocol.codings import weight_of, weights

CODINGS: Final[tuple[tuple[bytes, str], ...]] = ((b"zstd", ".zst"), (b"br", ".br"), (b"gzip", ".gz"))
"""Coding and what its files are called; of those that the client likes equally, the first, as in v1."""

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
    found = weights(value)
    ranked = sorted(((weight_of(coding, found), coding) for coding, _ in CODINGS), key=lambda pair: -pair[0])
    return [coding for weight, coding in ranked if weight > 0.0]
