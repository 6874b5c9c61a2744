"""Shares: a worker's part of the shared block: for each pool a `balance.group.Group`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from operator import add, itemgetter

from posthouse.balance.group import Oldest
from posthouse.balance.identity import BackendKey
from posthouse.server.block import Block
from posthouse.server.bulletin import Bulletin, Line
from posthouse.server.rows import RowKey, queue_keys
from posthouse.server.wakes import Wakes

_fence = threading.Lock()
"""To take a lock that nobody has is an atomic exchange, which the processor lets no store or load pass: 0.05 µs. What
was published before can be seen by other processors before anything is read after it."""


class SharedSheet:
    """What one worker has more of a row. See `balance.group.Sheet`."""

    __slots__ = ("_block", "_row", "at", "cells", "starts")

    def __init__(self, block: Block, worker: int, row: int) -> None:
        first = block.sheet_at(row)
        self._block = block
        self._row = row
        self.cells = block.cells
        self.at = first + worker * block.stride
        self.starts = [first + column * block.stride for column in range(block.columns)]

    def begin(self, at: int, width: int, number: int) -> None:
        for cell in range(at, at + width):
            self.cells[cell] = 0
        with _fence:
            self.cells[at] = number

    def lock(self) -> None:
        self._block.lock(self._row)

    def unlock(self) -> None:
        self._block.unlock(self._row)


class Cell:
    """One row of the block, as one worker has it."""

    __slots__ = ("_block", "_others", "_row", "_sheet", "_worker", "at", "cells")

    def __init__(self, block: Block, worker: int, row: int) -> None:
        first = block.at(row)
        self._sheet: SharedSheet | None = None
        self._worker = worker
        self._block = block
        self.cells = block.cells
        self._row = row
        self.at = first + worker * block.stride
        self._others = [first + column * block.stride for column in range(block.columns) if column != worker]

    @property
    def sheet(self) -> SharedSheet:
        """The one of this row: what is on it was this worker's own, or of one that ended before it."""
        if self._sheet is None:
            self._sheet = SharedSheet(self._block, self._worker, self._row)
        return self._sheet

    def publish(self, held: int) -> None:
        """See `balance.group.Place`, here and below."""
        self.cells[self.at] = held

    def give_back(self, held: int) -> int:
        """In this order: whoever waits has published that before it looks."""
        self.cells[self.at] = held
        with _fence:
            pass
        return self.others()

    def others(self) -> int:
        """The sum of their cells."""
        cells = self.cells
        total = 0
        for at in self._others:
            total += cells[at]
        return total

    def claim(self, held: int, limit: int) -> bool:
        """Under the lock of the row: others only become fewer meanwhile."""
        self._block.lock(self._row)
        try:
            if held + self.others() >= limit:
                return False
            self.cells[self.at] = held + 1
            return True
        finally:
            self._block.unlock(self._row)


class SharedLine:
    """The queue of one pool. See `balance.group.Line`."""

    __slots__ = ("_length", "_mine", "_others", "_shares", "_times", "on_wake", "worker")

    def __init__(self, shares: Shares, length: int, oldest: int) -> None:
        block = shares.block
        self.worker = shares.worker
        self.on_wake: Callable[[], None] = _nobody
        self._shares = shares
        self._length = Cell(block, shares.worker, length)
        at = block.at(oldest)
        self._times = block.times
        self._mine = at + shares.worker * block.stride
        self._others = [
            (column, at + column * block.stride) for column in range(block.columns) if column != shares.worker
        ]

    @property
    def sheet(self) -> SharedSheet:
        return self._length.sheet

    def publish(self, length: int, since: float) -> None:
        self._times[self._mine] = since
        self._length.publish(length)
        with _fence:
            pass
        if length:
            self._shares.waiting[self] = None
        else:
            self._shares.waiting.pop(self, None)

    def claim(self, length: int, size: int) -> bool:
        return self._length.claim(length, size)

    def length(self) -> int:
        return self._length.others() + self._length.cells[self._length.at]

    def others(self) -> Sequence[Oldest]:
        times = self._times
        return [(since, column) for column, at in self._others if (since := times[at])]

    def wake(self, worker: int) -> None:
        self._shares.wakes.wake(worker)


