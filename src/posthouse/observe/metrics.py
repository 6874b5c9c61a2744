"""Metrics: what one process counts of its exchanges.

Nothing is counted, and nothing is paid, until somebody can ask (`Metrics` is made then). An exchange that is over
finds its `Cell` on its route and adds to plain numbers there; names, sums over processes and text are made when
somebody asks (snapshot.py, exposition.py).

Laws:
1. Cells are found by the names of site and route, so that a reload goes on counting where the generation before was.
2. What a site has counted that is gone is added to one cell for all such, and so is what still ends in it.
3. There are no more rows than the configuration has routes, times known methods, statuses and kinds of failure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from http import HTTPStatus
from typing import Final

from posthouse.observe.families import DURATION_BUCKETS, NO_ROUTE, REMOVED_SITE, UNKNOWN_SITE, WAIT_BUCKETS
from posthouse.observe.snapshot import Histogram, Labels, Rows, Sample

METHODS: Final = {
    name.encode(): name
    for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE")
}
OTHER_METHOD: Final = "other"
CELLS_AT_ONCE: Final = 50
"""A millisecond's work."""
_STATUSES: Final = frozenset((*map(int, HTTPStatus), 499))

REQUEST_BYTES, RESPONSE_BYTES, NEW, REUSED, RETRIES = range(5)
"""Where a cell's `sums` hold what."""
_SUMMED: Final[tuple[tuple[int, str, Labels], ...]] = (
    (REQUEST_BYTES, "posthouse_request_body_bytes_total", ()),
    (RESPONSE_BYTES, "posthouse_response_body_bytes_total", ()),
    (NEW, "posthouse_attempts_total", ("new",)),
    (REUSED, "posthouse_attempts_total", ("reused",)),
    (RETRIES, "posthouse_retries_total", ()),
)


class Cell:
    """What was counted for one route of one site (or for what a site answers without one).

    exchanges  by method as in METHODS, status as sent, and kind of failure or ""
    durations  by bucket
    waits      of those that stood in the queue, by bucket
    seconds    two numbers: the sum of all durations, and of all waits
    sums       see REQUEST_BYTES and so on
    failures   failed attempts by kind

    All of it lies in containers, which `join` makes those of another cell.
    """

    __slots__ = ("durations", "exchanges", "failures", "seconds", "sums", "waits")

    def __init__(self) -> None:
        self.exchanges: dict[tuple[str, int, str], int] = {}
        self.durations = [0] * (len(DURATION_BUCKETS) + 1)
        self.waits = [0] * (len(WAIT_BUCKETS) + 1)
        self.seconds = [0.0, 0.0]
        self.sums = [0] * 5
        self.failures: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<Cell exchanges={sum(self.exchanges.values())}>"

    def join(self, other: Cell) -> None:
        """Add everything to `other`; what is counted here from now on is counted there."""
        for key, count in self.exchanges.items():
            other.exchanges[key] = other.exchanges.get(key, 0) + count
        for kind, count in self.failures.items():
            other.failures[kind] = other.failures.get(kind, 0) + count
        other.durations[:] = [a + b for a, b in zip(self.durations, other.durations, strict=True)]
        other.waits[:] = [a + b for a, b in zip(self.waits, other.waits, strict=True)]
        other.seconds[:] = [a + b for a, b in zip(self.seconds, other.seconds, strict=True)]
        other.sums[:] = [a + b for a, b in zip(self.sums, other.sums, strict=True)]
        for name in Cell.__slots__:
            setattr(self, name, getattr(other, name))

    def rows(self) -> Iterator[tuple[str, Labels, Sample]]:
        """Names, labels behind site and route, and values."""
        exchanges: Counter[Labels] = Counter()
        for (method, status, failure), count in self.exchanges.items():
            exchanges[method, status_label(status), failure] += count
        for labels, count in exchanges.items():
            yield "posthouse_exchanges_total", labels, count
        yield "posthouse_exchange_duration_seconds", (), Histogram(tuple(self.durations), self.seconds[0])
        if any(self.waits):
            yield "posthouse_queue_wait_seconds", (), Histogram(tuple(self.waits), self.seconds[1])
        for place, name, labels in _SUMMED:
            yield name, labels, self.sums[place]
        for kind, count in self.failures.items():
            yield "posthouse_attempt_failures_total", (kind,), count


class Metrics:
    """The cells of one process.

    unknown  for hosts that no site has
    refused  requests that could not be read, by status
    refused_peers  connections that had to begin with a PROXY protocol header, and did not
    """

    __slots__ = ("_cells", "_keeps", "_removed", "refused", "refused_peers", "unknown")

    def __init__(self) -> None:
        self._cells: dict[tuple[str, str], Cell] = {}
        self._removed: Cell | None = None
        self._keeps = 0
        self.unknown = Cell()
        self.refused: dict[int, int] = {}
        self.refused_peers = 0

    def __repr__(self) -> str:
        return f"<Metrics cells={len(self._cells)}>"

    def cell(self, site: str, route: str) -> Cell:
        """Where to count for a route; it stays the same for the same names."""
        cell = self._cells.get((site, route))
        if cell is None:
            cell = self._cells[site, route] = Cell()
        return cell

    def keep(self, names: Collection[tuple[str, str]]) -> None:
        """A configuration has only these sites with these routes. Exchanges of former ones may still run."""
        self._keeps += 1
        for gone in [pair for pair in self._cells if pair not in names]:
            if self._removed is None:
                self._removed = Cell()
            self._cells.pop(gone).join(self._removed)

    def rows(self) -> dict[str, Rows]:
        """All families of exchanges."""
        made: dict[str, Rows] = {}
        for _ in self.gather(made):
            pass
        return made

    def gather(self, into: dict[str, Rows]) -> Iterator[None]:
        """The same, with a pause after every few cells: thousands of sites take a tenth of a second.

        When sites go meanwhile, it begins again: their counts must not be told twice, under both names.
        """
        made: dict[str, dict[Labels, Sample]] = {}
        is_done = False
        while not is_done:
            made, keeps = {}, self._keeps
            cells = {**self._cells, (UNKNOWN_SITE, NO_ROUTE): self.unknown}
            if self._removed is not None:
                cells[REMOVED_SITE, NO_ROUTE] = self._removed
            for number, (names, cell) in enumerate(cells.items(), 1):
                for family, labels, sample in cell.rows():
                    made.setdefault(family, {})[*names, *labels] = sample
                if not number % CELLS_AT_ONCE:
                    yield
                    if keeps != self._keeps:
                        break
            else:
                is_done = True
        if self.refused:
            refused = made["posthouse_refused_requests_total"] = {}
            for status, count in self.refused.items():
                refused[str(status),] = count
        into.update(made)
        into["posthouse_refused_peers_total"] = {(): self.refused_peers}


def status_label(status: int) -> str:
    """Registered statuses as they are, others (backends may say anything) as their class: "2xx"."""
    return str(status) if status in _STATUSES else f"{status // 100}xx"
