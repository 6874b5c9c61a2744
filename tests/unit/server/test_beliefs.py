"""What is believed of backends becomes rows and comes back; what is not understood is left out."""

from __future__ import annotations

import json

import pytest

from posthouse.balance.active_health import Belief, State
from posthouse.server.beliefs import from_rows, to_rows

KNOWN = {
    ("p", "http://a:1"): Belief(State.DOWN, "status 503", 40.0),
    ("p", "http://b:1"): Belief(State.DRAINING, "it says so", 10.0),
}


def test_there_and_back() -> None:
    rows = json.loads(json.dumps(to_rows(KNOWN)))
    assert rows[0] == {
        "pool": "p", "backend": "http://a:1", "state": "down", "reason": "status 503", "since": 40.0
    }  # fmt: skip
    assert from_rows(rows) == KNOWN
    assert from_rows([{**rows[0], "novelty": 1}]) == {key: KNOWN[key] for key in list(KNOWN)[:1]}


GOOD = {"pool": "p", "backend": "b", "state": "down", "reason": "", "since": 1.0}


@pytest.mark.parametrize(
    "row", [7, None, {}, {**GOOD, "state": "tired"}, {**GOOD, "since": "long ago"}, {**GOOD, "pool": 7}]
)
def test_what_is_not_understood_is_left_out(row: object) -> None:
    assert from_rows([row]) == {}
    assert len(from_rows([row, GOOD])) == 1
