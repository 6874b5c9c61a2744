"""Pieces of work share a turn of the loop, so many milliseconds of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from posthouse.server.turns import TURN_SECONDS, Turns


class Clock:
    """A clock that moves only when work is done."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Loop:
    """The part of an event loop that is asked here; a turn does what was there when it began, as both loops do."""

    def __init__(self) -> None:
        self.ready: list[Callable[[], None]] = []
        self.later: list[float] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.ready.append(callback)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        self.later.append(seconds)

    def turn(self) -> None:
        ready, self.ready = self.ready, []
        for callback in ready:
            callback()


class Work:
    """Pieces that take time, and the turns of the loop in which they were done."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.loop = Loop()
        self.turns = Turns(cast(asyncio.AbstractEventLoop, self.loop), self.clock)
        self.done: list[list[str]] = []

    def ask(self, name: str, seconds: float = 0.0, *, again: int = 0) -> Any:
        def piece() -> None:
            self.clock.now += seconds
            self.done[-1].append(name)
            if again:
                self.ask(name, seconds, again=again - 1)

        return self.turns.call_later(0.0, piece)

    def turn(self) -> list[str]:
        """One turn of the loop: what was done in it."""
        self.done.append([])
        self.loop.turn()
        return self.done[-1]


@pytest.fixture
def work() -> Work:
    return Work()


def test_short_pieces_share_a_turn_in_their_order(work: Work) -> None:
    for name in "abc":
        work.ask(name, TURN_SECONDS / 4)
    assert work.done == []
    assert work.turn() == ["a", "b", "c"]
    assert work.turn() == []


def test_when_its_time_is_up_the_rest_waits_for_the_next_turn(work: Work) -> None:
    for name in "abcd":
        work.ask(name, TURN_SECONDS / 2)
    assert work.turn() == ["a", "b"]
    assert work.turn() == ["c", "d"]


def test_a_long_piece_is_done_too(work: Work) -> None:
    work.ask("a", 10.0)
    work.ask("b", 10.0)
    assert [work.turn(), work.turn(), work.turn()] == [["a"], ["b"], []]


def test_who_asks_again_waits_behind_the_others_for_another_turn(work: Work) -> None:
    work.ask("a", again=2)
    work.ask("b")
    assert [work.turn(), work.turn(), work.turn(), work.turn()] == [["a", "b"], ["a"], ["a"], []]


def test_what_is_cancelled_is_not_done(work: Work) -> None:
    first, _, third = work.ask("a"), work.ask("b"), work.ask("c")
    first.cancel()
    third.cancel()
    third.cancel()
    assert work.turn() == ["b"]


def test_one_that_fails_keeps_no_other_waiting(work: Work) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    work.turns.call_later(0.0, fail)
    work.ask("b")
    with pytest.raises(ZeroDivisionError):
        work.turn()
    assert work.turn() == ["b"]


def test_others_come_in_their_time(work: Work) -> None:
    work.turns.call_later(0.5, lambda: None)
    assert (work.loop.later, work.loop.ready) == ([0.5], [])
