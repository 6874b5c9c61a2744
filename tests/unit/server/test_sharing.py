"""The supervisor's part: rows for what is served, and what is done about a worker that ended."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from posthouse.config.specs import Config, PoolSpec, RouteSpec, SiteSpec
from posthouse.server import sharing as sharing_module
from posthouse.server.news import Failed
from posthouse.server.rows import RowKey, queue_keys
from posthouse.server.sharing import LONGEST_NAME, Cursors, Given, Oldest, Shared, Sharing, Wanted
from unit.balance.samples import pool_spec

A, B, C = [("site /", f"http://{host}:80", 1) for host in "abc"]
NEWS = Failed("site /", ("http://a:80", 1), 1e12, "refused")


class Member:
    """A worker that writes down what it hears."""

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.is_serving = True
        self.heard: list[object] = []
        self.cursors: dict[str, int] = {}

    def send(self, message: object, descriptors: Sequence[int] = ()) -> None:
        self.heard.append(message)
        assert bool(descriptors) == isinstance(message, Shared | Cursors)
        if isinstance(message, Cursors):
            self.cursors |= dict(zip(message.pools, descriptors, strict=True))

    def last(self) -> Given:
        assert isinstance(self.heard[-1], Given)
        return self.heard[-1]


class Group:
    def __init__(self, workers: int = 2) -> None:
        self.members = [Member(slot) for slot in range(workers)]
        self.sharing = Sharing(workers, lambda: self.members)
        self.sharing.start()

    def put(self, key: RowKey, *numbers: int) -> None:
        block = self.sharing.block
        assert block is not None
        at = block.at(self.sharing._rows.all[key])
        for column, number in enumerate(numbers):
            block.cells[at + column * block.stride] = number


@pytest.fixture
def group() -> Iterator[Group]:
    made = Group()
    yield made
    made.sharing.close()


def config(*hosts: str) -> Config:
    return Config((SiteSpec((), routes=(RouteSpec("/", pool_of(hosts)),)),))


def pool_of(hosts: Sequence[str]) -> PoolSpec:
    return pool_spec(hosts)


def test_rows_are_there_before_they_are_named(group: Group) -> None:
    group.sharing.prepare(1, config(*[f"b{number}" for number in range(2000)]))
    given = group.members[0].last()
    assert given == group.members[1].last() and len(given.rows) == 2002 == given.size
    assert group.sharing.block is not None and group.sharing.block.rows >= 2002
    group.sharing.prepare(2, config("b7"))
    assert group.members[0].last() is given, "there is nothing new"


def test_who_comes_later_gets_all(group: Group) -> None:
    group.sharing.prepare(1, config("a"))
    group.sharing.prepare(2, config("b"))
    new = Member(1)
    group.sharing.welcome(new)
    assert new.heard[0] == Shared() and set(new.last().rows) == {*queue_keys("site /"), A, B}


def test_a_row_is_anothers_when_every_worker_has_left_its_generation(group: Group) -> None:
    sharing, (one, two) = group.sharing, group.members
    sharing.prepare(1, config("a", "b"))
    row = one.last().rows[A]
    sharing.prepare(2, config("b"))
    group.put(A, 3)  # what somebody wrote who has left
    assert sharing.hear(one, Oldest(2))
    sharing.prepare(3, config("b"))
    assert not one.last().freed, "the other one has not"
    sharing.hear(two, Oldest(2))
    sharing.prepare(3, config("b", "c"))
    assert one.last() == Given({C: row}, 4, (A,))
    assert sharing.held(C) == 0 == sharing.held(A)


def test_what_was_found_gets_rows_and_keeps_them_while_it_is_named(group: Group) -> None:
    sharing, (one, two) = group.sharing, group.members
    sharing.prepare(1, config("a"))
    assert sharing.hear(one, Wanted(1, (*queue_keys("site /"), B)))
    assert two.last().rows == {B: 3}
    sharing.prepare(2, config("a"))
    for member in group.members:
        sharing.hear(member, Wanted(2, (B,)))
        sharing.hear(member, Oldest(2))
    sharing.prepare(3, config("a", "c"))
    assert two.last() == Given({C: 4}, 5), "nothing was freed"


def test_a_worker_can_not_have_rows_without_end(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is taken over by somebody must not fill the supervisor's memory, and that of all."""
    monkeypatch.setattr(sharing_module, "MOST_FOUND", 3)
    sharing, (one, two) = group.sharing, group.members
    sharing.prepare(1, config("a"))
    assert sharing.hear(one, Wanted(1, tuple(found(number) for number in range(3))))
    assert set(two.last().rows) == {found(number) for number in range(3)}, "so many may be"
    for _ in range(2):
        sharing.hear(one, Wanted(1, (found(0), found(3))))
    assert len(sharing._rows.all) == 6 and found(3) not in sharing._rows.all
    sharing.prepare(2, config(*[f"c{number}" for number in range(9)]))
    assert len(two.last().rows) == 9, "what a configuration names has its rows in any case"
    sharing.hear(one, Wanted(2, (found(0),)))
    for member in group.members:
        sharing.hear(member, Oldest(2))
    sharing.prepare(3, config("a"))
    sharing.hear(one, Wanted(3, (found(4), found(5), found(6))))
    assert {found(4), found(5)} <= sharing._rows.all.keys() and found(6) not in sharing._rows.all, (
        "there is room"
    )


