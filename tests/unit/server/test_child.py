"""A worker as the supervisor sees it: asked, answered, gone; and real processes that are started."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import pytest

from posthouse.errors import StartError
from posthouse.server.child import Child, Gone, Launch
from posthouse.server.control import (
    Abort,
    AskStatus,
    Ended,
    Ping,
    Pong,
    Prepared,
    Refused,
    StatusReport,
    Welcome,
)
from posthouse.server.recruits import Recruits
from unit.server.fakes import Remembering
from unit.server.troupe import Cast


def test_answers_go_to_who_asked(loop: asyncio.AbstractEventLoop, log: Remembering) -> None:
    heard: list[object] = []

    async def conversation() -> None:
        cast = Cast(log)
        child = await cast.start_worker(0, lambda child, message: heard.append(message))
        player = cast.players[0]
        assert await child.ask(Ping(), Pong) == Pong(0)
        later = child.expect(Prepared, Refused)
        player.tell(Pong(1))
        player.tell(Refused(7, reason="no"))
        assert await later == Refused(7, reason="no")
        assert heard == [Pong(0), Pong(1), Refused(7, reason="no")]
        assert await child.ask(Abort(), Ended) == Ended(0)
        assert await child.end() == 2
        with pytest.raises(Gone):
            await child.expect(Pong)
        await player.clear()

    loop.run_until_complete(conversation())


def test_an_answer_in_pieces_is_whole_with_the_last_one(
    loop: asyncio.AbstractEventLoop, log: Remembering
) -> None:
    def piece(number: int, *, is_last: bool) -> StatusReport:
        return StatusReport({"number": number}, is_last=is_last)

    async def conversation() -> None:
        cast = Cast(log)
        child = await cast.start_worker(0, lambda child, message: None)
        player = cast.players[0]
        player.is_deaf = True
        nobody = asyncio.ensure_future(child.ask_pieces(AskStatus(), StatusReport))
        await asyncio.sleep(0)
        asked = asyncio.ensure_future(child.ask_pieces(AskStatus(), StatusReport))
        pong = child.expect(Pong)
        await asyncio.sleep(0)
        nobody.cancel()  # its answer comes all the same, and is nobody else's
        for number in (1, 2):
            player.tell(piece(number, is_last=number == 2))
        player.tell(piece(3, is_last=False))
        player.tell(Pong(0))
        await pong
        assert not asked.done()
        player.tell(piece(4, is_last=True))
        assert await asked == [piece(3, is_last=False), piece(4, is_last=True)]
        unfinished = asyncio.ensure_future(child.ask_pieces(AskStatus(), StatusReport))
        await asyncio.sleep(0)
        player.tell(piece(5, is_last=False))
        child.kill()
        with pytest.raises(Gone):
            await unfinished
        await player.clear()

    loop.run_until_complete(asyncio.wait_for(conversation(), 20))


def test_who_ends_does_not_answer(loop: asyncio.AbstractEventLoop, log: Remembering) -> None:
    async def conversation() -> None:
        cast = Cast(log)
        child = await cast.start_worker(3, lambda child, message: None)
        player = cast.players[0]
        player.is_deaf = True
        asked = child.ask(Ping(), Pong)
        waiting = asyncio.ensure_future(asked)
        await asyncio.sleep(0)
        child.kill()
        with pytest.raises(Gone):
            await waiting
        assert await child.end() == -9
        assert repr(child) == "<Child slot=3 pid=1000 ended in_flight=0>"
        child.send(Ping())
        await player.clear()

    loop.run_until_complete(conversation())


def test_one_that_cannot_be_talked_to_is_as_good_as_gone(
    loop: asyncio.AbstractEventLoop, log: Remembering
) -> None:
    async def conversation() -> None:
        cast = Cast(log)
        child = await cast.start_worker(0, lambda child, message: None)
        waiting = child.expect(Pong)
        child.channel.other = "9.9"
        child._on_end("supervisor and worker are of two versions")
        with pytest.raises(Gone):
            await waiting
        assert child.trouble.endswith("two versions") and child.other == "9.9"
        await cast.players[0].clear()

    loop.run_until_complete(conversation())


def test_a_real_worker_comes_answers_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def conversation() -> None:
        started = await Launch(os.environ).start(Welcome(0, 1), lambda child, message: None)
        assert await started.ask(Ping(), Pong) == Pong(0)
        assert await started.ask(Abort(), Ended) == Ended(0)
        assert await started.end() == 2
        other = await Launch(os.environ).start(Welcome(1, 2), lambda child, message: None)
        await other.ask(Ping(), Pong)
        other.close()
        assert await other.end() == 0, "without a supervisor it ends by itself"

    asyncio.run(asyncio.wait_for(conversation(), 30))


def test_one_that_was_enlisted_is_taken_first(monkeypatch: pytest.MonkeyPatch) -> None:
    async def conversation() -> None:
        recruits = Recruits()
        recruits.enlist(1, os.environ)
        (waiting,) = recruits._waiting
        launch = Launch(os.environ, None, recruits)
        first = await launch.start(Welcome(0, 2), lambda child, message: None)
        second = await launch.start(Welcome(1, 2), lambda child, message: None)
        assert first.pid == waiting.pid != second.pid
        for one in (first, second):
            assert await one.ask(Ping(), Pong) == Pong(0)
            assert await one.ask(Abort(), Ended) == Ended(0)
            assert await one.end() == 2

    asyncio.run(asyncio.wait_for(conversation(), 60))


def test_a_program_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    async def conversation() -> None:
        def hear(child: Child, message: Any) -> None:
            raise AssertionError

        with pytest.raises(StartError, match="cannot start a worker: No such file or directory"):
            await Launch({}).start(Welcome(0, 1), hear)

    asyncio.run(conversation())
