"""Orders go to another version and come back; what cannot be understood is left out."""

from __future__ import annotations

import json

import pytest

from posthouse.balance.orders import Kind, Order, Orders
from posthouse.server.order_rows import from_rows, to_rows


def test_there_and_back() -> None:
    orders = (
        Orders()
        .given("p", "http://a:1", Order(Kind.DRAIN, 40.0))
        .given("p", "http://b:1", Order(None, None, 7, 2))
        .given("q", "c", Order(Kind.DISABLE, 10.0, 1, None))
    )
    rows = json.loads(json.dumps(to_rows(orders)))
    assert rows[0] == {
        "pool": "p", "backend": "http://a:1", "order": "drain", "since": 40.0, "weight": None, "in_place_of": None
    }  # fmt: skip
    assert from_rows(rows, 50.0) == orders


@pytest.mark.parametrize(
    "row",
    [
        7,
        None,
        {},
        {"pool": "p", "backend": 3, "order": "drain"},
        {"pool": "p", "backend": "b"},
        {"pool": "p", "backend": "b", "order": "evacuate"},
        {"pool": "p", "backend": "b", "order": ["drain"]},
        {"pool": "p", "backend": "b", "weight": True},
        {"pool": "p", "backend": "b", "weight": "7"},
    ],
)
def test_what_is_not_understood_is_no_order(row: object) -> None:
    assert from_rows([row], 1.0) == Orders()


def test_what_is_left_of_a_row_counts() -> None:
    row = {"pool": "p", "backend": "b", "order": "evacuate", "weight": 3, "novelty": 1}
    assert from_rows([row], 1.0).of("p", "b") == Order(weight=3)
    row = {"pool": "p", "backend": "b", "order": "drain", "since": "long ago", "in_place_of": 2}
    assert from_rows([row], 1.0).of("p", "b") == Order(Kind.DRAIN, 1.0)
