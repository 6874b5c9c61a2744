from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> Iterator[None]:
    """Whatever a test does, as many descriptors are open after it as before."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.fixture
def www(tmp_path: Path) -> Path:
    """A folder with a file outside it."""
    (tmp_path / "secret.txt").write_bytes(b"secret")
    folder = tmp_path / "www"
    folder.mkdir()
    return folder
