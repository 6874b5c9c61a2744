"""What is believed of backends goes through two formats and comes back; what is not understood is left out."""

from __future__ import annotations

import asyncio
import json

import pytest

from posthouse.balance.active_health import Belief, State
from posthouse.server.beliefs import from_plain, from_rows, gather, to_plain, to_rows, worst
from unit.server.fakes import Remembering
from unit.server.troupe import Cast

KNOWN = {
    ("p", "http://a:1"): Belief(State.DOWN, "status 503", 40.0),
    ("p", "http://b:1"): Belief(State.DRAINING, "it says so", 10.0),
}


def test_there_and_back() -> None:
    assert from_plain(to_plain(KNOWN)) == KNOWN
    rows = json.loads(json.dumps(to_rows(KNOWN)))
    assert rows[0] == {
        "pool": "p", "backend": "http://a:1", "state": "down", "reason": "status 503", "since": 40.0
    }  # fmt: skip
    assert from_rows(rows) == KNOWN
    assert from_rows([{**rows[0], "novelty": 1}]) == {key: KNOWN[key] for key in list(KNOWN)[:1]}


@pytest.mark.parametrize("row", [7, None, {}, {"pool": "p", "backend": "b", "state": "tired", "reason": ""}])
def test_what_is_not_understood_is_left_out(row: object) -> None:
    assert from_rows([row]) == {}
    assert from_plain([row, ("p", "b", "tired", "", 1.0), ("p", "b", "down", "", "long ago")]) == {}


def test_where_they_differ_the_worst_counts() -> None:
    key = ("p", "b")
    said = [{key: Belief(state, str(state), 1.0)} for state in (State.DRAINING, State.DOWN, State.DRAINING)]
    assert worst(said)[key].state is State.DOWN
    assert worst([]) == {}


def test_all_workers_are_asked(loop: asyncio.AbstractEventLoop, log: Remembering) -> None:
    async def conversation() -> None:
        cast = Cast(log)
        children = [await cast.start_worker(slot, lambda child, message: None) for slot in range(2)]
        for player, (key, belief) in zip(cast.players, KNOWN.items(), strict=True):
            player.known = {key: belief}
        assert await gather(children) == KNOWN
        for child, player in zip(children, cast.players, strict=True):
            child.close()
            await player.clear()

    loop.run_until_complete(conversation())
