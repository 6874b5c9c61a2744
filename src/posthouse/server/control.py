"""Control: what the supervisor and its workers say to each other, over a `channel.Channel`.

A change of the configuration is made in two steps: every worker builds (`Prepare`), and only when all have, all serve
it (`Commit`). Until then nothing of the old one has changed anywhere, and `Abandon` drops what was built.

A new kind of message is a dataclass here and a line in the table of whoever hears it: `worker.Worker` for those to a
worker, `workers.Workers` for those that a worker sends without being asked. Those about what workers share are in
`sharing` and `news`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from posthouse.balance.breaker import Phase
from posthouse.balance.orders import Orders
from posthouse.config.delta import Delta, Kept
from posthouse.config.specs import Config, SiteSpec
from posthouse.errors import Mistake, Place
from posthouse.observe.process_log import Format
from posthouse.observe.snapshot import Histogram, Snapshot
from posthouse.server.news import Failed, Tripped
from posthouse.server.pressure import Limits
from posthouse.server.sharing import Oldest, Wanted
from posthouse.server.sockets import ListenKey
from posthouse.server.told import Noted

# --- to a worker


@dataclass(frozen=True, slots=True)
class Welcome:
    """The first message: who the worker is, and what the command line says.

    slot         which of the group, from 0; its replacement has the same
    workers      how many there are
    grace        seconds that stopping waits for exchanges
    limits       descriptors, connections and memory
    log          where the process log goes
    descriptor   where that is open, inherited; -1 = it is stderr or stdout
    secret       what keys are made of that all workers must agree on
    is_counting  exchanges are counted from the start, whatever the configuration says
    """

    slot: int
    workers: int
    grace: float = 30.0
    limits: Limits = field(default_factory=Limits)
    log: str = "stderr"
    descriptor: int = -1
    log_format: Format = "text"
    is_case_sensitive: bool = False
    secret: bytes = field(default=b"", repr=False)
    is_counting: bool = False


@dataclass(frozen=True, slots=True)
class Ahead:
    """The first parts of the Delta of the `Prepare` that follows: reading a large one at once would take too long."""

    parts: tuple[Kept | SiteSpec, ...]


@dataclass(frozen=True, slots=True)
class Prepare:
    """Build a configuration. Answered by `Prepared` or `Refused`.

    wanted  the configuration, or what turns the one that is served into it
    files   what the supervisor has read for those who may not: content by path
    """

    number: int
    wanted: Config | Delta
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Sockets:
    """Listening sockets, which are its descriptors in this order; a `Commit` says what becomes of them."""

    keys: tuple[ListenKey, ...]


@dataclass(frozen=True, slots=True)
class Commit:
    """Serve what was prepared; a socket for each address that is new was sent. Answered by `Serving`."""

    number: int


@dataclass(frozen=True, slots=True)
class Abandon:
    """Drop what was prepared, and its sockets."""

    number: int


@dataclass(frozen=True, slots=True)
class Empty:
    """Serve whoever waits in the queues of these sockets (its descriptors), which nobody else will serve; then close
    them."""

    keys: tuple[ListenKey, ...]


@dataclass(frozen=True, slots=True)
class ReopenLogs:
    """Open the files of all logs again, by name. A descriptor that comes with it is the process log's."""


@dataclass(frozen=True, slots=True)
class ReopenLog:
    """Open this one file again: it was put aside. Answered by `Reopened`."""

    path: str
    turn: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Drain. Answered by `Stopping` at once and by `Ended` at the end."""

    cause: str


@dataclass(frozen=True, slots=True)
class Abort:
    """End at once. Answered by `Ended`."""


@dataclass(frozen=True, slots=True)
class Obey:
    """These are the orders for backends from now on, and no others. Answered by `Obeyed` when no new exchange goes
    where it must not."""

    orders: Orders


@dataclass(frozen=True, slots=True)
class Ping:
    """Answered by `Pong`: a worker that does not is not turning its loop."""


@dataclass(frozen=True, slots=True)
class TidyLog:
    """Everybody writes to the new file: those put aside from this one may be compressed and deleted."""

    path: str


@dataclass(frozen=True, slots=True)
class AskStatus:
    """Answered by `StatusReport`, in as many pieces as it takes; one question after the other."""


@dataclass(frozen=True, slots=True)
class Measure:
    """Answered by `Measured`, with the same round."""

    round: int


@dataclass(frozen=True, slots=True)
class Collected:
    """A piece of what the whole group has counted; the last one ends the answer to `Collect`."""

    number: int
    piece: Snapshot
    is_last: bool


# --- from a worker


@dataclass(frozen=True, slots=True)
class Prepared:
    number: int


@dataclass(frozen=True, slots=True)
class Refused:
    """It could not be built: mistakes with their places, or one line."""

    number: int
    mistakes: tuple[Mistake, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Serving:
    number: int


@dataclass(frozen=True, slots=True)
class Stopping:
    """in_flight  exchanges that run now"""

    in_flight: int


@dataclass(frozen=True, slots=True)
class Ended:
    """cut  exchanges that were cut"""

    cut: int


@dataclass(frozen=True, slots=True)
class Obeyed:
    """See `Obey`."""


@dataclass(frozen=True, slots=True)
class Pong:
    """in_flight  exchanges that run now"""

    in_flight: int


@dataclass(frozen=True, slots=True)
class StatusReport:
    """A piece of how this worker is (`server.status.Status`); the last one ends the answer to `AskStatus`."""

    report: Mapping[str, object]
    is_last: bool = True


@dataclass(frozen=True, slots=True)
class Measured:
    """A piece of what this worker has counted; the last one ends the answer to `Measure`."""

    round: int
    piece: Snapshot
    is_last: bool


@dataclass(frozen=True, slots=True)
class Collect:
    """What has the whole group counted? Answered by `Collected`, with the same number."""

    number: int


@dataclass(frozen=True, slots=True)
class LogMoved:
    """This file was put aside, or was to be seen to anyway: everybody else shall open it anew.

    turn  counts these messages, so that no answer is taken for one to a later question
    """

    path: str
    turn: int


@dataclass(frozen=True, slots=True)
class Reopened:
    """is_done  False: it could not be opened, and the old file is still written to"""

    path: str
    turn: int
    is_done: bool


MOST_SAMPLES: Final = 2000
"""In one piece of a snapshot: some 2 ms for who makes it, and for who reads it."""
MOST_SITES: Final = 20
"""Of a Delta in one message: the same."""


def pieces(delta: Delta) -> tuple[list[Ahead], Delta]:
    """What is to be said before a `Prepare`, and the Delta that is left for it."""
    first = max(0, len(delta.parts) - MOST_SITES)
    ahead = [Ahead(delta.parts[at : min(at + MOST_SITES, first)]) for at in range(0, first, MOST_SITES)]
    return ahead, Delta(delta.parts[first:], delta.notices)


FROM_WORKERS: Final = (
    *(Prepared, Refused, Serving, Stopping, Ended, Pong, Obeyed, Noted, StatusReport, LogMoved, Reopened),
    *(Measured, Collect, Snapshot, Histogram),
    *(Failed, Tripped, Wanted, Oldest),
    *(Mistake, Place, Phase),
)
"""What a worker's messages are made of, besides plain values: the supervisor reads nothing else."""
