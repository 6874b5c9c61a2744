"""The memory that workers share: who may read it, what is where, and locks that die with their holder."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys

import pytest

from posthouse.balance.ledger import SHEET_CELLS
from posthouse.balance.trials import FIRST_CELL
from posthouse.errors import StartError
from posthouse.server.block import CHUNK_ROWS, attach, create


def test_what_one_writes_the_other_reads() -> None:
    ours = create(3, "1.2.3")
    ours.grow(2)
    theirs = attach(os.dup(ours.fd), "1.2.3")
    assert theirs.columns == 3 and theirs.rows == ours.rows == CHUNK_ROWS
    theirs.cells[theirs.at(1) + 2 * theirs.stride] = -7
    theirs.times[theirs.at(0)] = 0.5
    assert ours.row(1) == [0, 0, -7]
    assert ours.times[ours.at(0)] == 0.5
    ours.clear_row(1)
    assert theirs.row(1) == [0, 0, 0]
    theirs.close()
    ours.close()


def test_no_two_cells_are_the_same() -> None:
    block = create(3, "1")
    block.grow(2 * CHUNK_ROWS + 1)
    assert block.rows == 3 * CHUNK_ROWS
    every = [(row, column * block.stride) for row in range(block.rows) for column in range(3)]
    places = [block.at(row) + column for row, column in every]
    for row, column in every:
        sheet = block.sheet_at(row) + column
        places += range(sheet, sheet + SHEET_CELLS)
    assert sorted(places) == list(range(len(block.cells)))
    block.close()


def test_a_sheet_costs_memory_only_when_it_is_written_to() -> None:
    block = create(2, "1")
    block.grow(20 * CHUNK_ROWS)
    before = os.fstat(block.fd).st_blocks
    block.clear_column(1)
    block.clear_row(7)
    after_cells = os.fstat(block.fd).st_blocks
    assert (after_cells - before) * 512 <= 22 * mmap.PAGESIZE
    block.cells[block.sheet_at(7)] = 1
    assert (os.fstat(block.fd).st_blocks - after_cells) * 512 == mmap.PAGESIZE
    block.close()


def test_a_row_that_will_be_anothers_has_an_empty_sheet() -> None:
    block = create(2, "1")
    block.grow(1)
    for row in (6, 7, 8):
        for cell in (0, SHEET_CELLS - 1):
            block.cells[block.sheet_at(row) + block.stride + cell] = 5
    block.clear_row(7)
    left = [
        block.cells[block.sheet_at(row) + block.stride + cell] for row in (6, 7, 8) for cell in (0, -1 % 64)
    ]
    assert left == [5, 5, 0, 0, 5, 5]
    block.close()


def test_what_a_worker_tried_that_died_is_over_but_not_what_it_counted() -> None:
    block = create(2, "1")
    block.grow(2 * CHUNK_ROWS)
    for row in (0, 9, 2 * CHUNK_ROWS - 1):
        for column in (0, 1):
            at = block.sheet_at(row) + column * block.stride
            for cell in (0, FIRST_CELL - 1, FIRST_CELL, SHEET_CELLS - 1):
                block.cells[at + cell] = 5
    block.clear_column(1)
    for row in (0, 9, 2 * CHUNK_ROWS - 1):
        ours, theirs = block.sheet_at(row), block.sheet_at(row) + block.stride
        seen = [
            [block.cells[at + cell] for cell in (0, FIRST_CELL - 1, FIRST_CELL, 63)] for at in (ours, theirs)
        ]
        assert seen == [[5, 5, 5, 5], [5, 5, 0, 0]]
    block.close()


def test_it_grows_and_who_has_it_keeps_what_is_there() -> None:
    ours = create(2, "1")
    ours.grow(1)
    theirs = attach(os.dup(ours.fd), "1")
    before = theirs.cells
    theirs.cells[theirs.at(0)] = 5
    ours.grow(CHUNK_ROWS + 1)
    with pytest.raises(StartError, match=f"has {2 * CHUNK_ROWS} rows, not {2 * CHUNK_ROWS + 1}"):
        theirs.fit(2 * CHUNK_ROWS + 1)
    theirs.fit(CHUNK_ROWS + 1)
    theirs.cells[theirs.at(CHUNK_ROWS)] = 6
    before[theirs.at(0)] = 7
    assert ours.row(0) == [7, 0] and ours.row(CHUNK_ROWS) == [6, 0]
    del before
    theirs.close()
    ours.close()


def test_a_worker_that_died_holds_nothing() -> None:
    block = create(2, "1")
    block.grow(CHUNK_ROWS + 1)
    for row in (0, CHUNK_ROWS):
        for column in (0, 1):
            block.cells[block.at(row) + column * block.stride] = 9
    block.clear_column(0)
    assert block.row(0) == block.row(CHUNK_ROWS) == [0, 9]
    block.close()


def test_another_version_may_not_touch_it() -> None:
    block = create(2, "1.2.3")
    with pytest.raises(StartError, match=r"is of Posthouse 1\.2\.3, layout 3; this is 1\.2\.4"):
        attach(os.dup(block.fd), "1.2.4")
    block.close()
    with pytest.raises(StartError, match="is none"):
        attach(os.memfd_create("empty"), "1.2.3")


HOLDER = """
import sys
from posthouse.server.block import attach
block = attach(int(sys.argv[1]), "1")
block.lock(4)
print("has it", flush=True)
sys.stdin.read()
"""
TAKER = """
import sys
from posthouse.server.block import attach
block = attach(int(sys.argv[1]), "1")
block.lock(5)
print("another row", flush=True)
block.lock(4)
print("has it", flush=True)
"""


def start(code: str, fd: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(fd)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[fd],
        text=True,
    )


def test_a_lock_dies_with_its_holder() -> None:
    block = create(2, "1")
    block.grow(1)
    with start(HOLDER, block.fd) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "has it\n"
        with start(TAKER, block.fd) as taker:
            assert taker.stdout is not None and taker.stdout.readline() == "another row\n"
            assert is_locked(block.fd, 4), "by the holder"
            holder.kill()
            assert taker.stdout.readline() == "has it\n"
    assert holder.returncode == -9 and taker.returncode == 0
    assert not is_locked(block.fd, 4)
    block.close()


def is_locked(fd: int, row: int) -> bool:
    """Whether another process has the lock."""
    import fcntl

    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, row)
    except BlockingIOError:
        return True
    fcntl.lockf(fd, fcntl.LOCK_UN, 1, row)
    return False
