"""Block: the memory that the workers of a group share; numbers, each written by one process and read by all.

    header  one page: magic, layout, columns, the version of Posthouse
    notes   one page for each column: `bulletin` says what is on it
    chunks  of CHUNK_ROWS rows; in a chunk for each column one page, so no two workers write to the same cache line, and
            the sheets of its rows: SHEET_CELLS more each. Memory is spent only on those that are written to

A row is a number of each worker: what it holds of a backend, how many wait in it. Rows are given out by `rows.Rows`.
A cell has 8 bytes and is aligned, so CPython's memoryview stores and loads it with one instruction on every platform
that we run on (it copies 8 bytes of a known size): nobody ever reads half of a number.

Locks are the kernel's byte locks (fcntl, POSIX): byte N of the file for row N. They are freed when their holder dies.
They belong to a process, not to a descriptor, and closing any descriptor of the file would free them all: so mappings,
which hold one, stay open as long as the block. A holder that is stopped within the microseconds that it holds one
stops those who want it, until it is killed (heartbeat).
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from typing import Final

from posthouse.balance.ledger import SHEET_CELLS
from posthouse.balance.trials import FIRST_CELL
from posthouse.errors import StartError

CHUNK_ROWS: Final = mmap.PAGESIZE // 8
_COLUMN: Final = CHUNK_ROWS * (1 + SHEET_CELLS)
_SHEET_BYTES: Final = SHEET_CELLS * 8
_HEADER: Final = struct.Struct("<8sqq40s")
_MAGIC: Final = b"posthous"
_LAYOUT: Final = 3
"""Another arrangement gets another number, even within one version while that is being developed."""


class Block:
    """See above.

    columns  one for each worker
    cells    whole numbers; times: the same memory as floating-point ones
    stride   from a row's cell in one column to that in the next
    rows     how many there are; new ones are zero
    notes    the pages of all columns, as whole numbers; note_times: as floating-point ones
    """

    __slots__ = (
        *("_begin", "_chunk_bytes", "_mappings", "cells", "columns", "fd", "note_times", "notes"),
        *("rows", "stride", "times"),
    )

    def __init__(self, fd: int, columns: int) -> None:
        """The block takes the descriptor over."""
        self.fd = fd
        self.columns = columns
        self.stride = _COLUMN
        self.rows = 0
        self._chunk_bytes = columns * _COLUMN * 8
        self._begin = (1 + columns) * mmap.PAGESIZE
        self._mappings: list[mmap.mmap] = []
        self.cells = memoryview(b"").cast("q")
        self.times = memoryview(b"").cast("d")
        self._map()
        notes = memoryview(self._mappings[0])[mmap.PAGESIZE : self._begin]
        self.notes, self.note_times = notes.cast("q"), notes.cast("d")

    def __repr__(self) -> str:
        return f"<Block fd={self.fd} columns={self.columns} rows={self.rows}>"

    def _map(self) -> None:
        size = os.fstat(self.fd).st_size
        mapping = mmap.mmap(self.fd, size)
        self._mappings.append(mapping)
        memory = memoryview(mapping)[self._begin :]
        self.cells, self.times = memory.cast("q"), memory.cast("d")
        self.rows = (size - self._begin) // self._chunk_bytes * CHUNK_ROWS

    def at(self, row: int) -> int:
        """The index of a row's cell in column 0."""
        chunk, place = divmod(row, CHUNK_ROWS)
        return chunk * self.columns * _COLUMN + place

    def sheet_at(self, row: int) -> int:
        """The index of the first cell of a row's sheet in column 0."""
        chunk, place = divmod(row, CHUNK_ROWS)
        return chunk * self.columns * _COLUMN + CHUNK_ROWS + place * SHEET_CELLS

    def grow(self, rows: int) -> None:
        """Have at least so many rows. For the owner; the others `fit`."""
        if rows > self.rows:
            chunks = -(-rows // CHUNK_ROWS)
            os.ftruncate(self.fd, self._begin + chunks * self._chunk_bytes)
            self._map()

    def fit(self, rows: int) -> None:
        """See at least so many rows, which the owner has made. Raises StartError if it has not."""
        if rows > self.rows:
            self._map()
        if rows > self.rows:
            raise StartError(f"the shared block has {self.rows} rows, not {rows}")

    def clear_column(self, column: int) -> None:
        """Its worker has ended: it holds nothing, and nobody waits in it. What it has said stays true."""
        zeros = memoryview(bytes(mmap.PAGESIZE)).cast("q")
        for chunk in range(self.rows // CHUNK_ROWS):
            begin = (chunk * self.columns + column) * _COLUMN
            self.cells[begin : begin + CHUNK_ROWS] = zeros
            self._clear_trials(begin + CHUNK_ROWS)

    def _clear_trials(self, first: int) -> None:
        """In the sheets that begin there: what was counted stays until it is over, but nobody ends these any more."""
        begin = self._begin + first * 8
        end = begin + CHUNK_ROWS * SHEET_CELLS * 8
        at = begin
        while at < end:
            try:
                at = os.lseek(self.fd, at, os.SEEK_DATA) // _SHEET_BYTES * _SHEET_BYTES
            except OSError:  # nothing was written to from there on
                return
            if at < end:
                sheet = (at - self._begin) // 8
                for cell in range(sheet + FIRST_CELL, sheet + SHEET_CELLS):
                    self.cells[cell] = 0
            at += _SHEET_BYTES

    def clear_row(self, row: int) -> None:
        """Nobody writes to it any more, and it will be another's."""
        at = self.at(row)
        for column in range(self.columns):
            self.cells[at + column * self.stride] = 0
            sheet = self.sheet_at(row) + column * self.stride
            # Read as a file: a page of memory that nobody has written to would come into being.
            if any(os.pread(self.fd, SHEET_CELLS * 8, self._begin + sheet * 8)):
                self.cells[sheet : sheet + SHEET_CELLS] = memoryview(bytes(SHEET_CELLS * 8)).cast("q")

    def row(self, row: int) -> list[int]:
        """What each worker has written."""
        at = self.at(row)
        return [self.cells[at + column * self.stride] for column in range(self.columns)]

    def lock(self, row: int) -> None:
        """Nobody else has it until `unlock`. One at a time; both cost about a microsecond."""
        fcntl.lockf(self.fd, fcntl.LOCK_EX, 1, row)

    def unlock(self, row: int) -> None:
        """See `lock`."""
        fcntl.lockf(self.fd, fcntl.LOCK_UN, 1, row)

    def close(self) -> None:
        """Our part in it ends; what others have stays."""
        for view in (self.cells, self.times, self.notes, self.note_times):
            view.release()
        self._mappings.clear()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def create(columns: int, version: str) -> Block:
    """A new one, ours, without rows. Raises StartError."""
    if not hasattr(os, "memfd_create"):
        raise StartError("this system has no memory that several workers could share; use --workers 1")
    try:
        fd = os.memfd_create("posthouse")
        os.write(fd, _HEADER.pack(_MAGIC, _LAYOUT, columns, version.encode()))
        os.ftruncate(fd, (1 + columns) * mmap.PAGESIZE)
    except OSError as error:
        raise StartError(f"no memory to share with workers: {error.strerror}") from None
    return Block(fd, columns)


def attach(fd: int, version: str) -> Block:
    """The one that is behind a descriptor, which it takes over.

    Raises StartError if that is none, or not of this version: then nothing in it may be read or written.
    """
    try:
        magic, layout, columns, found = _HEADER.unpack(os.pread(fd, _HEADER.size, 0))
    except (OSError, struct.error):
        magic, layout, columns, found = b"", 0, 0, b""
    if magic != _MAGIC:
        raise StartError("what should be the shared block is none")
    other = found.rstrip(b"\0").decode("utf-8", "replace")
    if layout != _LAYOUT or other != version:
        raise StartError(
            f"the shared block is of Posthouse {other}, layout {layout}; this is {version}, {_LAYOUT}"
        )
    return Block(fd, columns)
