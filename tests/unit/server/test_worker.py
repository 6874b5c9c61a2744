"""The worker: what it does when the supervisor speaks, with generations that only count."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from posthouse.config.delta import Delta, Kept
from posthouse.config.specs import Config
from posthouse.errors import NOWHERE, ConfigError, Mistake, StartError
from posthouse.observe.snapshot import Rows, Snapshot
from posthouse.server import listeners, sockets, worker
from posthouse.server.channel import Channel
from posthouse.server.control import (
    Abandon,
    Abort,
    Ahead,
    AskStatus,
    Collected,
    Commit,
    Empty,
    Ended,
    Measure,
    Measured,
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
    StatusReport,
    Stop,
    Stopping,
    TidyLog,
    Welcome,
)
from posthouse.server.pressure import Limits
from posthouse.server.worker import connection_limits
from unit.server.fakes import Remembering, until
from unit.server.troupe import Cast, Player, config_for

KEY = ("127.0.0.1", 0)
NO_LIMITS = Limits()


class Boss:
    """The supervisor's end: says things and remembers what it heard."""

    def __init__(self, log: Remembering, grace: float, limits: Limits) -> None:
        self.cast = Cast(log)
        ours, theirs = socket.socketpair()
        self.heard: list[object] = []
        loop = asyncio.get_running_loop()
        self.channel = Channel(ours, loop, lambda message, _: self.heard.append(message), lambda why: None)
        self.player = Player(self.cast, Welcome(0, 1, grace=grace, limits=limits), theirs)
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


Play = Callable[..., None]


@pytest.fixture
def play(
    loop: asyncio.AbstractEventLoop, log: Remembering, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Play]:
    monkeypatch.setattr(gc, "freeze", lambda: None)
    monkeypatch.setattr(listeners, "IDLE_GRACE_SECONDS", 0.0)

    def run(conversation: Callable[[Boss], Coroutine[Any, Any, None]], limits: Limits = NO_LIMITS) -> None:
        async def all_of_it() -> None:
            boss = Boss(log, grace=0.05, limits=limits)
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


def test_a_delta_is_applied_to_what_it_serves(play: Play) -> None:
    """Sites that stay are the same objects, which is how a generation knows them."""

    async def conversation(boss: Boss) -> None:
        await boss.serve()
        (kept,) = boss.player.generations[0].config.sites
        came = config_for(0).sites[0]
        await boss.say(Prepare(2, Delta((came, Kept(0, 1)))), answer=Prepared(2))
        await boss.say(Commit(2), answer=Serving(2))
        assert boss.player.generations[1].config.sites[1] is kept
        boss.cast.building = StartError("no")
        await boss.say(Ahead((came, came)), Prepare(3, Delta((came,))), answer=Refused(3, reason="no"))
        boss.cast.building = None
        await boss.say(Prepare(3, Delta((came,))), Abandon(3), Ping(), answer=Pong(0))
        await boss.say(Prepare(3, Delta((Kept(0, 2),))), answer=Prepared(3))
        sites = boss.player.generations[-1].config.sites
        assert len(sites) == 2, "what was not committed has changed nothing"
        await boss.say(Abandon(3), Ahead((came,)), Ahead((Kept(1, 1),)))
        await boss.say(Prepare(3, Delta((came,))), answer=Prepared(3))
        assert list(boss.player.generations[-1].config.sites) == [came, kept, came]

    play(conversation)


def test_it_tells_what_it_has_counted(play: Play) -> None:
    async def conversation(boss: Boss) -> None:
        boss.player.snapshot = snapshot = Snapshot({"posthouse_workers": {(): 1}}, 5, 6)
        await boss.say(Measure(9), answer=Measured(9, snapshot, is_last=True))
        answer = Collected(4, snapshot, is_last=True)
        await boss.say(answer, Ping(), answer=Pong(0))
        assert boss.player.answers == [answer]
        assert boss.player.worker.reloads is None and not boss.player.worker.is_ready
        await boss.serve()
        assert boss.player.worker.is_ready
        boss.player.generations[0].in_flight = 1
        await boss.say(Stop("TERM"), answer=Stopping(1))
        assert not boss.player.worker.is_ready

    play(conversation)


def test_what_it_has_counted_comes_in_pieces(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "MOST_SAMPLES", 2)
    samples: Rows = {(str(number),): number for number in range(5)}

    async def conversation(boss: Boss) -> None:
        boss.player.snapshot = Snapshot({"posthouse_queue_length": samples}, 5, 6)
        await boss.say(Measure(9))
        await until(lambda: len(boss.heard) == 3)
        heard = [one for one in boss.heard if isinstance(one, Measured)]
        assert [one.is_last for one in heard] == [False, False, True]
        told = [item for one in heard for item in one.piece.rows["posthouse_queue_length"].items()]
        assert dict(told) == samples

    play(conversation)


def test_its_status_comes_in_pieces_with_a_turn_for_others_between(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two who ask at once get one answer after the other."""
    turns: list[None] = []
    seen: list[int] = []

    async def conversation(boss: Boss) -> None:
        def pieces() -> Iterator[dict[str, object]]:
            for number in range(3):
                seen.append(len(turns))
                asyncio.get_running_loop().call_soon(turns.append, None)
                yield {"number": number}

        monkeypatch.setattr(boss.player, "status", pieces)
        await boss.say(AskStatus(), AskStatus())
        await until(lambda: len(boss.heard) == 6)
        wanted = [StatusReport({"number": number}, is_last=number == 2) for number in range(3)]
        assert boss.heard == wanted * 2
        assert seen[1] < seen[2] and seen[4] < seen[5], "the loop has turned"

    play(conversation)


def test_with_too_little_memory_it_does_not_start(play: Play) -> None:
    async def conversation(boss: Boss) -> None:
        await boss.say(Prepare(1, config_for(0)))
        await until(lambda: boss.heard)
        (refused,) = boss.heard
        assert isinstance(refused, Refused) and refused.reason.startswith(
            "--max-memory leaves 1.0MB for each worker"
        )
        assert boss.cast.story == ["retire 1"]

    play(conversation, limits=Limits(memory=1 << 20))


def test_without_a_descriptor_accepting_rests(play: Play, log: Remembering) -> None:
    async def conversation(boss: Boss) -> None:
        await boss.serve()
        loop = asyncio.get_running_loop()
        error = OSError(24, "Too many open files")
        loop.call_exception_handler({"message": "accept failed", "exception": error})
        await until(lambda: log.of("accepting rests: no descriptor left"))

    play(conversation)
    assert len(log.of("accepting rests: no descriptor left")) == 1
    assert log.of("internal error") == []


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
