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


@pytest.mark.parametrize(
    ("of", "listeners", "logs", "limit"),
    [
        (20_000, 0, 0, 9984),
        (20_000, 100, 8, 9880),
        (64, 1, 1, 14),
        (34, 0, 0, 1),
        (33, 0, 0, 1),
        (1, 5, 5, 1),
    ],
)
def test_half_of_the_descriptors_are_for_clients(of: int, listeners: int, logs: int, limit: int) -> None:
    assert descriptors.connection_limit(of, listeners, logs) == limit


def test_what_the_process_needs_itself_is_left_out() -> None:
    """More than an event loop opens for itself, with the standard streams."""
    script = (
        "import asyncio, os, uvloop; uvloop.new_event_loop(); print(len(os.listdir('/proc/self/fd')) - 1)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) + 12 < descriptors.OWN


def test_room_is_looked_for_and_given_back() -> None:
    script = """
import os, resource
from posthouse.server import descriptors
resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
free = 20 - len(os.listdir("/proc/self/fd")) + 1
for _ in range(3):
    descriptors.check_room(free)
try:
    descriptors.check_room(free + 1)
except OSError as error:
    print(error.strerror)
descriptors.check_room(free)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "Too many open files\n"
