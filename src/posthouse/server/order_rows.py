"""Orders as plain data, for a supervisor of another version: what `server/handover.py` says of them.

A row is an object with "pool", "backend", "order" (`drain`, `disable` or null), "since" (monotonic seconds, which are
the same in all processes of a machine, or null), "weight" and "in_place_of" (numbers or null). What a version does not
know of a row is left out, and a row of which nothing is left is no order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from posthouse.balance.orders import Kind, Order, Orders

Row = Mapping[str, Any]
_T = TypeVar("_T")


def to_rows(orders: Orders) -> list[Row]:
    """One for each order."""
    return [
        {
            "pool": pool,
            "backend": backend,
            "order": None if order.kind is None else str(order.kind),
            "since": order.since,
            "weight": order.weight,
            "in_place_of": order.in_place_of,
        }
        for pool, backend, order in orders.all()
    ]


def from_rows(rows: Iterable[object], now: float) -> Orders:
    """What can be understood of them. now: monotonic seconds, for one that says no time"""
    orders = Orders()
    for row in rows:
        if isinstance(row, dict):
            pool, backend = row.get("pool"), row.get("backend")
            if isinstance(pool, str) and isinstance(backend, str):
                orders = orders.given(pool, backend, _order(row, now))
    return orders


def _order(row: Row, now: float) -> Order:
    word = row.get("order")
    kind = Kind(word) if isinstance(word, str) and word in list(Kind) else None
    since = _of(float, row.get("since"))
    weight = _of(int, row.get("weight"))
    return Order(
        kind,
        None if kind is None else now if since is None else since,
        weight,
        None if weight is None else _of(int, row.get("in_place_of")),
    )


def _of(kind: type[_T], value: object) -> _T | None:
    return value if isinstance(value, kind) and not isinstance(value, bool) else None
