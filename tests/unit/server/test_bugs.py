"""Bugs: one line, with the place of the innermost frame."""

from __future__ import annotations

import asyncio

from posthouse.server import bugs
from unit.server.fakes import Remembering


def test_a_bug_is_one_line_with_its_place(loop: asyncio.AbstractEventLoop, log: Remembering) -> None:
    try:
        raise ZeroDivisionError("on purpose")
    except ZeroDivisionError as error:
        bugs.teller(log)(loop, {"message": "a task failed", "exception": error})
    (line,) = log.of("internal error")
    assert (line["message"], line["error"]) == ("a task failed", "ZeroDivisionError('on purpose')")
    assert str(line["where"]).startswith("test_bugs.py:")


def test_what_has_no_exception_is_told_too(loop: asyncio.AbstractEventLoop, log: Remembering) -> None:
    bugs.teller(log)(loop, {"message": "odd"})
    assert log.of("internal error")[0]["message"] == "odd"


def test_no_descriptors_is_no_bug(loop: asyncio.AbstractEventLoop, log: Remembering) -> None:
    bugs.teller(log)(loop, {"exception": OSError(24, "Too many open files")})
    assert log.of("internal error") == []
    assert len(log.of("no descriptor left for a further connection")) == 1


def test_where_accepting_can_rest_it_does(loop: asyncio.AbstractEventLoop, log: Remembering) -> None:
    rests: list[int] = []
    tell = bugs.teller(log, lambda: rests.append(1))
    tell(loop, {"message": "accept failed", "exception": OSError(24, "Too many open files")})
    tell(loop, {"message": "Exception in callback _start_serving()", "exception": ValueError("fd: -1")})
    assert rests == [1]
    assert log.lines() == []
