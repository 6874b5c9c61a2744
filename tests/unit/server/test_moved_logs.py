"""MovedLogs: the one who put a file aside hears of it when all others have left it, and not before."""

from __future__ import annotations

from typing import Any, cast

from posthouse.server.child import Child
from posthouse.server.control import LogMoved, Pong, Reopened, ReopenLog, TidyLog
from posthouse.server.moved_logs import MovedLogs


class Quiet:
    """A child that only remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def send(self, message: object) -> None:
        self.told.append(message)


def cast_of(count: int) -> tuple[list[Quiet], list[Child], MovedLogs]:
    quiet = [Quiet() for _ in range(count)]
    children = cast(list[Child], cast(Any, quiet))
    return quiet, children, MovedLogs(lambda: children)


def test_all_others_leave_first() -> None:
    (first, second, third), children, moved = cast_of(3)
    moved.hear(children[0], LogMoved("a.log", 1))
    assert second.told == third.told == [ReopenLog("a.log", 1)]
    moved.hear(children[1], Reopened("a.log", 1, is_done=True))
    moved.hear(children[1], Pong(0))
    assert first.told == []
    assert repr(moved) == "<MovedLogs ['a.log']>"
    moved.hear(children[2], Reopened("a.log", 1, is_done=True))
    assert first.told == [TidyLog("a.log")]
    moved.hear(children[2], Reopened("a.log", 1, is_done=True))
    assert first.told == [TidyLog("a.log")]


def test_an_answer_to_an_earlier_question_does_not_count() -> None:
    (first, _), children, moved = cast_of(2)
    moved.hear(children[0], LogMoved("a.log", 1))
    moved.hear(children[0], LogMoved("a.log", 2))
    moved.hear(children[1], Reopened("a.log", 1, is_done=True))
    assert first.told == []
    moved.hear(children[1], Reopened("a.log", 2, is_done=True))
    assert first.told == [TidyLog("a.log")]


def test_who_could_not_leave_keeps_it_from_being_tidied() -> None:
    (first, _, _), children, moved = cast_of(3)
    moved.hear(children[0], LogMoved("a.log", 1))
    moved.hear(children[1], Reopened("a.log", 1, is_done=False))
    moved.hear(children[2], Reopened("a.log", 1, is_done=True))
    assert first.told == []


def test_who_has_ended_writes_to_nothing() -> None:
    (first, _, third), children, moved = cast_of(3)
    moved.hear(children[0], LogMoved("a.log", 1))
    moved.hear(children[1], Reopened("a.log", 1, is_done=True))
    moved.forget(children[2])
    assert first.told == [TidyLog("a.log")]
    moved.hear(children[0], LogMoved("a.log", 2))
    moved.forget(children[0])
    moved.hear(children[1], Reopened("a.log", 2, is_done=True))
    assert repr(moved) == "<MovedLogs []>"
    assert third.told[-1] == ReopenLog("a.log", 2)


def test_alone_it_is_done_at_once() -> None:
    (first,), children, moved = cast_of(1)
    moved.hear(children[0], LogMoved("a.log", 1))
    assert first.told == [TidyLog("a.log")]
