"""The hash may never change: it decides which backend a client has been with since yesterday."""

from __future__ import annotations

import subprocess
import sys

import pytest

from posthouse.balance.stable_hash import MASK64, stable_hash


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"", 0x0),
        (b"127.0.0.1", 0xB0BFD00CA464B0C4),
        (b"/", 0x88D917123D1FEC76),
        (b"/test_2", 0x336CB8020BF07E56),
        (b"somevalue", 0x2697FF224194801E),
    ],
)
def test_values_are_pinned(key: bytes, hashed: int) -> None:
    assert stable_hash(key) == hashed


def test_same_in_another_process_with_another_hash_seed() -> None:
    script = "from posthouse.balance.stable_hash import stable_hash; print(stable_hash(b'203.0.113.9'))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) == stable_hash(b"203.0.113.9")


def test_fits_64_bits_and_uses_them_all() -> None:
    seen = 0
    for number in range(500):
        hashed = stable_hash(b"%d" % number)
        assert 0 <= hashed <= MASK64
        seen |= hashed
    assert seen == MASK64


def test_neighbours_part() -> None:
    """Low bits choose slots of a table: consecutive keys must not share them."""
    low = {stable_hash(b"10.0.0.%d" % number) % 256 for number in range(256)}
    assert len(low) > 140
