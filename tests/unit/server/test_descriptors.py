"""The descriptor limit: raised in a process of its own, computed here."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from posthouse.server import descriptors

SCRIPT = """
import resource
from posthouse.server import descriptors
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (100, min(hard, 300)))
print(descriptors.raise_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["300", "300", "300"]


def test_a_limit_that_cannot_be_raised_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(which: int, limits: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda which: (64, -1))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert descriptors.raise_limit() == 64


def test_no_limit_counts_as_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    unlimited = resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda which: (unlimited, unlimited))
    assert descriptors.raise_limit() == descriptors.FALLBACK


@pytest.mark.parametrize(("of", "limit"), [(20_000, 10_000), (257, 128), (1, 1)])
def test_half_of_the_descriptors_are_for_clients(of: int, limit: int) -> None:
    assert descriptors.connection_limit(of) == limit