def found(number: int) -> RowKey:
    return "site /", f"http://found{number}:80", 1


def test_a_row_is_not_kept_for_a_generation_that_nobody_knows(group: Group) -> None:
    sharing, (one, _) = group.sharing, group.members
    sharing.prepare(1, config("a"))
    sharing.hear(one, Wanted(10**9, (B,)))
    for member in group.members:
        sharing.hear(member, Oldest(2))
    sharing.prepare(2, config("a"))
    assert B not in sharing._rows.all


@pytest.mark.parametrize(("size", "is_taken"), [(LONGEST_NAME, True), (LONGEST_NAME + 1, False)])
def test_names_and_reasons_have_a_length(group: Group, size: int, is_taken: bool) -> None:
    sharing, (one, two) = group.sharing, group.members
    sharing.prepare(1, config("a"))
    long = ("site /", "x" * size, 1)
    sharing.hear(one, Wanted(1, (long,)))
    assert (long in sharing._rows.all) is is_taken
    sharing.hear(one, Failed("site /", ("http://a:80", 1), 1e12, "r" * size))
    (told,) = [news for news in two.heard if isinstance(news, Failed)]
    assert len(told.reason) == LONGEST_NAME


def test_news_of_backends_that_nobody_has_are_no_news(group: Group) -> None:
    sharing, (one, two) = group.sharing, group.members
    sharing.prepare(1, config("a"))
    before = list(two.heard)
    assert sharing.hear(one, Failed("site /", ("http://b:80", 1), 1e12, "refused"))
    assert two.heard == before
    assert not sharing._remembered.tell(0.0)


def test_what_an_ended_worker_held_is_free_and_all_look(group: Group) -> None:
    sharing, waiting = group.sharing, queue_keys("site /")[0]
    sharing.prepare(1, config("a"))
    group.put(A, 2, 5)
    group.put(waiting, 2, 5)
    sharing.bury(1)
    assert sharing.held(A) == sharing.held(waiting) == 2
    assert sharing.wakes is not None and (sharing.wakes.take(0), sharing.wakes.take(1)) == (1, 1)


def test_news_reach_everybody_else_and_who_comes_later(group: Group) -> None:
    one, two = group.members
    group.sharing.prepare(1, config("a"))
    for member in group.members:
        member.heard.clear()
    assert group.sharing.hear(one, NEWS)
    assert (one.heard, two.heard) == ([], [NEWS])
    two.is_serving = False
    group.sharing.hear(one, NEWS)
    assert two.heard == [NEWS], "it will be told when it serves"
    group.sharing.brief(two)
    assert two.heard == [NEWS] * 3, "all that still matter"
    assert not group.sharing.hear(one, "something else")


def turning(*names: str) -> Config:
    """A pool of each name that takes turns, and one that does not."""
    pools = [replace(pool_spec("ab", "round_robin"), name=name) for name in names]
    return Config((SiteSpec((), routes=tuple([RouteSpec("/", pool) for pool in (*pools, pool_of("a"))])),))


def test_who_takes_turns_has_one_cursor_for_all(group: Group) -> None:
    sharing, (one, two) = group.sharing, group.members
    sharing.prepare(1, turning("p", "q"))
    assert list(one.cursors) == ["p", "q"] and one.cursors == two.cursors
    sharing.prepare(2, turning("q", "r"))
    assert list(one.cursors) == ["p", "q", "r"], "who stays keeps its own"
    late = Member(1)
    sharing.welcome(late)
    assert late.cursors == one.cursors


def test_a_cursor_ends_with_the_last_generation_that_names_it(group: Group) -> None:
    sharing, (one, two) = group.sharing, group.members
    sharing.prepare(1, turning("p"))
    sharing.prepare(2, turning("q"))
    sharing.hear(one, Oldest(2))
    sharing.prepare(3, turning("q"))
    os.fstat(one.cursors["p"])
    sharing.hear(two, Oldest(2))
    sharing.prepare(3, turning("q"))
    assert queue_keys("p")[0] in one.last().freed
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(one.cursors["p"])
    os.fstat(one.cursors["q"])


def test_one_alone_shares_nothing() -> None:
    alone = Group(1)
    alone.sharing.prepare(1, turning("p"))
    alone.sharing.welcome(alone.members[0])
    alone.sharing.brief(alone.members[0])
    alone.sharing.bury(0)
    assert alone.members[0].heard == [] and alone.sharing.held(A) == 0
    alone.sharing.close()
