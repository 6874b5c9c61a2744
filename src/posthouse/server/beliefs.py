"""Beliefs: what health checks say of backends that are not up, for the process that takes our place. Without them its
first requests would go to a backend that is known to be down.

    row    to a supervisor of another version (`server/handover.py`): an object with "pool", "backend", "state",
           "reason" and "since", monotonic seconds, which are the same in all processes of a machine

What is not understood of it is left out: then the backend is up until it has been asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from posthouse.balance.active_health import Belief, State

Known = Mapping[tuple[str, str], Belief]
"""By the names of pool and backend."""
Row = Mapping[str, Any]


def to_rows(known: Known) -> list[Row]:
    """One for each backend."""
    return [
        {
            "pool": pool,
            "backend": name,
            "state": str(one.state),
            "reason": one.reason,
            "since": one.since,
        }
        for (pool, name), one in known.items()
    ]


def from_rows(rows: Iterable[object]) -> Known:
    """What can be understood of them."""
    known = {}
    for row in rows:
        match row:
            case {
                "pool": str(pool),
                "backend": str(backend),
                "state": str(word),
                "reason": str(reason),
                "since": float(since),
            } if word in list(State):
                known[pool, backend] = Belief(State(word), reason, since)
    return known
