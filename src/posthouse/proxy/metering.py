"""Metering: an exchange that is over is counted in the cell of its route (observe/metrics.py)."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from posthouse.errors import FailureKind
from posthouse.observe.families import DURATION_BUCKETS, NO_ROUTE, WAIT_BUCKETS
from posthouse.observe.metrics import (
    METHODS,
    NEW,
    OTHER_METHOD,
    REQUEST_BYTES,
    RESPONSE_BYTES,
    RETRIES,
    REUSED,
    Cell,
    Metrics,
)

if TYPE_CHECKING:
    from posthouse.proxy.subject import ExchangeFacts


def count(exchange: ExchangeFacts, metrics: Metrics) -> None:
    """Count an exchange that is over. A tunnel has no duration: it would say how long people chat."""
    route = exchange.route
    cell = (route.cell if route is not None else None) or find_cell(exchange, metrics)
    status = exchange.status
    failure = "" if exchange.last_failure is None else exchange.failure or ""
    key = METHODS.get(exchange.head.method, OTHER_METHOD), status, failure
    exchanges = cell.exchanges
    exchanges[key] = exchanges.get(key, 0) + 1
    if status != 101:
        seconds = exchange.finished - exchange.started
        cell.durations[bisect_left(DURATION_BUCKETS, seconds)] += 1
        cell.seconds[0] += seconds
    if exchange.waiter is not None:
        waited = exchange.waiter.waited(exchange.finished)
        cell.waits[bisect_left(WAIT_BUCKETS, waited)] += 1
        cell.seconds[1] += waited
    sums = cell.sums
    sums[RESPONSE_BYTES] += exchange.size
    if exchange.body is not None:
        sums[REQUEST_BYTES] += exchange.body.received
    attempts = exchange.attempts
    if attempts == 1 and not exchange.dials:
        sums[REUSED] += 1
    elif attempts:
        sums[NEW] += exchange.dials
        sums[REUSED] += attempts - exchange.dials
        sums[RETRIES] += attempts - 1


def count_failure(exchange: ExchangeFacts, metrics: Metrics, kind: FailureKind) -> None:
    """Count a failed attempt, or that there was none to make."""
    failures = find_cell(exchange, metrics).failures
    failures[kind.value] = failures.get(kind.value, 0) + 1


def find_cell(exchange: ExchangeFacts, metrics: Metrics) -> Cell:
    """The cell of an exchange; its route, or its site, has it from then on."""
    site, route = exchange.course.site, exchange.route
    if site is None:
        return metrics.unknown
    if route is not None:
        if route.cell is None:
            route.cell = metrics.cell(site.address, route.spec.base)
        return route.cell
    if site.cell is None:
        site.cell = metrics.cell(site.address, NO_ROUTE)
    return site.cell
