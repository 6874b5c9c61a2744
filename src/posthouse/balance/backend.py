"""A backend: one endpoint and its live state, shared by the generations that keep it.

Laws:
1. `is_usable` is true exactly when the backend is up (neither down nor draining), not marked by failures, and
   not full, as of the last time `Watch.expire` was called.
2. Every change of `is_usable` raises `Watch.changes`, and every mark that will fall is in the watch's heap.
   So a pool may trust its ready tuple while neither number tells it otherwise.
3. `in_flight` is never negative and, unless a reload lowered the limit meanwhile, never above `max_conns`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable
from hashlib import blake2b
from heapq import heappop, heappush

from posthouse.balance.active_health import State
from posthouse.balance.health import NEVER, FailureWindow
from posthouse.config.specs import EndpointSpec, PassiveSpec

BackendKey = tuple[str, int]
"""What makes two backends of successive pools the same one: endpoint text, occurrence number from 1."""

_NO_LIMIT = sys.maxsize


class Watch:
    """What pools that share backends look at before they trust their ready tuples.

    changes  how often some backend has become usable or stopped being so
    expires  when the earliest mark falls (monotonic seconds), `NEVER` if there is none
    on_change  told after each of these changes; None while nobody waits for a backend (waiting.py)
    """

    __slots__ = ("_marked", "_order", "changes", "expires", "on_change")

    def __init__(self) -> None:
        self.changes = 0
        self.expires = NEVER
        self.on_change: Callable[[], None] | None = None
        self._marked: list[tuple[float, int, Backend]] = []
        self._order = 0

    def __repr__(self) -> str:
        return f"<Watch changes={self.changes} marked={len(self._marked)}>"

    def note(self) -> None:
        """A backend has become usable or stopped being so."""
        self.changes += 1
        self.tell()

    def tell(self) -> None:
        """Something is different for those who wait: also a full backend that is marked, or goes down."""
        if self.on_change is not None:
            self.on_change()

    def mark(self, backend: Backend, until: float) -> None:
        """`backend` is marked by failures at least until then."""
        self._order += 1  # so that the heap never has to compare backends
        heappush(self._marked, (until, self._order, backend))
        self.expires = self._marked[0][0]
        self.tell()

    def expire(self, now: float) -> None:
        """Let the marks fall whose time has come: O(log n) for each of them."""
        marked = self._marked
        while marked and marked[0][0] <= now:
            heappop(marked)[2].review(now)
        self.expires = marked[0][0] if marked else NEVER


def warm_key(backend: Backend, tls: Hashable | None) -> Hashable:
    """What idle connections of a backend are kept under. With another TLS identity they are another's: one that was
    verified by other rules, or with another certificate of ours, must not be used (reliability.md 2.18)."""
    return backend if tls is None else (backend, tls)


class Backend:
    """One endpoint with what is known of it now.

    endpoint   what is dialled
    name       for people: the endpoint's text; a repeat within the pool gets "#2"
    seed       64 bits that place it among others for hashing; depends on the key only
    in_flight  exchanges that hold it
    max_conns  the most that may hold it, 0 = no limit
    tls        the TLS identity that it is dialled with, None for plain ones; whoever dials knows what it is
    is_usable  up, not marked, not full (see the laws above); read it, never set it
    state      what active health checks believe; set it with `believe`
    reason     why, one short phrase; "" while it has been UP from the beginning
    since      when it became so, monotonic seconds; None = from the beginning
    """

    __slots__ = (
        "_fail_timeout",
        "_full_at",
        "_is_marked",
        "_is_up",
        "_max_fails",
        "_watch",
        "_window",
        "endpoint",
        "in_flight",
        "is_usable",
        "key",
        "name",
        "reason",
        "seed",
        "since",
        "state",
        "tls",
    )

    def __init__(self, endpoint: EndpointSpec, occurrence: int, watch: Watch) -> None:
        self.endpoint = endpoint
        self.key: BackendKey = (endpoint.text, occurrence)
        self.name = endpoint.text if occurrence == 1 else f"{endpoint.text}#{occurrence}"
        self.seed = int.from_bytes(
            blake2b(f"{endpoint.text}\0{occurrence}".encode(), digest_size=8).digest(), "little"
        )
        self.tls: Hashable | None = None
        self.in_flight = 0
        self.is_usable = True
        self._watch = watch
        self._window = FailureWindow()
        self.state = State.UP
        self.reason = ""
        self.since: float | None = None
        self._is_up = True
        self._is_marked = False
        self._full_at = _NO_LIMIT
        self._fail_timeout = 0.0
        self._max_fails = 1

    def __repr__(self) -> str:
        limit = f"/{self.max_conns}" if self.max_conns else ""
        belief = "marked" if self._is_up and self._is_marked else self.state
        return f"<Backend {self.name} {belief} in_flight={self.in_flight}{limit}>"

    @property
    def max_conns(self) -> int:
        return 0 if self._full_at == _NO_LIMIT else self._full_at

    @property
    def is_up(self) -> bool:
        """Whether active health checks let it have new requests; true until a check says no."""
        return self._is_up

    @is_up.setter
    def is_up(self, is_up: bool) -> None:
        self.believe(State.UP if is_up else State.DOWN)

    def believe(self, state: State, reason: str = "", since: float | None = None) -> None:
        """What active health checks believe from now on. What failed requests have marked is not touched."""
        self.state, self.reason, self.since = state, reason, since
        self._is_up = state is State.UP
        self._settle()
        self._watch.tell()

    @property
    def is_full(self) -> bool:
        return self.in_flight >= self._full_at

    def is_marked(self, now: float) -> bool:
        """Whether as many failures as the pool tolerates are remembered at `now`."""
        return self._window.count(now) >= self._max_fails

    def is_available(self, now: float) -> bool:
        """Up, not marked and not full, at `now`."""
        return self._is_up and not self.is_full and not self.is_marked(now)

    def failures(self, now: float) -> int:
        """How many failures are remembered at `now`."""
        return self._window.count(now)

    def mark_falls(self) -> float:
        """When the mark falls if nothing else fails, monotonic seconds; `-NEVER` without a mark."""
        return self._window.below(self._max_fails)

    def configure(self, endpoint: EndpointSpec, max_conns: int, passive: PassiveSpec) -> None:
        """Take new settings and keep the state. The endpoint's text must be the one that it was made with."""
        self.endpoint = endpoint
        self._full_at = max_conns if max_conns > 0 else _NO_LIMIT
        self._fail_timeout = passive.fail_timeout
        self._max_fails = passive.max_fails
        if self._fail_timeout <= 0:
            self._window.clear()
        self._mark()

    def acquire(self) -> None:
        """Hold it for one exchange. Raises RuntimeError if it is full: whoever asks must look first."""
        held = self.in_flight + 1
        self.in_flight = held
        if held >= self._full_at:
            self._fill(held)

    def release(self) -> None:
        """Give it back. Raises RuntimeError if nobody holds it."""
        held = self.in_flight
        self.in_flight = held - 1
        if not 0 < held < self._full_at:
            self._drain_one(held)

    def fail(self, now: float) -> None:
        """A failure that counts against it (`retry.is_backend_fault`); forgotten after `fail_timeout`."""
        if self._fail_timeout > 0:
            self._window.add(now, now + self._fail_timeout)
            self._mark()

    def review(self, now: float) -> None:
        """For `Watch` only: a mark's time has come. More failures may have moved it on since."""
        self._window.forget(now)
        self._is_marked = False
        self._mark()

    def _mark(self) -> None:
        until = self._window.below(self._max_fails)
        was_marked = self._is_marked
        self._is_marked = until != -NEVER
        self._settle()
        if self._is_marked and not was_marked:
            self._watch.mark(self, until)

    def _fill(self, held: int) -> None:
        if held > self._full_at:
            self.in_flight = held - 1
            raise RuntimeError(f"acquire of a full backend: {self!r}")
        self._settle()

    def _drain_one(self, held: int) -> None:
        if held <= 0:
            self.in_flight = held
            raise RuntimeError(f"release of a backend that nobody holds: {self!r}")
        self._settle()

    def _settle(self) -> None:
        is_usable = self._is_up and not self._is_marked and self.in_flight < self._full_at
        if is_usable != self.is_usable:
            self.is_usable = is_usable
            self._watch.note()
