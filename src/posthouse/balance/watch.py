"""Watch: what the pools that share backends look at before they trust what they know to be ready."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from posthouse.balance import slow_start
from posthouse.balance.breaker import Phase
from posthouse.balance.budget import RetryBudget
from posthouse.balance.ejection import Ejections
from posthouse.balance.health import NEVER

if TYPE_CHECKING:
    from posthouse.balance.backend import Backend
    from posthouse.balance.identity import BackendKey
    from posthouse.balance.tally import Tally

REMEMBERED_CHANGES: Final = 64
"""A pool that has missed more than these looks at every backend again."""


class Watch:
    """See above. One for each pool name, kept over reloads.

    changes     how often some backend has become usable or stopped being so
    changed     the last of those that did, newest last
    expires     when the earliest mark falls or a slow start goes on (monotonic seconds), `NEVER` for neither
    tally       where a large pool counts its load, or None; the pool that serves sets it
    budget      of the pool's retries
    ejections   who is left out where not all may be, None where all may
    trying      those whose breaker lets trials through
    is_limited  in a group of workers: whether a backend of the pool that serves has `max_conns`
    on_change   told after each change; None while nobody waits for a backend (waiting.py)
    on_release  told when something was given back that other workers may wait for; None without those
    on_breaker  is told of each backend whose breaker has changed, and what it was; or None
    on_failure  is told of each backend that has failed, until when that counts, and why; or None
    """

    __slots__ = (
        *("_left", "_marked", "_order", "_serving", "_warming", "budget", "changed", "changes"),
        *(
            "ejections",
            "expires",
            "is_limited",
            "on_breaker",
            "on_change",
            "on_failure",
            "on_release",
            "tally",
            "trying",
        ),
    )

    def __init__(self) -> None:
        self.changes = 0
        self.changed: deque[Backend] = deque(maxlen=REMEMBERED_CHANGES)
        self.expires = NEVER
        self.is_limited = False
        self.trying: dict[Backend, None] = {}
        self.tally: Tally | None = None
        self.budget = RetryBudget()
        self.ejections: Ejections | None = None
        self.on_breaker: Callable[[Backend, Phase], None] | None = None
        self.on_failure: Callable[[Backend, float, str], None] | None = None
        self.on_change: Callable[[], None] | None = None
        self.on_release: Callable[[], None] | None = None
        self._marked: list[tuple[float, int, Backend]] = []
        self._order = 0
        self._warming: dict[Backend, None] = {}
        self._serving: Sequence[Backend] = ()
        self._left: dict[BackendKey, Backend] = {}

    def __repr__(self) -> str:
        warming = f" warming={len(self._warming)}" if self._warming else ""
        return f"<Watch changes={self.changes} marked={len(self._marked)}{warming}>"

    def end(self) -> None:
        """No pool uses it any more: forget the backends, each of which knows it, so that all is freed at once."""
        self.changed.clear()
        self._marked.clear()
        self._warming.clear()
        self._left.clear()
        self.trying.clear()
        self._serving = ()
        self.expires = NEVER
        self.tally = self.ejections = self.on_breaker = self.on_failure = None
        self.on_change = self.on_release = None

    def serve(self, backends: Sequence[Backend]) -> None:
        """The pool that serves from now on has these. Those that left are remembered while exchanges hold them. O(n)"""
        stay = set(backends)
        gone = [one for one in (*self._left.values(), *self._serving) if one not in stay]
        if gone:
            keys = {one.key for one in backends}
            for one in gone:
                self.trying.pop(one, None)
                if one.key in keys:
                    one.part()
        self._left = {one.key: one for one in gone if one.in_flight}
        self._serving = backends

    def left(self, key: BackendKey) -> Backend | None:
        """A backend that has left and that exchanges still hold: if it comes back, its limit counts them."""
        backend = self._left.get(key)
        return backend if backend is not None and backend.in_flight else None

    def note(self, backend: Backend) -> None:
        """`backend` has become usable or stopped being so."""
        self.changes += 1
        self.changed.append(backend)
        if self.tally is not None:
            self.tally.update(backend)
        self.tell()

    def tell(self) -> None:
        """Something is different for those who wait: also a full backend that is marked, or goes down."""
        if self.on_change is not None:
            self.on_change()

    def warm(self, backend: Backend) -> None:
        """`backend` begins its slow start with the next look."""
        self._warming[backend] = None
        self.expires = -NEVER

    def mark(self, backend: Backend, until: float) -> None:
        """`backend` is marked by failures at least until then."""
        self._order += 1  # so that the heap never has to compare backends
        heappush(self._marked, (until, self._order, backend))
        self.expires = min(self.expires, until)
        self.tell()

    def expire(self, now: float) -> None:
        """Let the marks fall whose time has come, O(log n) for each of them, and slow starts go on, O(1) for each."""
        marked = self._marked
        while marked and marked[0][0] <= now:
            heappop(marked)[2].review(now)
        self.expires = marked[0][0] if marked else NEVER
        if self._warming:
            for backend in self._warming:
                backend.warm_up(now)
                if self.tally is not None:
                    self.tally.update(backend)
            self._warming = {backend: None for backend in self._warming if backend.warmth < 1.0}
            steps = [slow_start.pause(backend.slow_start) for backend in self._warming]
            self.expires = min(self.expires, now + min(steps, default=NEVER))
