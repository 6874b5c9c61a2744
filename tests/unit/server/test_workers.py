"""The workers of a group: asked together, replaced one by one; played in one process."""

from __future__ import annotations

import asyncio
import gc
import math
import re
import select
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from posthouse.config.specs import Config
from posthouse.errors import NOWHERE, ConfigError, Mistake, StartError
from posthouse.server import heartbeat, listeners
from posthouse.server import workers as module
from posthouse.server.bindings import Bindings, listen_keys
from posthouse.server.control import Commit, LogMoved, Prepare
from posthouse.server.news import Failed
from posthouse.server.sockets import ListenKey
from posthouse.server.workers import Workers
from unit.server.fakes import Remembering, until
from unit.server.troupe import Cast, Player, config_for


class Scene:
    """Workers that were played, and who is told that all is lost."""

    def __init__(self, log: Remembering, count: int, beat: float) -> None:
        self.log = log
        self.cast = Cast(log)
        self.cast.grace = 0.05
        self.bindings = Bindings(count)
        self.workers = Workers(self.cast.start_worker, self.bindings, log, count, beat)
        self.lost: list[str] = []
        self.workers.on_lost = self.lost.append
        self.number = 0

    async def start(self) -> None:
        await self.workers.start()
        self.number = 1
        prepare = Prepare(1, config_for(0))
        await self.workers.first(prepare)
        await self._commit(prepare)

    async def reload(self) -> None:
        async with self.workers.change():
            prepare = Prepare(self.number + 1, config_for(0))
            await self.workers.prepare(prepare)
            await self._commit(prepare)
            self.number += 1

    async def _commit(self, prepare: Prepare) -> None:
        assert isinstance(prepare.wanted, Config)
        fresh = self.bindings.bind(listen_keys(prepare.wanted))
        self.bindings.take(fresh)
        await self.workers.commit(prepare, fresh, {})

    def serving(self) -> list[int]:
        """The generations that serve, by slot."""
        living = {child.pid for child in self.workers.children() if child.is_serving}
        players = [one for one in self.cast.players if one.process.pid in living]
        return [one.made[-1].plan for one in sorted(players, key=lambda one: one.slot)]


Play = Callable[..., None]


@pytest.fixture
def play(
    loop: asyncio.AbstractEventLoop, log: Remembering, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Play]:
    monkeypatch.setattr(gc, "freeze", lambda: None)
    monkeypatch.setattr(listeners, "IDLE_GRACE_SECONDS", 0.0)

    def run(
        conversation: Callable[[Scene], Coroutine[Any, Any, None]], count: int = 2, beat: float = 0.0
    ) -> None:
        async def all_of_it() -> None:
            scene = Scene(log, count, beat)
            try:
                await conversation(scene)
            finally:
                await scene.workers.stop("TEST", lambda in_flight: None, 0.05)
                scene.bindings.close()
                for player in scene.cast.players:
                    await player.clear()
                await asyncio.sleep(0)

        loop.run_until_complete(asyncio.wait_for(all_of_it(), 20))

    yield run
    gc.enable()


def test_all_are_started_and_changed_together(play: Play) -> None:
    async def conversation(scene: Scene) -> None:
        await scene.start()
        assert len(scene.workers) == len(scene.workers.children()) == 2
        assert scene.serving() == [1, 1]
        await scene.reload()
        assert scene.serving() == [2, 2]
        assert repr(scene.workers).startswith("<Workers [<Child slot=0 pid=1000 serving in_flight=0>, ")

    play(conversation)


@pytest.mark.parametrize(
    "error", [ConfigError(Mistake(NOWHERE, "no such policy")), StartError("cannot open the log")]
)
def test_what_one_cannot_build_nobody_serves(play: Play, error: Exception) -> None:
    async def conversation(scene: Scene) -> None:
        await scene.start()
        bad = scene.cast.players[1]
        monkey = bad.build

        async def build(prepare: Prepare, config: Config, previous: Any) -> Any:
            raise error

        bad.build = build  # type: ignore[method-assign]
        with pytest.raises(type(error), match=str(error)):
            await scene.reload()
        await until(lambda: scene.cast.story[-1] == "retire 2")
        assert scene.serving() == [1, 1]
        bad.build = monkey  # type: ignore[method-assign]
        await scene.reload()
        assert scene.serving() == [2, 2]

    play(conversation)


def test_a_start_that_cannot_be_built_is_raised(play: Play) -> None:
    async def conversation(scene: Scene) -> None:
        scene.cast.building = ConfigError(Mistake(NOWHERE, "no such policy"))
        with pytest.raises(ConfigError, match="no such policy"):
            await scene.start()

    play(conversation)


