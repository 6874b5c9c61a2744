"""Upgrades: what is done in which order, what is refused, what waits, and that nothing is lost when it fails."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, cast

import pytest

from posthouse import __version__
from posthouse.server import upgrades as module
from posthouse.server.origin import Origin
from posthouse.server.reloads import Outcome
from posthouse.server.successor import Refused
from posthouse.server.upgrades import Upgraded, Upgrades
from unit.server.fakes import Remembering, until

ROW = {"pool": "p", "backend": "b", "order": "drain"}


class Scene:
    """Everything that an upgrade touches, played: it says how far the successor gets."""

    pid = 4711
    version = "9.9"

    def __init__(self, log: Remembering) -> None:
        self.log = log
        self.story: list[str] = []
        self.origin = Origin(("posthouse",), "/")
        self.env: dict[str, str] = {}
        self.refusal = ""
        self.ordering = cast("Any", self)
        self.scout = None
        self.serving: Exception | None = None
        self.settling: Exception | None = None
        self.may_serve = asyncio.Event()
        self.may_serve.set()
        me = cast("Any", self)
        self.upgrades = Upgrades(me, me, me, me, me)

    # the supervisor

    def why_not(self) -> str:
        return self.refusal

    def stop(self, cause: str) -> None:
        self.story.append(f"stop for {cause}")

    def reload(self, cause: str) -> asyncio.Future[Outcome]:
        self.story.append(f"reload for {cause}")
        self.reloading = asyncio.get_running_loop().create_future()
        return self.reloading

    # workers, bindings, names

    def hold(self) -> None:
        self.story.append("hold")

    def resume(self) -> None:
        self.story.append("resume")

    def children(self) -> list[Any]:
        return []

    def offered(self) -> list[Any]:
        return []

    def listening(self) -> dict[Any, Any]:
        return {}

    def rows(self) -> list[Any]:
        return [ROW]

    def give_up(self) -> None:
        self.story.append("give up")

    def hand_over(self, pid: int) -> None:
        self.story.append(f"hand over to {pid}")

    async def take_back(self) -> None:
        self.story.append("take back")

    # the successor

    async def serve(self, bequest: Any, seconds: float) -> None:
        assert tuple(bequest) == ([], {}, [ROW], [])
        await self.may_serve.wait()
        if self.serving is not None:
            raise self.serving
        self.story.append("it serves")

    async def settle(self, orders: list[Any], seconds: float) -> None:
        assert orders == [ROW]
        assert self.ordering.refusal == "an upgrade is under way", "an order would be lost"
        if self.settling is not None:
            raise self.settling
        self.story.append("it has settled")

    async def end(self, seconds: float) -> None:
        self.story.append("end it")

    def close(self) -> None:
        self.story.append("let go of it")


Play = Callable[[Callable[[Scene], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def play(
    loop: asyncio.AbstractEventLoop, log: Remembering, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Play]:
    def run(conversation: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
        async def all_of_it() -> None:
            scene = Scene(log)
            monkeypatch.setattr(module, "launch", lambda origin, env: scene)
            await conversation(scene)

        loop.run_until_complete(asyncio.wait_for(all_of_it(), 10))

    yield run


def stays(refusal: str, shown: tuple[str, ...] = ()) -> Upgraded:
    return Upgraded(os.getpid(), __version__, refusal, shown)


def test_the_order_of_things(play: Play, log: Remembering) -> None:
    async def conversation(scene: Scene) -> None:
        assert await scene.upgrades.ask("USR2") == Upgraded(4711, "9.9")
        await until(lambda: "stop for USR2" in scene.story)
        taken = ["hold", "it serves", "give up", "it has settled", "hand over to 4711", "let go of it"]
        taken += ["stop for USR2"]
        assert scene.story == taken
        assert scene.upgrades.is_done and scene.upgrades.is_last_resort()
        assert await scene.upgrades.ask("USR2") == stays("another process has taken over")
        await scene.upgrades.cancel()
        assert scene.story == taken
        assert repr(scene.upgrades) == "<Upgrades done>"

    play(conversation)
    assert [line["what"] for line in log.lines()] == ["upgrading", "upgraded", "upgrade refused"]


@pytest.mark.parametrize("error", [Refused("2 mistakes", ["a", "b"]), OSError("disk on fire")])
def test_one_that_does_not_serve(play: Play, log: Remembering, error: Exception) -> None:
    async def conversation(scene: Scene) -> None:
        scene.serving = error
        told = stays("2 mistakes", ("a", "b")) if isinstance(error, Refused) else stays(repr(error))
        assert await scene.upgrades.ask("USR2") == told
        assert scene.story == ["hold", "end it", "resume"]
        scene.serving = None
        assert not (await scene.upgrades.ask("USR2")).refusal, "it can be tried again"

    play(conversation)
    assert log.of("upgrade failed, this process stays")
    assert [line["mistake"] for line in log.of("configuration of the successor")] == (
        ["a", "b"] if isinstance(error, Refused) else []
    )


def test_one_that_serves_and_does_not_settle(play: Play) -> None:
    async def conversation(scene: Scene) -> None:
        scene.settling = Refused("it ended")
        assert await scene.upgrades.ask("USR2") == stays("it ended")
        assert scene.story == ["hold", "it serves", "give up", "end it", "take back", "resume"]
        assert scene.refusal == "", "orders are taken again"
        assert not scene.upgrades.is_done and scene.upgrades.postponed("USR1") is None

    play(conversation)


def test_what_is_refused(play: Play) -> None:
    async def conversation(scene: Scene) -> None:
        scene.refusal = "a reload is under way"
        assert await scene.upgrades.ask("admin") == stays("a reload is under way")
        scene.refusal = ""
        scene.may_serve.clear()
        first = scene.upgrades.ask("USR2")
        assert await scene.upgrades.ask("admin") == stays("an upgrade is under way")
        assert scene.upgrades.is_last_resort(), "it is on its way"
        scene.may_serve.set()
        await first
        other = Scene(cast("Any", scene.log))
        other.origin = Origin((), "", "a demo ends with its backends")
        me = cast("Any", other)
        assert await Upgrades(me, me, me, me, me).ask("USR2") == stays("a demo ends with its backends")

    play(conversation)


@pytest.mark.parametrize("is_good", [True, False])
def test_a_reload_meanwhile_is_not_forgotten(
    play: Play, monkeypatch: pytest.MonkeyPatch, is_good: bool
) -> None:
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr("posthouse.server.upgrades.os.kill", lambda *told: signals.append(told))

    async def conversation(scene: Scene) -> None:
        scene.may_serve.clear()
        if not is_good:
            scene.serving = Refused("no")
        assert scene.upgrades.postponed("USR1") is None
        asked = scene.upgrades.ask("USR2")
        outcome = scene.upgrades.postponed("admin")
        assert outcome is not None and scene.upgrades.postponed("USR1") is outcome
        scene.may_serve.set()
        await asked
        if is_good:
            assert (await outcome).refusal == "process 4711 has taken over, and was told to reload"
        else:
            assert not outcome.done()
            scene.reloading.set_result(Outcome(2, 1))
            assert await outcome == Outcome(2, 1)
        assert ("reload for USR1" in scene.story) is not is_good
        assert signals == ([(4711, signal.SIGUSR1)] if is_good else [])

    play(conversation)


def test_a_stop_meanwhile(play: Play) -> None:
    async def conversation(scene: Scene) -> None:
        scene.may_serve.clear()
        asked = scene.upgrades.ask("USR2")
        await asyncio.sleep(0)
        await scene.upgrades.cancel()
        assert await asked == stays("it was told to stop meanwhile")
        assert scene.story == ["hold", "end it", "resume"]

    play(conversation)


def test_the_last_resort_is_tried_once(play: Play) -> None:
    async def conversation(scene: Scene) -> None:
        scene.serving = Refused("no")
        assert scene.upgrades.is_last_resort()
        await until(lambda: "resume" in scene.story)
        assert not scene.upgrades.is_last_resort()

    play(conversation)


def test_reports() -> None:
    before = {"pid": os.getpid(), "version": __version__}
    assert Upgraded(7, "9").report() == {"before": before, "pid": 7, "version": "9"}
    assert stays("no", ("a",)).report() == {"error": "no", "mistakes": [{"shown": "a"}]}
