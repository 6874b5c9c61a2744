"""Who asks backends and sources for all workers: what is told to whom, when the log is written, and over reloads."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from posthouse.adapt import adapt
from posthouse.balance.active_health import Belief, Finding, State, Verdict
from posthouse.errors import ConfigError
from posthouse.probe.prober import Prober
from posthouse.probe.probes import Probes
from posthouse.server import lookout as module
from posthouse.server.lookout import Lookout, what_is_watched
from posthouse.server.told import Believed, Found, Noted
from unit.server.fakes import Remembering, until

TWO = "http://p.test {\n proxy / http://a:1 http://b:1 {\n name p\n health_check /h\n }\n}\n"
THREE = TWO.replace("http://b:1", "http://b:1 http://c:1")
LISTED = "http://p.test {\n proxy / file:%s {\n name p\n health_check /h\n }\n}\n"


class Child:
    """A worker that only hears; it notes what it was told when the test says so."""

    def __init__(self, *, is_serving: bool = True) -> None:
        self.is_serving = is_serving
        self.told: list[Any] = []
        self.noting: list[asyncio.Future[Noted]] = []

    def expect(self, answer: type[Noted], /) -> asyncio.Future[Noted]:
        self.noting.append(asyncio.get_running_loop().create_future())
        return self.noting[-1]

    def send(self, message: object) -> None:
        self.told.append(message)

    def note(self) -> None:
        while self.noting:
            self.noting.pop(0).set_result(Noted())


class Scene:
    def __init__(self, loop: asyncio.AbstractEventLoop, log: Remembering) -> None:
        self.loop = loop
        self.log = log
        self.children = [Child(), Child()]
        self.lookout = Lookout(lambda: self.children, log, loop)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(work)

    async def use(self, text: str) -> None:
        config = adapt(text, "Caddyfile", env={}).config
        await self.lookout.ask(config)
        await self.lookout.prepare(config)
        self.lookout.commit()

    def find(self, name: str, verdict: Verdict, reason: str) -> None:
        """The check of this backend has found something."""
        prober = self.prober(name)
        prober._on_done(Finding(verdict, reason))
        prober.stop()

    def prober(self, name: str) -> Prober:
        probers = self.lookout.probes._probers
        return next(one for backend, one in probers.items() if backend.name == name)

    def lines(self) -> list[str]:
        return [str(line["what"]) for line in self.log.lines()]


@pytest.fixture
def scene(
    loop: asyncio.AbstractEventLoop, log: Remembering, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    """Checks find out what the test says, when it says so."""
    monkeypatch.setattr(Prober, "start", lambda prober, seconds: None)
    scene = Scene(loop, log)
    yield scene
    scene.lookout.close()
    loop.run_until_complete(asyncio.sleep(0))


def test_the_line_about_a_change_comes_when_all_have_noted_it(scene: Scene) -> None:
    async def story() -> None:
        await scene.use(TWO)
        scene.find("http://a:1", Verdict.FAIL, "status 503")
        for child in scene.children:
            (told,) = child.told
            assert (told.pool, told.backend, told.state) == ("p", ("http://a:1", 1), State.DOWN)
        await asyncio.sleep(0)
        scene.children[0].note()
        await asyncio.sleep(0)
        assert scene.lines() == [], "one of them may still send somebody there"
        scene.children[1].note()
        await until(lambda: scene.lines() == ["backend down"])

    scene.run(story())


def test_a_worker_that_is_silent_or_starting_holds_up_no_line(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        scene.children = [Child(is_serving=False)]
        await scene.use(TWO)
        scene.find("http://a:1", Verdict.FAIL, "status 503")
        await until(lambda: scene.lines() == ["backend down"])
        assert len(scene.children[0].told) == 1, "but it was told"
        scene.children[0].is_serving = True
        monkeypatch.setattr(module, "NOTED_SECONDS", 0.01)
        scene.find("http://a:1", Verdict.PASS, "status 200")
        await until(lambda: scene.lines() == ["backend down", "backend up"])

    scene.run(story())


def test_what_is_not_logged_yet_at_the_end_is_logged_then(scene: Scene) -> None:
    async def story() -> None:
        await scene.use(TWO)
        scene.find("http://a:1", Verdict.FAIL, "status 503")
        scene.lookout.close()
        assert scene.lines() == ["backend down"]

    scene.run(story())


def test_who_is_started_later_is_told_what_is_known(scene: Scene) -> None:
    async def story() -> None:
        scene.children = []
        await scene.use(TWO)
        scene.find("http://a:1", Verdict.FAIL, "status 503")
        scene.find("http://b:1", Verdict.FAIL, "status 503")
        scene.find("http://b:1", Verdict.PASS, "status 200")
        late = Child(is_serving=False)
        scene.lookout.welcome(late)
        (told,) = late.told
        assert (told.backend, told.state, told.reason) == (("http://a:1", 1), State.DOWN, "status 503")
        assert list(scene.lookout.beliefs()) == [("p", "http://a:1")]

    scene.run(story())


def test_a_reload_disturbs_no_check_that_stays(scene: Scene) -> None:
    async def story() -> None:
        await scene.use(TWO)
        scene.find("http://a:1", Verdict.FAIL, "status 503")
        prober = scene.prober("http://a:1")
        await scene.use(THREE)
        assert scene.prober("http://a:1") is prober and len(scene.lookout.probes) == 3
        await scene.use("http://q.test {\n status 200 /\n}\n" + THREE.replace("a:1", "a:1", 1))
        assert scene.prober("http://a:1") is prober, "another site has come"
        await scene.use(TWO.replace(" health_check /h\n", ""))
        assert len(scene.lookout.probes) == 0
        assert scene.children[0].told[-1] == Believed(
            "p", ("http://a:1", 1), State.UP, "no longer checked", scene.children[0].told[-1].since
        )

    scene.run(story())


def test_what_comes_to_nothing_changes_nothing(scene: Scene) -> None:
    async def story() -> None:
        await scene.use(TWO)
        config = adapt(THREE, "Caddyfile", env={}).config
        await scene.lookout.prepare(config)
        scene.lookout.abandon()
        assert len(scene.lookout.probes) == 2
        await scene.use(THREE)
        assert len(scene.lookout.probes) == 3

    scene.run(story())


def test_a_certificate_that_cannot_be_read_is_a_mistake(scene: Scene) -> None:
    text = "http://p.test {\n proxy / https://a {\n health_check /h\n ca_certificates /nowhere.pem\n }\n}\n"

    async def story() -> None:
        await scene.use(TWO)
        with pytest.raises(ConfigError, match="nowhere"):
            await scene.lookout.prepare(adapt(text, "Caddyfile", env={}).config)
        scene.lookout.abandon()
        assert len(scene.lookout.probes) == 2

    scene.run(story())


def test_members_are_told_before_they_are_checked_and_logged_once(scene: Scene, tmp_path: Any) -> None:
    listed = tmp_path / "list"
    listed.write_text("http://a:1\n")

    async def soon(seconds: float) -> None:
        await asyncio.sleep(0.001)

    scene.lookout.discoverer.sleep = soon  # type: ignore[method-assign]

    async def story() -> None:
        await scene.use(LISTED % listed)
        for child in scene.children:
            (found,) = child.told
            assert isinstance(found, Found) and [one.text for one in found.members] == ["http://a:1"]
        listed.write_text("http://a:1\nhttp://b:1\n")
        await until(lambda: len(scene.children[0].told) == 2)
        await until(lambda: len(scene.lookout.probes) == 2)
        for child in scene.children:
            child.note()
        await until(lambda: scene.lines() == ["members changed"])
        late = Child()
        scene.lookout.welcome(late)
        assert late.told == [scene.children[0].told[-1]]
        report = scene.lookout.report()["p"]
        assert (report["sources"][0]["state"], report["sources"][0]["members"]) == ("up", 2)
        assert set(report["probes"]) == {"http://a:1", "http://b:1"}

    scene.run(story())


def test_what_another_process_found_is_told_before_anybody_serves(scene: Scene) -> None:
    async def story() -> None:
        scene.lookout.expect({("p", "http://b:1"): Belief(State.DOWN, "status 503", 1.0)})
        config = adapt(TWO, "Caddyfile", env={}).config
        await scene.lookout.prepare(config)
        assert scene.children[0].told == [Believed("p", ("http://b:1", 1), State.DOWN, "status 503", 1.0)]
        scene.lookout.commit()
        assert scene.prober("http://b:1").health.state is State.DOWN
        late = Child()
        scene.lookout.welcome(late)
        assert [told.backend for told in late.told] == [("http://b:1", 1)]

    scene.run(story())


def test_only_what_is_asked_is_looked_at() -> None:
    text = (
        "http://p.test {\n log / stdout\n"
        " proxy /a http://a:1 {\n health_check /h\n policy ip_hash\n max_conns 3\n queue 5 1s\n }\n"
        " proxy /b http://b:1\n}\nhttp://q.test {\n status 200 /\n}\n"
    )
    first, second = adapt(text, "Caddyfile", env={}).config.sites
    watched = what_is_watched(first)
    assert watched is not None and what_is_watched(second) is None
    (route,) = watched.routes
    assert (route.base, route.pool.policy.name, route.pool.max_conns) == ("/a", "random", 0)
    assert watched.logs == () and watched.addresses == first.addresses


def test_no_check_no_report(scene: Scene) -> None:
    assert scene.lookout.report() == {}
    assert isinstance(scene.lookout.probes, Probes)
    assert repr(scene.lookout) == "<Lookout sites=0 <Probes of 0 backends> <Discoverer of 0 sources>>"