class SharedPool:
    """What one pool with these backends shares. See `balance.group.Group`."""

    __slots__ = ("_cells", "_columns", "catch_up", "line", "places")

    def __init__(self, shares: Shares, line: SharedLine, rows: Sequence[int]) -> None:
        block = shares.block
        self.line = line
        self.catch_up = shares.catch_up
        self.places = [shares.cell(row) for row in rows]
        self._cells = block.cells
        at = [block.at(row) for row in rows]
        self._columns: list[Callable[[memoryview], Sequence[int]]] = [
            _reader([one + column * block.stride for one in at])
            for column in range(block.columns)
            if column != shares.worker
        ]

    def others(self) -> Sequence[int]:
        first, *rest = self._columns
        total: Sequence[int] = first(self._cells)
        for column in rest:
            total = list(map(add, total, column(self._cells)))
        return total


def _reader(at: Sequence[int]) -> Callable[[memoryview], Sequence[int]]:
    """Reads the cells at these places. Most pools got theirs at once, in a row: that is three times as quick."""
    first = at[0]
    if list(at) == list(range(first, first + len(at))):
        end = first + len(at)
        return lambda cells: cells[first:end].tolist()
    return itemgetter(*at)


def _nobody() -> None:
    """Nobody waits here."""


def _nobody_hears(key: RowKey, line: Line) -> None:
    """No pool is served yet."""


class Shares:
    """See above. One for a worker that is not alone.

    waiting  the queues in which somebody waits here
    on_news  told the key of a backend's row and what another worker has written about it on the bulletin
    """

    def __init__(self, block: Block, wakes: Wakes, worker: int) -> None:
        self.block = block
        self.wakes = wakes
        self.worker = worker
        self.waiting: dict[SharedLine, None] = {}
        self.on_news: Callable[[RowKey, Line], None] = _nobody_hears
        self._rows: dict[RowKey, int] = {}
        self._keys: dict[int, RowKey] = {}
        self._bulletin = Bulletin(block, worker)
        self._lines: dict[tuple[int, int], SharedLine] = {}
        self._cells: dict[int, Cell] = {}

    def __repr__(self) -> str:
        return f"<Shares of worker {self.worker} rows={len(self._rows)} waiting={len(self.waiting)}>"

    def know(self, rows: Mapping[RowKey, int], size: int, freed: Sequence[RowKey] = ()) -> None:
        """These rows belong to these keys; those were nobody's any more. Raises StartError if they are not there."""
        self.block.fit(size)
        for key in freed:
            row = self._rows.pop(key, None)
            if row is not None:
                self._keys.pop(row, None)
                self._cells.pop(row, None)
                self._lines = {pair: line for pair, line in self._lines.items() if row not in pair}
        self._rows |= rows
        self._keys |= {row: key for key, row in rows.items()}

    def write(self, pool: str, backend: BackendKey, kind: int, since: float, until: float) -> None:
        """Let the others know of a backend before anything else happens here."""
        row = self._rows.get((pool, *backend))
        if row is not None:
            self._bulletin.write(Line(row, kind, since, until))

    def catch_up(self) -> None:
        """See `balance.group.Group`."""
        if self._bulletin.is_read:
            return
        for line in self._bulletin.take():
            key = self._keys.get(line.row)
            if key is not None:
                self.on_news(key, line)

    def cell(self, row: int) -> Cell:
        """The one of a row: a backend has it for as long as it lives."""
        cell = self._cells.get(row)
        if cell is None:
            cell = self._cells[row] = Cell(self.block, self.worker, row)
        return cell

    def group(self, pool: str, backends: Sequence[BackendKey]) -> SharedPool | None:
        """What a pool with these backends shares; None if their rows are not known, so that they are this worker's."""
        rows = self._rows
        length, oldest = (rows.get(key) for key in queue_keys(pool))
        places = [rows.get((pool, *backend)) for backend in backends]
        known = [place for place in places if place is not None]
        if length is None or oldest is None or len(known) < len(places) or not places:
            return None
        line = self._lines.get((length, oldest))
        if line is None:
            line = self._lines[length, oldest] = SharedLine(self, length, oldest)
        return SharedPool(self, line, known)

    def on_wake(self) -> None:
        """The worker was woken: ask those who wait, in every pool where somebody does."""
        self.wakes.take(self.worker)
        for line in list(self.waiting):
            line.on_wake()
