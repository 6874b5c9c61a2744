"""What there is to be measured: the table of all metrics, which docs/metrics.md shows to people.

A name, a unit or a label here is a contract with dashboards: some may come, none goes or changes its meaning. No label
takes what it says from the wire without a bound: methods and statuses are folded into known ones, sites and routes are
those of the configuration, hosts that no site has are one.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


class Kind(enum.StrEnum):
    """What a metric is, in the words of the text format."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Merge(enum.Enum):
    """What the values of several processes are together."""

    SUM = enum.auto()
    MOST = enum.auto()
    LEAST = enum.auto()


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. Counters and histograms are always summed.

    name     as it is written, counters with their `_total`
    help     one line for people
    labels   the names, in the order in which rows hold their values
    buckets  of a histogram: the upper bounds, without infinity, seconds
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    merge: Merge = Merge.SUM
    buckets: tuple[float, ...] = ()

    @property
    def is_lasting(self) -> bool:
        """Whether what a process has counted stays true when it is gone."""
        return self.kind is not Kind.GAUGE


DURATION_BUCKETS: Final = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
"""From what a proxy adds itself (half a millisecond) to what people wait for. Each step is 2 to 3 times the last."""
WAIT_BUCKETS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Of the queue, whose default limit is one second."""

UNKNOWN_SITE: Final = "(unknown)"
"""The site of exchanges for hosts that no site has. An address can't be written so."""
REMOVED_SITE: Final = "(removed)"
"""What sites have counted that are no longer in the configuration."""
NO_ROUTE: Final = "(none)"
"""The route of exchanges that no `proxy` took. A FROM begins with a slash."""

_ROUTE: Final = ("site", "route")
_BACKEND: Final = ("pool", "backend")


def _counter(name: str, help: str, *labels: str) -> Family:
    return Family(name, Kind.COUNTER, help, labels)


def _gauge(name: str, help: str, *labels: str, merge: Merge = Merge.SUM) -> Family:
    return Family(name, Kind.GAUGE, help, labels, merge)


_ALL: Final = (
    _counter(
        "posthouse_exchanges_total",
        "Exchanges that are over.",
        *(*_ROUTE, "method", "status", "failure"),
    ),
    Family(
        "posthouse_exchange_duration_seconds",
        Kind.HISTOGRAM,
        "From the complete request head to the end of the response; without tunnels.",
        _ROUTE,
        buckets=DURATION_BUCKETS,
    ),
    _counter("posthouse_request_body_bytes_total", "Body bytes that clients sent.", *_ROUTE),
    _counter(
        "posthouse_response_body_bytes_total",
        "Body bytes that went to clients, those of tunnels included.",
        *_ROUTE,
    ),
    _counter(
        "posthouse_attempts_total",
        "Attempts at backends of exchanges that are over, by connection: new or reused.",
        *(*_ROUTE, "connection"),
    ),
    _counter(
        "posthouse_attempt_failures_total",
        "Attempts that failed, whether or not another one followed.",
        *(*_ROUTE, "failure"),
    ),
    Family(
        "posthouse_queue_wait_seconds",
        Kind.HISTOGRAM,
        "How long exchanges that had to wait for a backend waited, in vain or not.",
        _ROUTE,
        buckets=WAIT_BUCKETS,
    ),
    _counter("posthouse_retries_total", "Attempts after the first of an exchange.", *_ROUTE),
    _counter(
        "posthouse_refused_requests_total",
        "Requests that could not be read and so belong to no site.",
        "status",
    ),
    _counter(
        "posthouse_refused_peers_total",
        "Connections of peers that must send a PROXY protocol header and sent none that is valid.",
    ),
    _gauge("posthouse_exchanges_in_flight", "Exchanges that run or wait, tunnels included."),
    _gauge("posthouse_downstream_connections", "Open connections of clients."),
    _counter("posthouse_downstream_connections_accepted_total", "Connections of clients that were accepted."),
    _gauge("posthouse_downstream_connections_limit", "Connections of clients that all workers take at most."),
    _gauge("posthouse_short_workers", "Workers that are short of something now.", "resource"),
    _counter("posthouse_shortages_total", "How often a worker became short of something.", "resource"),
    _gauge("posthouse_upstream_idle_connections", "Connections to backends that wait to be used again."),
    _gauge(
        "posthouse_backend_state",
        "1 for the state that the backend is in, 0 for the others.",
        *(*_BACKEND, "state"),
        merge=Merge.MOST,
    ),
    _gauge("posthouse_backend_in_flight", "Exchanges that hold the backend.", *_BACKEND),
    _gauge(
        "posthouse_backend_fails",
        "Failures of the backend that are remembered.",
        *_BACKEND,
        merge=Merge.MOST,
    ),
    _gauge("posthouse_queue_length", "Exchanges that wait for a backend of the pool.", "pool"),
    _counter("posthouse_reloads_total", "Reloads, by result: success or failure.", "result"),
    _gauge(
        "posthouse_last_reload_successful",
        "Whether the last reload went well; 1 before the first.",
        merge=Merge.LEAST,
    ),
    _gauge(
        "posthouse_last_reload_success_timestamp_seconds",
        "When the configuration that serves was taken on, Unix time.",
        merge=Merge.MOST,
    ),
    _gauge(
        "posthouse_generation",
        "Number of the configuration that serves: 1 at the start.",
        merge=Merge.MOST,
    ),
    _gauge("posthouse_workers", "Processes that serve requests."),
    _gauge(
        "posthouse_build_info",
        "Always 1; what runs is in the labels.",
        *("version", "python", "loop"),
        merge=Merge.MOST,
    ),
    _counter("process_cpu_seconds_total", "CPU time, user and system, of all processes."),
    _gauge("process_resident_memory_bytes", "Resident memory of all processes."),
    _gauge("process_open_fds", "Open file descriptors of all processes."),
    _gauge("process_max_fds", "File descriptors that all processes together may open."),
    _gauge("process_start_time_seconds", "When the first process started, Unix time.", merge=Merge.LEAST),
)

FAMILIES: Final[Mapping[str, Family]] = {family.name: family for family in _ALL}
"""By name, in the order in which they are written."""
