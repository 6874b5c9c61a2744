"""The worker: what it does when the supervisor speaks, with generations that only count."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from posthouse.config.specs import Config
from posthouse.errors import NOWHERE, ConfigError, Mistake, StartError
from posthouse.server import listeners, sockets
from posthouse.server.channel import Channel
from posthouse.server.control import (
    Abandon,
    Abort,
    Commit,
    Empty,
    Ended,
    Ping,
    Pong,
    Prepare,
    Prepared,
    Refused,
    Reopened,
    ReopenLog,
    ReopenLogs,
    Serving,
    Sockets,
    Stop,
    Stopping,
    TidyLog,
    Welcome,
)
from posthouse.server.worker import connection_limits
from unit.server.fakes import Remembering, until
from unit.server.troupe import Cast, Player, config_for

KEY = ("127.0.0.1", 0)


class Boss:
    """The supervisor's end: says things and remembers what it heard."""

    def __init__(self, log: Remembering, grace: float) -> None:
        self.cast = Cast(log)
        ours, theirs = socket.socketpair()
        self.heard: list[object] = []
        loop = asyncio.get_running_loop()
        self.channel = Channel(ours, loop, lambda message, _: self.heard.append(message), lambda why: None)
        self.player = Player(self.cast, Welcome(0, 1, grace=grace), theirs)
        self.listening: list[socket.socket] = []

    @property
    def code(self) -> int | None:
        """The exit code, or None while it runs."""
        done = self.player.process.code.done()
        return self.player.process.code.result() if done else None

    async def say(self, *messages: object, answer: object = None) -> None:
        """Say these and wait for an answer."""
        before = self.heard.count(answer)
        for message in messages:
            self.channel.send(message)
        if answer is not None:
            await until(lambda: self.heard.count(answer) > before)

    def give(self, message: object) -> socket.socket:
        """Say something with a socket that listens."""
        listening = sockets.bind(KEY)
        self.channel.send(message, [listening.fileno()])
        self.listening.append(listening)
        return listening

    async def serve(self, number: int = 1) -> int:
        """Have it serve a first configuration; the port."""
        await self.say(Prepare(number, config_for(0)), answer=Prepared(number))
        listening = self.give(Sockets((KEY,)))
        await self.say(Commit(number), answer=Serving(number))
        return sockets.port_of(listening)


Play = Callable[[Callable[[Boss], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def play(
    loop: asyncio.AbstractEventLoop, log: Remembering, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Play]:
    monkeypatch.setattr(gc, "freeze", lambda: None)
    monkeypatch.setattr(listeners, "IDLE_GRACE_SECONDS", 0.0)

    def run(conversation: Callable[[Boss], Coroutine[Any, Any, None]]) -> None:
        async def all_of_it() -> None:
            boss = Boss(log, grace=0.05)
            await conversation(boss)
            boss.channel.close()
            await until(lambda: boss.code is not None)
            await boss.player.clear()
            for one in boss.listening:
                one.close()

        loop.run_until_complete(asyncio.wait_for(all_of_it(), 20))

    yield run
    gc.enable()


def test_it_builds_first_and_serves_when_told(play: Play) -> None:
    async def conversation(boss: Boss) -> None:
        await boss.say(Prepare(1, config_for(0)), answer=Prepared(1))
        assert boss.cast.story == []
        listening = boss.give(Sockets((KEY,)))
        await boss.say(Commit(1), answer=Serving(1))
        assert boss.cast.story == ["start 1"]
        reader, writer = await asyncio.open_connection("127.0.0.1", sockets.port_of(listening))
        writer.write(b"x")
        assert await reader.read(10) == b"1:x"
        await boss.say(Prepare(2, config_for(0)), answer=Prepared(2))
        await boss.say(Commit(2), answer=Serving(2))
        assert boss.cast.story == ["start 1", "start 2", "retire 1 for 2"]
        writer.write(b"y")
        assert await reader.read(10) == b"2:y", "the same connection"
        writer.close()
        assert repr(boss.player.worker).startswith(f"<Worker 0 pid={os.getpid()} ")

    play(conversation)


def test_what_is_abandoned_is_dropped_with_its_sockets(play: Play) -> None:
    async def conversation(boss: Boss) -> None:
        await boss.serve()
        await boss.say(Prepare(2, config_for(0)), answer=Prepared(2))
        listening = boss.give(Sockets((("localhost", 0),)))
        port = sockets.port_of(listening)
        listening.close()
        await boss.say(Abandon(2))
        await boss.say(Prepare(2, config_for(0)), answer=Prepared(2))
        assert boss.cast.story == ["start 1", "retire 2"]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 2)
        await boss.say(Abandon(2), Abandon(3), Ping(), answer=Pong(0))

    play(conversation)


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (ConfigError(Mistake(NOWHERE, "a", hint="b?")), Refused(1, (Mistake(NOWHERE, "a", hint="b?"),))),
        (StartError("cannot open the log"), Refused(1, reason="cannot open the log")),
        (ZeroDivisionError("a bug"), Refused(1, reason="ZeroDivisionError('a bug')")),
    ],
)
def test_what_cannot_be_built_is_refused(play: Play, error: Exception, answer: Refused) -> None:
    async def conversation(boss: Boss) -> None:
        boss.cast.building = error
        await boss.say(Prepare(1, config_for(0)), answer=answer)
        boss.cast.building = None
        await boss.serve()

    play(conversation)


