"""The supervisor's part: rows for what is served, and what is done about a worker that ended."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from posthouse.server.rows import queue_keys
from posthouse.server.sharing import Sharing
from unit.balance.samples import pool_spec


@pytest.fixture
def sharing() -> Iterator[Sharing]:
    made = Sharing(2)
    yield made
    made.close()


def test_rows_are_there_before_they_are_named(sharing: Sharing) -> None:
    given = sharing.give(1, [pool_spec([f"b{number}" for number in range(2000)])])
    assert len(given.rows) == 2002 and given.size == 2002 <= sharing.block.rows
    assert sharing.all().rows == given.rows
    assert sharing.give(2, [pool_spec(["b7"])]).rows == {}


def test_a_row_is_another_s_when_every_worker_has_left_its_generation(sharing: Sharing) -> None:
    first = sharing.give(1, [pool_spec("ab")])
    row = first.rows["site /", "http://a:80", 1]
    sharing.give(2, [pool_spec("b")])
    sharing.block.cells[sharing.block.at(row)] = 3  # what somebody wrote who has left
    sharing.hear_oldest(0, 2)
    assert sharing.give(2, [pool_spec("b")]).freed == (), "the other one has not"
    sharing.hear_oldest(1, 2)
    given = sharing.give(3, [pool_spec("bc")])
    assert given.freed == (("site /", "http://a:80", 1),)
    assert given.rows == {("site /", "http://c:80", 1): row}
    assert sharing.held(("site /", "http://c:80", 1)) == 0 == sharing.held(("site /", "http://a:80", 1))


def test_what_an_ended_worker_held_is_free_and_all_look(sharing: Sharing) -> None:
    given = sharing.give(1, [pool_spec("a")])
    block, backend, waiting = sharing.block, ("site /", "http://a:80", 1), queue_keys("site /")[0]
    for key in (backend, waiting):
        for column in (0, 1):
            block.cells[block.at(given.rows[key]) + column * block.stride] = 2
    sharing.bury(1)
    assert sharing.held(backend) == sharing.held(waiting) == 2
    assert (sharing.wakes.take(0), sharing.wakes.take(1)) == (1, 1)