def test_one_that_ends_while_it_builds_keeps_all_on_the_old(play: Play) -> None:
    async def conversation(scene: Scene) -> None:
        await scene.start()
        victim = scene.cast.players[1]

        async def preparing() -> None:
            scene.cast.preparing = None
            victim.end(-11)

        scene.cast.preparing = preparing
        with pytest.raises(StartError, match="a worker ended while it built the new configuration"):
            await scene.reload()
        await until(lambda: scene.serving() == [1, 1])
        await scene.reload()
        assert scene.serving() == [2, 2]

    play(conversation)


def test_who_ends_is_replaced_with_what_is_served_then(play: Play, log: Remembering) -> None:
    async def conversation(scene: Scene) -> None:
        await scene.start()
        await scene.reload()
        scene.cast.players[0].end(-9)
        await until(lambda: log.of("worker replaced"))
        assert scene.serving() == [2, 2]
        (line,) = log.of("worker ended")
        assert (line["worker"], line["ended"], line["next"]) == (0, "signal 9", "0s")

    play(conversation)


def test_a_replacement_knows_what_the_others_know_before_it_serves(play: Play, log: Remembering) -> None:
    async def conversation(scene: Scene) -> None:
        await scene.start()
        failed = Failed("p", ("http://a:1", 1), math.inf, "refused")
        scene.workers._sharing.tell(failed)
        scene.cast.players[0].end(-9)
        await until(lambda: log.of("worker replaced"))
        kinds = [type(message) for message in scene.cast.players[-1].heard]
        assert kinds.index(Failed) < kinds.index(Commit)

    play(conversation)


def test_who_is_stillborn_at_the_start_gets_two_more_chances(play: Play, log: Remembering) -> None:
    async def conversation(scene: Scene) -> None:
        scene.cast.on_birth = lambda player: player.end(77) if len(scene.cast.players) < 3 else None
        await scene.start()
        assert scene.serving() == [1]
        assert len(log.of("worker ended at its start")) == 2

    play(conversation, count=1)


def test_of_a_refused_start_the_killed_are_not_reported_and_get_no_successor(
    play: Play, log: Remembering
) -> None:
    async def conversation(scene: Scene) -> None:
        hanging = asyncio.Event()
        wrong = ConfigError(Mistake(NOWHERE, "no such policy"))

        async def refusing(prepare: Prepare, config: Config, previous: Any) -> Any:
            raise wrong

        async def waiting(prepare: Prepare, config: Config, previous: Any) -> Any:
            await hanging.wait()

        def prepared(player: Player) -> None:
            player.build = waiting if player.slot == 0 else refusing  # type: ignore[method-assign]

        scene.cast.on_birth = prepared
        with pytest.raises(ConfigError, match="no such policy"):
            await scene.start()
        await scene.workers.bury()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not log.of("worker ended at its start")
        assert len(scene.cast.players) == 2
        hanging.set()

    play(conversation)


def test_one_that_is_never_born_fails_the_start(play: Play) -> None:
    async def conversation(scene: Scene) -> None:
        scene.cast.on_birth = lambda player: player.end(77) if player.slot == 1 else None
        with pytest.raises(StartError, match=r"^worker 1 ended 3 times before it served: exit code 77$"):
            await scene.start()

    play(conversation)


def test_with_nobody_left_it_is_the_end(play: Play, log: Remembering) -> None:
    async def conversation(scene: Scene) -> None:
        await scene.start()
        scene.cast.on_birth = lambda player: player.end(77)
        scene.cast.players[0].end(-9)
        await until(lambda: len(log.of("worker ended")) >= 4)
        assert scene.lost == [], "the other one serves"
        scene.cast.players[1].end(-9)
        await until(lambda: scene.lost)
        assert re.fullmatch(r"worker \d ended \d times before it served: exit code 77", scene.lost[0])

    play(conversation)


def test_nobody_is_started_while_an_upgrade_is_under_way(play: Play, log: Remembering) -> None:
    async def conversation(scene: Scene) -> None:
        await scene.start()
        scene.workers.hold()
        scene.cast.players[0].end(-9)
        await until(lambda: log.of("worker ended"))
        reader, writer = await asyncio.open_connection(sock=_client_of(scene.bindings.of(0)))
        writer.write(b"x")
        assert await reader.read(1) == b"1", "who comes to the slot is served by the other one"
        writer.close()
        assert len(scene.cast.players) == 2
        scene.workers.resume()
        await until(lambda: log.of("worker replaced"))

    play(conversation)


