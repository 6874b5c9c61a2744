"""What the collector looks at and what the allocator keeps; in a process of its own, because both are the process's."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PIECES = """
import resource, sys
from posthouse.server import memory
if sys.argv[1] == "kept":
    assert memory.keep_freed()
def piece(size):
    read = b"r" * size
    body = read[1:]
    sent = b"head" + body
for _ in range(2):  # what the first pieces allocate is not counted
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(200):
        piece(int(sys.argv[2]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

GIVEN_BACK = """
from posthouse.server import memory
held = [bytes(20_000) for _ in range(2000)]  # each below what gets a mapping of its own
pin = bytes(20_000)  # so that the heap cannot shrink from its end
full = memory.resident()
del held
assert memory.give_back()
print(full - memory.resident(), full)
"""

COLLECTOR = """
import gc
from posthouse.server import memory
gc.disable()
memory.settle()
first = gc.get_freeze_count()
kept = [[] for _ in range(1000)]
memory.settle()
print(gc.isenabled(), first > 1000, gc.get_freeze_count() - first >= 1000, gc.get_threshold()[0])
"""

RELOADS = """
import gc
from posthouse.server import memory
memory.settle()
before = gc.get_freeze_count()
kept = [[] for _ in range(1000)]
memory.settle_new(memory.MANY_SITES - 1)
few = gc.get_freeze_count() - before
memory.settle_new(memory.MANY_SITES)
print(few < 1000, gc.get_freeze_count() - before >= 1000)
"""

GARBAGE = """
import gc, weakref
from posthouse.server import memory
class Knot:
    pass
gc.disable()
knot = Knot()
knot.own = knot
last = weakref.ref(knot)
del knot
with memory.no_collections():
    pass
gc.collect()
print(last())
"""

READING = """
import gc
from posthouse.server import memory
memory.settle()
before = gc.get_freeze_count()
with memory.no_collections():
    print(gc.isenabled())
    kept = [[] for _ in range(1000)]
print(gc.isenabled(), gc.get_freeze_count() - before >= 1000)
gc.disable()
with memory.no_collections():
    pass
print(gc.isenabled())
"""


def said(script: str, *words: str) -> str:
    """What a script prints in a process of its own."""
    argv = [sys.executable, "-c", script, *words]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator of glibc")
def test_the_pieces_of_a_body_come_from_memory_that_was_kept() -> None:
    assert int(said(PIECES, "kept", "256000")) < 200
    assert int(said(PIECES, "given back", "256000")) > 2000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator of glibc")
def test_large_blocks_go_back_to_the_system() -> None:
    assert int(said(PIECES, "kept", "400000")) > 2000


def test_what_was_made_to_start_is_frozen_at_each_settling() -> None:
    assert said(COLLECTOR) == "True True True 20000"


def test_a_reload_freezes_what_it_has_built_where_that_is_much() -> None:
    assert said(RELOADS) == "True True"


def test_nothing_is_collected_while_a_configuration_is_read() -> None:
    assert said(READING).split("\n") == ["False", "True True", "False"]


def test_what_is_garbage_before_is_not_kept_for_ever() -> None:
    assert said(GARBAGE) == "None"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc_trim is glibc's")
def test_what_is_free_goes_back_to_the_system() -> None:
    given, full = map(int, said(GIVEN_BACK).split())
    assert full > 40_000_000
    assert given > 30_000_000


def test_resident_needs_no_descriptor_after_the_first_time() -> None:
    script = """
import resource
from posthouse.server import memory
assert memory.resident() > 1 << 20
resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
print(memory.resident() > 1 << 20)
"""
    assert said(script) == "True"
