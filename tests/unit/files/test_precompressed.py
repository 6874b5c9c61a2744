from __future__ import annotations

import os
from pathlib import Path

import pytest

from posthouse.files.precompressed import _MOST_BYTES, accepted, beside


@pytest.mark.parametrize(
    ("value", "codings"),
    [
        (None, []),
        (b"", []),
        (b"identity", []),
        (b"gzip", [b"gzip"]),
        (b"x-gzip", [b"gzip"]),
        (b"GZip", [b"gzip"]),
        (b"gzip, deflate, br, zstd", [b"zstd", b"br", b"gzip"]),
        (b"gzip;q=1.0, br;q=0.5", [b"gzip", b"br"]),
        (b"br ; q=0.1 ,gzip;Q=0.2", [b"gzip", b"br"]),
        (b"gzip;q=0", []),
        (b"gzip;q=0.000", []),
        (b"br;q=0, *", [b"zstd", b"gzip"]),
        (b"*;q=0.5, gzip", [b"gzip", b"zstd", b"br"]),
        (b"*;q=0, gzip", [b"gzip"]),
        (b"gzip;q=2", []),
        (b"gzip;q=", []),
        (b"gzip;q=0.5;x=y", []),
        (b"gzip br", []),
        (b"notgzip, gzipped", []),
        (b"gzip;q=0, gzip", []),
        (b"gzip;q=0.5, identity", []),
        (b"gzip;q=0.5, br, identity;q=0.7", [b"br"]),
    ],
)
def test_what_a_client_takes(value: bytes | None, codings: list[bytes]) -> None:
    assert list(accepted(value)) == codings


def test_a_long_field_is_not_read() -> None:
    filler = b"x" * (_MOST_BYTES - len(b"gzip,"))
    assert list(accepted(b"gzip," + filler)) == [b"gzip"]
    assert list(accepted(b"gzip," + filler + b"x")) == []


def test_what_lies_beside(tmp_path: Path) -> None:
    for name in ("a.js", "a.js.gz", "a.js.zst", "b.js.br", "a.js.gz.br"):
        (tmp_path / name).touch()
    assert [coding for coding, _ in beside(os.fsencode(tmp_path / "a.js"))] == [b"zstd", b"gzip"]
    assert list(beside(os.fsencode(tmp_path / "c.js"))) == []