def _client_of(bound: dict[ListenKey, socket.socket]) -> socket.socket:
    """A client that waits in the queue of this very socket: it alone listens meanwhile."""
    (listening,) = bound.values()
    client = socket.socket()
    while True:
        client.connect(listening.getsockname())
        if select.select([listening], [], [], 0)[0]:
            client.setblocking(False)
            return client
        client.close()
        client = socket.socket()


def test_workers_of_another_version_are_no_replacement(
    play: Play, log: Remembering, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def answer(is_there_a_way: bool) -> bool:
        asked.append(is_there_a_way)
        return is_there_a_way

    async def conversation(scene: Scene) -> None:
        await scene.start()
        scene.workers.on_changed = lambda: answer(True)
        monkeypatch.setattr(module, "MOST_SECONDS", 0.01)
        born = scene.cast.start_worker

        async def start(slot: int, on_message: Any) -> Any:
            child = await born(slot, on_message)
            child.trouble, child.other = "of two versions", "9.9"
            scene.cast.players[-1].end(1)
            return child

        scene.workers._start = start
        scene.cast.players[0].end(-9)
        await until(lambda: log.of("another version is installed, upgrade with SIGUSR2"))
        assert log.of("another version is installed, upgrade with SIGUSR2")[0]["installed"] == "9.9"
        assert (asked, scene.lost) == ([], []), "the other one serves"
        scene.cast.players[1].end(-9)
        await until(lambda: asked)
        assert scene.lost == []
        scene.workers.on_changed = lambda: answer(False)
        await until(lambda: scene.lost)
        assert scene.lost[0].endswith("before it served: of two versions")

    play(conversation)


def test_who_is_silent_is_killed_and_who_answers_is_not(
    play: Play, log: Remembering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "_LOOKS", 50)

    async def conversation(scene: Scene) -> None:
        await scene.start()
        deaf = scene.cast.players[1]
        deaf.is_deaf = True
        await until(lambda: log.of("worker hung, killed"))
        assert deaf.process.signals == [9]
        deaf.end(-9)
        await until(lambda: log.of("worker replaced"))
        assert scene.serving() == [1, 1]
        assert len(log.of("worker hung, killed")) == 1

    play(conversation, beat=0.3)


def test_one_that_never_says_a_word_is_hung_too(
    play: Play, log: Remembering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BIRTH_SECONDS", 0.05)

    def mute(player: Player) -> None:
        player.channel.close()
        player.running.cancel()

    async def conversation(scene: Scene) -> None:
        scene.cast.on_birth = mute
        await scene.workers.start()
        scene.cast.players[0].channel.close()
        await until(lambda: log.of("worker hung, killed"))

    play(conversation, count=1, beat=0.05)


def test_how_much_runs_and_was_cut_is_summed(play: Play) -> None:
    async def conversation(scene: Scene) -> None:
        await scene.start()
        for player, count in zip(scene.cast.players, (2, 3), strict=True):
            player.generations[0].in_flight = count
        told: list[int] = []
        assert await scene.workers.stop("TERM", told.append, 0.05) == 5
        assert told == [5]

    play(conversation)


def test_aborting_kills_who_does_not_listen(play: Play) -> None:
    async def conversation(scene: Scene) -> None:
        await scene.start()
        good, deaf = scene.cast.players
        good.generations[0].in_flight = 2
        deaf.is_deaf = True
        assert await scene.workers.abort(0.05) == 2
        assert deaf.process.signals == [9]
        assert good.process.signals == []

    play(conversation)


def test_a_log_that_was_put_aside_is_left_by_the_others(play: Play) -> None:
    async def conversation(scene: Scene) -> None:
        await scene.start()
        first, second = scene.cast.players
        first.tell(LogMoved("a.log", 1))
        await until(lambda: first.tidied)
        assert (first.tidied, second.tidied) == (["a.log"], [])
        scene.workers.reopen_logs(())
        await until(lambda: second.reopened)

    play(conversation)


def test_with_nobody_who_serves_nothing_is_changed(play: Play) -> None:
    async def conversation(scene: Scene) -> None:
        await scene.start()
        scene.workers.children()[0].is_serving = False
        with pytest.raises(StartError, match="no worker serves at the moment"):
            await scene.reload()
        scene.workers.children()[0].is_serving = True

    play(conversation, count=1)


def test_who_does_not_serve_yet_is_ended_without_ado(play: Play) -> None:
    async def conversation(scene: Scene) -> None:
        await scene.workers.start()
        await scene.workers.bury()
        assert [player.process.signals for player in scene.cast.players] == [[9], [9]]

    play(conversation)