def test_it_answers_how_much_runs_on_all_generations(play: Play) -> None:
    async def conversation(boss: Boss) -> None:
        await boss.say(Ping(), answer=Pong(0))
        await boss.serve()
        boss.player.generations[0].in_flight = 2
        await boss.say(Prepare(2, config_for(0)), answer=Prepared(2))
        await boss.say(Commit(2), answer=Serving(2))
        boss.player.generations[1].in_flight = 3
        await boss.say(Ping(), answer=Pong(5))
        boss.player.generations[0].in_flight = boss.player.generations[1].in_flight = 0

    play(conversation)


def test_it_drains_and_tells_what_was_cut(play: Play) -> None:
    async def conversation(boss: Boss) -> None:
        port = await boss.serve()
        boss.listening[0].close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"work")
        assert await reader.read(10) == b"1:work"
        boss.player.generations[0].in_flight = 1
        await boss.say(Stop("TERM"), answer=Stopping(1))
        await boss.say(Stop("TERM"), answer=Stopping(1))
        await until(lambda: Ended(1) in boss.heard)
        await until(lambda: boss.code == 0)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 2)
        writer.close()

    play(conversation)


def test_it_ends_at_once_when_told_so(play: Play) -> None:
    async def conversation(boss: Boss) -> None:
        await boss.serve()
        boss.player.generations[0].in_flight = 3
        await boss.say(Abort(), answer=Ended(3))
        await until(lambda: boss.code == 2)

    play(conversation)


def test_without_a_supervisor_it_drains(play: Play, log: Remembering) -> None:
    async def conversation(boss: Boss) -> None:
        await boss.serve()
        boss.channel.close()
        await until(lambda: boss.code == 0)
        assert log.of("supervisor gone, draining")[0]["reason"] == "its channel ended"

    play(conversation)


def test_it_serves_who_waits_at_the_socket_of_another(play: Play) -> None:
    async def conversation(boss: Boss) -> None:
        await boss.serve()
        orphan = sockets.bind(KEY)
        reader, writer = await asyncio.open_connection("127.0.0.1", sockets.port_of(orphan))
        writer.write(b"x")
        boss.channel.send(Empty((KEY,)), [orphan.fileno()])
        orphan.close()
        assert await reader.read(10) == b"1:x"
        writer.close()

    play(conversation)


def test_logs_are_its_parts_affair(play: Play) -> None:
    async def conversation(boss: Boss) -> None:
        await boss.say(ReopenLogs(), TidyLog("a"), ReopenLog("b", 7), answer=Reopened("b", 7, is_done=True))
        assert (boss.player.reopened, boss.player.tidied) == (1, ["a"])

    play(conversation)


def test_the_smallest_limit_of_an_address_counts() -> None:
    sites = (*config_for(80, limit=7).sites, *config_for(80, limit=5).sites, *config_for(81).sites)
    assert connection_limits(Config(sites)) == {("127.0.0.1", 80): 5}
