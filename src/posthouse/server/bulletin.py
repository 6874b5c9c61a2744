"""Bulletin: the last news of each worker about backends, in the memory that all share.

A worker writes them down before it answers whoever has seen the failure, and the others look before each choice. So a
client that has been told of a failure never meets the same backend in another worker, as it would while a message
is on its way. The message comes as well (`news`), with the reason in words, for those who have missed a line here and
for workers that are started later; what is known already then changes nothing.

    head   how many lines have been written there, by a worker and by those before it in its place: a count that began
           anew could come to what the others have read already
    lines  written in turn on the rest of its page: the row of a backend, a kind, two times
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

from posthouse.server.block import CHUNK_ROWS, Block

_FIELDS: Final = 4
_PLACES: Final = CHUNK_ROWS // _FIELDS - 1
LINES: Final = _PLACES - 1
"""That can be read of each worker: its next one may be under way. Who misses more waits for the messages."""
_fence = threading.Lock()
"""As in `shares`: what is written before it is seen by other processors before what is written after it."""


@dataclass(frozen=True, slots=True)
class Line:
    """row: of the backend; kind, since and until: see `news`."""

    row: int
    kind: int
    since: float
    until: float


class Bulletin:
    """As one worker has it."""

    __slots__ = ("_cells", "_heads", "_mine", "_seen", "_times", "_written")

    def __init__(self, block: Block, worker: int) -> None:
        self._cells, self._times = block.notes, block.note_times
        self._heads = [column * CHUNK_ROWS for column in range(block.columns) if column != worker]
        self._seen = [self._cells[head] for head in self._heads]
        self._mine = worker * CHUNK_ROWS
        self._written = self._cells[self._mine]

    def __repr__(self) -> str:
        return f"<Bulletin written={self._written}>"

    @property
    def is_read(self) -> bool:
        """Whether nobody else has written since the last `take`."""
        cells = self._cells
        return [cells[head] for head in self._heads] == self._seen

    def write(self, line: Line) -> None:
        """The others can read it from now on."""
        at = self._mine + _place(self._written)
        self._cells[at], self._cells[at + 1] = line.row, line.kind
        self._times[at + 2], self._times[at + 3] = line.since, line.until
        self._written += 1
        with _fence:
            self._cells[self._mine] = self._written

    def take(self) -> list[Line]:
        """What others have written since the last time, as far as it has not been written over."""
        lines: list[Line] = []
        for number, head in enumerate(self._heads):
            written = self._cells[head]
            lines += self._read(head, max(self._seen[number], written - LINES), written)
            self._seen[number] = written
        return lines

    def _read(self, head: int, first: int, end: int) -> list[Line]:
        read = []
        for number in range(first, end):
            at = head + _place(number)
            line = Line(self._cells[at], self._cells[at + 1], self._times[at + 2], self._times[at + 3])
            with _fence:
                if self._cells[head] - number <= LINES:
                    read.append(line)
        return read


def _place(number: int) -> int:
    return _FIELDS * (1 + number % _PLACES)
