"""Cursors: one number for all workers, exact whoever takes it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from posthouse.balance.policies import POLICIES
from posthouse.balance.policy import Setting
from posthouse.config.specs import SourceSpec
from posthouse.server import cursors
from posthouse.server.cursors import TAKE_TURNS, Cursor, CursorKeeper, takes_turns
from unit.balance.samples import Request, endpoint, make_backends, pool_spec, setting


@pytest.fixture
def keeper() -> Iterator[CursorKeeper]:
    made = CursorKeeper()
    yield made
    made.close()


def named(name: str) -> Any:
    return replace(pool_spec("ab", "round_robin"), name=name)


def test_no_number_is_taken_twice(keeper: CursorKeeper) -> None:
    """Threads of one process, and another process: each has a descriptor of its own of one open file."""
    (made,) = keeper.give([named("p")]).values()
    begin = os.lseek(made, 0, os.SEEK_CUR)
    taken: list[int] = []

    def take(cursor: Cursor) -> None:
        taken.extend([cursor.take() for _ in range(5000)])
        cursor.close()

    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        cursor = Cursor(made)
        os.write(writes, b" ".join(b"%d" % cursor.take() for _ in range(5000)))
        os._exit(0)
    os.close(writes)
    threads = [threading.Thread(target=take, args=(Cursor(os.dup(made)),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    with os.fdopen(reads, "rb") as said:
        taken += map(int, said.read().split())
    for thread in threads:
        thread.join()
    os.waitpid(child, 0)
    assert sorted(taken) == list(range(begin + 1, begin + 15_001))


def test_without_its_file_it_counts_alone() -> None:
    keeper = CursorKeeper()
    (made,) = keeper.give([named("p")]).values()
    cursor = Cursor(os.dup(made))
    os.lseek(made, 2**63 - 1, os.SEEK_SET)  # a worker that was taken over
    assert [cursor.take() for _ in range(3)] == [1, 2, 3]
    cursor.close()
    cursor.close()
    assert cursor.take() == 4
    keeper.close()


def test_who_has_one_keeps_it(keeper: CursorKeeper) -> None:
    new = keeper.give([named("p"), named("q"), named("p")])
    assert list(new) == ["p", "q"] and dict(keeper.all) == new
    assert list(keeper.give([named("q"), named("r")])) == ["r"]
    assert keeper.all["q"] == new["q"]
    keeper.retire(["p", "unknown"])
    assert list(keeper.all) == ["q", "r"]
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(new["p"])


def test_there_are_not_more_than_so_many(keeper: CursorKeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursors, "MOST_CURSORS", 2)
    assert list(keeper.give([named("p"), named("q"), named("r")])) == ["p", "q"]
    keeper.retire(["p"])
    assert list(keeper.give([named("q"), named("r"), named("s")])) == ["r"]


@pytest.mark.parametrize("which", ["memfd_create", "open"])
def test_without_descriptors_there_is_none(
    keeper: CursorKeeper, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, which, refuse)
    assert keeper.give([named("p")]) == {} == dict(keeper.all)


@pytest.mark.parametrize("name", POLICIES)
def test_who_takes_turns(name: str) -> None:
    asked: list[int] = []

    def take() -> int:
        asked.append(1)
        return len(asked)

    backends = make_backends(3)
    made: Setting = setting(backends, take_number=take)
    args = ("key",) * POLICIES[name].arguments[0]
    policy = POLICIES[name](args, made)
    policy.select(backends, Request(), (), 0.0)
    assert bool(asked) is (name in TAKE_TURNS)


def test_what_needs_none() -> None:
    assert takes_turns(pool_spec("ab", "round_robin"))
    assert not takes_turns(pool_spec("a", "round_robin")), "there is no choice"
    assert takes_turns(
        pool_spec("a", "round_robin", sources=(SourceSpec("file", "file:list", "list", endpoint("c")),))
    )
    assert not takes_turns(pool_spec("ab", "least_conn"))
