from __future__ import annotations

import pytest

from posthouse.protocol.codings import weight_of, weights


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"", {}),
        (b"gzip", {b"gzip": 1.0}),
        (b"GZip;Q=0.5 , br ; q = 0.25", {b"gzip": 0.5, b"br": 0.25}),
        (b"x-gzip;q=0.1", {b"gzip": 0.1}),
        (b"gzip, gzip;q=0.2, gzip", {b"gzip": 0.2}),
        (b"gzip;q=1.1, br;q=, zstd;level=3, *;q=0.0000", {b"gzip": 0.0, b"br": 0.0, b"zstd": 0.0, b"*": 0.0}),
    ],
)
def test_what_is_said(value: bytes, found: dict[bytes, float]) -> None:
    assert weights(value) == found


@pytest.mark.parametrize(
    ("value", "weight"),
    [
        (b"", 0.0),
        (b"br", 0.0),
        (b"gzip;q=0.3", 0.3),
        (b"*;q=0.4", 0.4),
        (b"gzip;q=0, *", 0.0),
        (b"gzip;q=0.5, identity;q=0.5", 0.5),
        (b"gzip;q=0.5, identity", 0.0),
    ],
)
def test_what_that_means_for_one_coding(value: bytes, weight: float) -> None:
    assert weight_of(b"gzip", weights(value)) == weight
