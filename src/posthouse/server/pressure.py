"""Pressure: what a worker does when descriptors or memory run short. Once a second it looks, and acts.

Laws
- Running exchanges are never cut. What goes first is what nobody uses: warm connections to backends, idle clients.
- Refusing is an answer (503, Retry-After, close), at once; accepting goes on meanwhile, or a load balancer in front
  would wait for us instead of asking another one (docs/decisions).
- Coming back needs nobody.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from posthouse.errors import StartError
from posthouse.observe.process_log import ONCE_A_MINUTE, ProcessLog
from posthouse.server import descriptors, memory
from posthouse.server.accepting import IDLE_SECONDS, Admission
from posthouse.server.gauge import Change, Gauge

LOOK_SECONDS: Final = 1.0
"""How often it looks. What comes within a second is bounded by the limit of connections."""


CROWD: Final = 1000
"""So many connections less than there have been, and half of them gone: it is worth 2 to 12 ms to give back their
memory. The allocator does that by itself only with what is free at the end of its heap."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a worker may use.

    descriptors  the soft limit of the process
    connections  downstream connections at most (`--max-connections`); None = what the descriptors allow
    memory       resident bytes (its share of `--max-memory`); 0 = no limit
    """

    descriptors: int = descriptors.FALLBACK
    connections: int | None = None
    memory: int = 0


class Shortage(NamedTuple):
    """is_now: whether there is too little of it; times: how often that began."""

    is_now: bool
    times: int


class Relief(Protocol):
    """What a worker needs of `server.runtime.Runtime` here."""

    on_exhausted: Callable[[], None]
    """Called when the kernel had no descriptor for a connection to a backend."""

    def keep_warm(self, most: int) -> int:
        """Keep so many idle connections to backends, those that were used last; how many were closed."""

    def free(self) -> None:
        """Give up what can be had again, and what is free."""

    def give_back(self) -> None:
        """Give back memory that is free within the process."""


class Doors(Protocol):
    """What is needed of `server.listeners.Listeners`."""

    def refuse(self, is_refusing: bool) -> None: ...
    def close_idle(self, before: float) -> int: ...


class Parts(Protocol):
    """What is needed of `server.parts.WorkerParts`."""

    @property
    def log(self) -> ProcessLog: ...
    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    @property
    def relief(self) -> Relief: ...


class Pressure:
    """Holds one worker within its limits.

    in_flight  counts the exchanges that run
    gauge      the rule of its memory; None: there is no limit
    resident   tells the bytes that the process occupies
    """

    __slots__ = (
        *("_admission", "_doors", "_in_flight", "_limits", "_log", "_loop", "_most", "_next", "_relief"),
        *("_refusals", "_since", "clock", "gauge", "resident"),
    )

    def __init__(
        self,
        limits: Limits,
        admission: Admission,
        doors: Doors,
        parts: Parts,
        in_flight: Callable[[], int],
    ) -> None:
        self.gauge = Gauge(limits.memory) if limits.memory else None
        self.resident = memory.resident
        self.clock = time.monotonic
        self._limits = limits
        self._admission = admission
        self._doors = doors
        self._relief = parts.relief
        self._in_flight = in_flight
        self._log = parts.log
        self._loop = parts.loop
        self._most = 0
        self._refusals = 0
        self._since = 0.0
        self._next: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Pressure {self._admission!r} {self.gauge!r}>"

    @property
    def shortages(self) -> Mapping[str, Shortage]:
        """What may be short, by name."""
        admission, gauge = self._admission, self.gauge
        return {
            "connections": Shortage(admission.is_full, admission.full),
            "descriptors": Shortage(admission.is_resting, admission.rests),
            "memory": Shortage(gauge is not None and gauge.is_over, self._refusals),
        }

    def check(self) -> None:
        """Raises StartError if the limit of memory is one that would be passed without a single request."""
        if self.gauge is None:
            return
        resident = self.resident()
        if resident > self.gauge.limit * 9 // 10:
            raise StartError(
                f"--max-memory leaves {shown(self.gauge.limit)} for each worker, and one has {shown(resident)} "
                "before its first request"
            )

    def start(self) -> None:
        """Begin to look. Where a limit of memory is set this takes one descriptor for good."""
        self._relief.on_exhausted = self._admission.rest
        self._next = self._loop.call_later(LOOK_SECONDS, self._look)

    def stop(self) -> None:
        """Look no more. Whoever comes now is not refused for memory: it is the end anyway."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def fit(self, listeners: int, logs: int) -> None:
        """So many listening addresses and open logs from now on: as many connections as that leaves room for."""
        allowed = descriptors.connection_limit(self._limits.descriptors, listeners, logs)
        wanted = self._limits.connections
        if wanted is not None and wanted > allowed:
            self._log.warn(
                "descriptors allow fewer connections than --max-connections",
                wanted=wanted,
                allowed=allowed,
                descriptors=self._limits.descriptors,
            )
        self._admission.limit = allowed if wanted is None else min(wanted, allowed)

    def _look(self) -> None:
        self._next = self._loop.call_later(LOOK_SECONDS, self._look)
        self._keep_descriptors()
        self._give_back(self._admission.count())
        if self.gauge is not None:
            self._keep_memory(self.gauge)

    def _keep_descriptors(self) -> None:
        """Connections to backends, busy or warm, have as many descriptors as clients have.

        A dial that finds none meanwhile closes warm ones itself (`net/connector.py`).
        """
        admission = self._admission
        closed = self._relief.keep_warm(max(0, admission.limit - self._in_flight()))
        if closed:
            self._log.warn(
                "idle connections to backends closed: descriptors run short",
                key="",
                limit=ONCE_A_MINUTE,
                closed=closed,
                connections=admission.count(),
            )

    def _give_back(self, connections: int) -> None:
        """A crowd has left: what it occupied goes back to the system, once."""
        if self._most - connections >= max(CROWD, self._most // 2):
            self._relief.give_back()
            self._most = connections
        else:
            self._most = max(self._most, connections)

    def _keep_memory(self, gauge: Gauge) -> None:
        if gauge.is_over:
            self._relieve()
        resident = self.resident()
        change = gauge.look(resident, self._in_flight())
        facts: dict[str, Any] = {"resident": shown(resident), "most": shown(gauge.limit)}
        if change is Change.REFUSE:
            self._since = self.clock()
            self._refusals += 1
            self._log.warn("memory over its limit, new requests get 503", **facts)
            self._doors.refuse(True)
            self._relieve()
        elif change is not Change.NONE:
            what = "memory below its limit, serving again"
            if change is Change.SERVE_ANYWAY:
                what = "memory over its limit with next to nothing running, serving again"
            self._log.warn(what, **facts, seconds=round(self.clock() - self._since))
            self._doors.refuse(False)

    def _relieve(self) -> None:
        # Not clients that are idle for less: their request may be on its way, and 503 says more than a close.
        self._doors.close_idle(self.clock() - IDLE_SECONDS)
        self._relief.free()


def shown(size: int) -> str:
    """Bytes as a person reads them: "81.5MB"."""
    return f"{size / (1 << 20):.1f}MB"
