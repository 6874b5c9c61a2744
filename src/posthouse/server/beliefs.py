"""Beliefs: what health checks say of backends that are not up, for the process that takes our place. Without them its
first requests would go to a backend that is known to be down.

    plain  to and from a worker: (pool, backend, state, reason, since), monotonic seconds
    row    to a supervisor of another version (`server/handover.py`): an object with "pool", "backend", "state",
           "reason" and "since", monotonic seconds, which are the same in all processes of a machine

What is not understood of either is left out: then the backend is up until it has been asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from posthouse.balance.active_health import Belief, State
from posthouse.server.child import Child, ask_all
from posthouse.server.control import AskBeliefs, Beliefs

Known = Mapping[tuple[str, str], Belief]
"""By the names of pool and backend."""
Row = Mapping[str, Any]
ANSWER_SECONDS: Final = 2.0
"""For a worker that is busy; of one that takes longer nothing is known."""
_WORSE: Final = (State.UP, State.DRAINING, State.DOWN)


async def gather(children: Iterable[Child]) -> Known:
    """What these workers believe; where they differ, the worst."""
    answers = await ask_all(children, AskBeliefs(), Beliefs, ANSWER_SECONDS)
    return worst(from_plain(answer.found) for _, answer in answers)


def worst(several: Iterable[Known]) -> Known:
    """Of each backend what the one says that thinks least of it."""
    found: dict[tuple[str, str], Belief] = {}
    for known in several:
        for key, belief in known.items():
            if key not in found or _WORSE.index(belief.state) > _WORSE.index(found[key].state):
                found[key] = belief
    return found


def to_plain(known: Known) -> tuple[tuple[object, ...], ...]:
    """For a message."""
    return tuple((*key, str(one.state), one.reason, one.since) for key, one in known.items())


def from_plain(found: Iterable[object]) -> Known:
    """What a message says."""
    known = {}
    for one in found:
        match one:
            case (str(pool), str(backend), str(word), str(reason), float(since)) if word in list(State):
                known[pool, backend] = Belief(State(word), reason, since)
    return known


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
    names = ("pool", "backend", "state", "reason", "since")
    return from_plain(tuple(row.get(name) for name in names) for row in rows if isinstance(row, dict))
