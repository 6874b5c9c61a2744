"""The supervisor: start, reload and stop as methods, with workers and generations that are played."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from posthouse.balance.active_health import Belief, State
from posthouse.config.specs import Config, HookSpec
from posthouse.errors import NOWHERE, ConfigError, Mistake, Notice, Place, StartError
from posthouse.server import listeners, sockets, supervisor, watch
from posthouse.server.handover import Handover
from posthouse.server.origin import UNKNOWN
from posthouse.server.parts import Settings
from posthouse.server.predecessor import Predecessor
from posthouse.server.supervisor import Supervisor
from unit.server.fakes import Remembering, until
from unit.server.troupe import SIGNALS, Cast, Loaded, config_for


class Stage:
    """A supervisor that runs while the test talks to it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, log: Remembering) -> None:
        self.loop = loop
        self.log = log
        self.cast = Cast(log)
        self.hooks: tuple[HookSpec, ...] = ()
        self.supervisor = Supervisor(Loaded(config_for(0)), Settings(), self.cast)

    def play(self, conversation: Callable[[], Coroutine[Any, Any, None]], **settings: Any) -> int:
        """Start it, hold the conversation, stop; the exit code."""
        loaded = Loaded(config_for(0, hooks=self.hooks), {"Caddyfile": ""})
        self.cast.grace = settings.get("grace", 30.0)
        self.supervisor = Supervisor(loaded, Settings(**settings), self.cast)

        async def both() -> int:
            running = self.loop.create_task(self.supervisor.run())
            await until(lambda: self.cast.ready or running.done())
            if not running.done():
                await conversation()
                self.supervisor.stop("TEST")
            try:
                return await asyncio.wait_for(running, 10)
            finally:
                for player in self.cast.players:
                    await player.clear()

        return self.loop.run_until_complete(both())

    async def wait_for(self, what: str) -> dict[str, object]:
        """The last line of the log about it, once there is one more than when it was asked."""
        before = len(self.log.of(what))
        await until(lambda: len(self.log.of(what)) > before)
        return self.log.of(what)[-1]

    @property
    def port(self) -> int:
        return int(self.cast.ready.split()[1].rsplit(":", 1)[1])


@pytest.fixture
def stage(
    loop: asyncio.AbstractEventLoop, log: Remembering, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    monkeypatch.setattr(gc, "freeze", lambda: None)
    monkeypatch.setattr(listeners, "IDLE_GRACE_SECONDS", 0.0)
    yield Stage(loop, log)
    for number in SIGNALS:
        loop.remove_signal_handler(number)
    gc.enable()


# --- start and stop


def test_start_tells_where_and_stops_with_0(stage: Stage) -> None:
    async def conversation() -> None:
        pid = os.getpid()
        assert re.fullmatch(rf"ready: http://127\.0\.0\.1:\d+ \(pid {pid}, workers 1\)", stage.cast.ready)
        assert stage.cast.story == ["start 1"]
        assert repr(stage.supervisor).startswith(f"<Supervisor pid={pid} ")

    assert stage.play(conversation) == 0
    assert [line["what"] for line in stage.log.lines()] == ["started", "stopping", "stopped"]


def test_a_start_that_fails_leaves_nothing_open(stage: Stage, tmp_path: Path) -> None:
    async def conversation() -> None:
        raise AssertionError("it must not start")

    with pytest.raises(StartError, match="cannot write the pid file"):
        stage.play(conversation, pidfile=str(tmp_path / "no" / "pid"))
    stage.cast.building = ConfigError(Mistake(NOWHERE, "no such policy"))
    with pytest.raises(ConfigError, match="no such policy"):
        stage.play(conversation)
    assert stage.cast.ready == ""


def test_the_pid_file_is_there_while_it_runs(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "pid"

    async def conversation() -> None:
        assert path.read_text() == f"{os.getpid()}\n"

    stage.play(conversation, pidfile=str(path))
    assert not path.exists()


def test_quiet_is_without_a_ready_line(stage: Stage) -> None:
    stage.supervisor = Supervisor(Loaded(config_for(0)), Settings(is_quiet=True), stage.cast)

    async def play() -> int:
        running = stage.loop.create_task(stage.supervisor.run())
        await until(lambda: stage.log.of("started"))
        stage.supervisor.stop("TEST")
        return await running

    assert stage.loop.run_until_complete(asyncio.wait_for(play(), 10)) == 0
    assert stage.cast.ready == ""


# --- commands of the configuration

HOOKS = (HookSpec("startup", ("a",)), HookSpec("shutdown", ("b",)), HookSpec("certrenew", ("c",)))


def test_commands_run_at_the_first_start_and_at_the_end(stage: Stage) -> None:
    stage.hooks = HOOKS
    after = config_for(0, hooks=(HookSpec("startup", ("d",)), HookSpec("shutdown", ("e",))))
    stage.cast.next = lambda: Loaded(after)

    async def startup() -> None:
        assert (stage.cast.story, stage.cast.ready) == ([], ""), "before anything is served"

    async def conversation() -> None:
        assert stage.cast.commanded == [HOOKS[0]]
        stage.supervisor.reload("USR1")
        await stage.wait_for("reloaded")
        assert stage.cast.commanded == [HOOKS[0]]

    stage.cast.startup = startup
    assert stage.play(conversation) == 0
    assert [hook.command for hook in stage.cast.commanded] == [("a",), ("e",)], (
        "those of the last configuration"
    )


def test_a_failing_startup_command_leaves_nothing_open(stage: Stage, tmp_path: Path) -> None:
    stage.hooks = HOOKS
    bound = socket.create_server(("127.0.0.1", 0))

    async def startup() -> None:
        raise ConfigError(Mistake(NOWHERE, "exit code 3"))

    async def conversation() -> None:
        raise AssertionError("it must not start")

    stage.cast.startup = startup
    with pytest.raises(ConfigError, match="exit code 3"):
        stage.play(conversation, pidfile=str(tmp_path / "pid"), bound={("127.0.0.1", 0): [bound]})
    assert os.listdir(tmp_path) == []
    assert bound.fileno() == -1
    assert stage.cast.story == []
    assert stage.cast.commanded == [HOOKS[0]], "what did not start has no end"


def test_stopped_during_a_startup_command(stage: Stage, tmp_path: Path) -> None:
    stage.hooks = HOOKS
    was_cancelled = False

    async def startup() -> None:
        nonlocal was_cancelled
        stage.supervisor.reload("HUP")
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            was_cancelled = True
            raise

    async def conversation() -> None:
        raise AssertionError("it must not start")

    stage.cast.startup = startup
    assert stage.play(conversation, pidfile=str(tmp_path / "pid")) == 0
    assert was_cancelled
    assert os.listdir(tmp_path) == []
    assert (stage.cast.ready, stage.cast.story, stage.cast.reopened) == ("", [], 1)
    assert stage.cast.commanded == [HOOKS[0]]


# --- what is found at run time


def test_what_is_found_is_asked_for_before_anything_is_built(stage: Stage) -> None:
    async def preparing() -> None:
        stage.cast.story.append(f"prepare with {len(stage.cast.generations)}")

    async def conversation() -> None:
        stage.cast.next = lambda: Loaded(config_for(0))
        stage.supervisor.reload("USR1")
        await stage.wait_for("reloaded")

    stage.cast.preparing = preparing
    stage.play(conversation)
    assert stage.cast.story == ["prepare with 0", "start 1", "prepare with 1", "start 2", "retire 1 for 2"]


def test_stopped_while_the_first_answer_is_waited_for(stage: Stage) -> None:
    async def preparing() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(60)

    async def conversation() -> None:
        raise AssertionError("it must not start")

    stage.cast.preparing = preparing
    assert stage.play(conversation) == 0
    assert stage.cast.generations == []


def test_stopped_while_a_reload_waits_for_answers(stage: Stage) -> None:
    async def preparing() -> None:
        stage.supervisor.stop("TERM")

    async def conversation() -> None:
        stage.cast.next = lambda: Loaded(config_for(0))
        stage.cast.preparing = preparing
        stage.supervisor.reload("USR1")
        await stage.wait_for("stopped")

    assert stage.play(conversation) == 0
    assert stage.cast.story == ["start 1"]


def test_stopping_waits_for_what_runs(stage: Stage) -> None:
    async def conversation() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        writer.write(b"work")
        assert await reader.read(100) == b"1:work"
        stage.cast.generations[0].in_flight = 1
        stage.supervisor.stop("TERM")
        await stage.wait_for("stopping")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", stage.port), 2)
        assert stage.log.of("stopped") == []
        stage.cast.generations[0].in_flight = 0
        writer.close()
        await stage.wait_for("stopped")

    assert stage.play(conversation) == 0
    assert stage.log.of("stopped")[0]["cut"] == 0


def test_past_the_grace_it_cuts_and_counts(stage: Stage) -> None:
    async def conversation() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        writer.write(b"work")
        await reader.read(100)
        stage.cast.generations[0].in_flight = 1
        stage.supervisor.stop("TERM")
        await stage.wait_for("stopped")
        try:
            assert await reader.read() == b""
        except ConnectionResetError:
            pass
        writer.close()

    assert stage.play(conversation, grace=0.02) == 0
    assert stage.log.of("stopped")[0]["cut"] == 1


def test_a_second_signal_is_2(stage: Stage) -> None:
    async def conversation() -> None:
        stage.cast.generations[0].in_flight = 3
        stage.supervisor.stop("TERM")

    assert stage.play(conversation) == 2
    assert stage.log.of("stopped by a second signal")[0]["cut"] == 3


def test_signals_reach_the_worker(stage: Stage) -> None:
    async def conversation() -> None:
        os.kill(os.getpid(), signal.SIGUSR2)
        line = await stage.wait_for("upgrade refused")
        assert (line["cause"], line["reason"]) == ("USR2", UNKNOWN.refusal)
        os.kill(os.getpid(), signal.SIGINT)
        await stage.wait_for("stopping")

    assert stage.play(conversation) == 2


def test_a_successor_takes_what_it_was_given_and_runs_no_startup_command(
    stage: Stage, tmp_path: Path
) -> None:
    ours, theirs = socket.socketpair()
    predecessor = Predecessor(Handover(theirs))
    predecessor.pid = 4711
    listening = sockets.bind(("127.0.0.1", 0))
    port = sockets.port_of(listening)
    predecessor.sockets = {("127.0.0.1", 0): [listening]}
    drain = {"pool": "gone", "backend": "b", "order": "drain"}
    predecessor.orders = [drain]
    predecessor.beliefs = {("p", "b"): Belief(State.DOWN, "status 503", 1.0)}
    path = tmp_path / "pid"
    path.write_text("4711\n")
    stage.hooks = HOOKS

    async def play() -> None:
        line = Handover(ours)
        assert (await line.hear()).what == "serving"
        assert (path.read_text(), stage.cast.ready) == ("4711\n", ""), "the names are not free yet"
        assert stage.cast.story == ["start 1"]
        (worker,) = stage.cast.players
        assert [str(orders.of("gone", "b").kind) for orders in worker.orders] == ["drain"]
        assert stage.cast.stand_in.known == predecessor.beliefs
        await line.say("released", orders=[drain, {**drain, "backend": "c"}])
        assert (await line.hear()).what == "settled"
        line.close()

    async def conversation() -> None:
        await playing
        assert path.read_text() == f"{os.getpid()}\n"
        assert stage.port == port
        assert stage.cast.commanded == []

    playing = stage.loop.create_task(play())
    assert stage.play(conversation, predecessor=predecessor, pidfile=str(path)) == 0
    assert stage.log.of("started")[0]["predecessor"] == 4711
    dropped = [line["upstream"] for line in stage.log.of("order dropped by the upgrade")]
    assert dropped == ["b", "c"], "its configuration has no such pool"


class RecordingAdmin:
    """An admin socket that is not there."""

    def __init__(self, story: list[str]) -> None:
        self.story = story

    def claim(self) -> None:
        self.story.append("claim")

    async def serve(self) -> None:
        self.story.append("serve")

    def listening(self) -> dict[tuple[str, int], socket.socket]:
        return {}

    def give_up(self) -> None:
        self.story.append("give up")

    def close(self) -> None:
        self.story.append("close")


class TakenAdmin(RecordingAdmin):
    def claim(self) -> None:
        raise StartError("the admin socket is in use")


@pytest.mark.parametrize("is_told", [True, False])
def test_a_successor_that_shall_not_ends_as_if_it_had_not_been(stage: Stage, is_told: bool) -> None:
    """Told to stop, or without an admin socket: it serves already, so it drains; the service goes on without it."""
    ours, theirs = socket.socketpair()
    predecessor = Predecessor(Handover(theirs))
    stage.hooks = HOOKS
    stage.cast.admin = TakenAdmin([])
    said: list[Any] = []

    async def play() -> None:
        line = Handover(ours)
        assert (await line.hear()).what == "serving"
        if is_told:
            stage.supervisor.stop("TERM")
        else:
            await line.say("released")
            said.append(await line.hear())
        line.close()

    async def conversation() -> None:
        raise AssertionError("it is never ready")

    playing = stage.loop.create_task(play())
    if is_told:
        assert stage.play(conversation, predecessor=predecessor) == 0
    else:
        with pytest.raises(StartError, match="in use"):
            stage.play(conversation, predecessor=predecessor)
        assert [(one.what, one.about["reason"]) for one in said] == [("failed", "the admin socket is in use")]
    assert playing.done()
    predecessor.refuse("")
    assert stage.cast.commanded == [], "also none of the shutdown commands"
    assert [line["grace"] for line in stage.log.of("stopping")] == ["30s"]


def test_notices_are_told_once_wherever_they_move(stage: Stage) -> None:
    async def conversation() -> None:
        for line in (1, 5):
            notice = Notice(Place("Caddyfile", line, 2), "listens on 2015")
            stage.cast.next = lambda one=notice: Loaded(Config(config_for(0).sites, (one,)))  # type: ignore[misc]
            stage.supervisor.reload("USR1")
            await stage.wait_for("reloaded")

    stage.play(conversation)
    (line,) = stage.log.of("configuration")
    assert (line["level"], line["place"], line["notice"]) == ("WARN", "Caddyfile:1:2", "listens on 2015")


# --- reload


def test_reload_swaps_and_retires(stage: Stage) -> None:
    async def conversation() -> None:
        stage.cast.next = lambda: Loaded(config_for(0))
        stage.supervisor.reload("USR1")
        line = await stage.wait_for("reloaded")
        assert (line["generation"], line["cause"]) == (2, "USR1")
        assert stage.cast.made[0].plan == 2
        assert len(stage.cast.made) == 1, "the listener stays"

    stage.play(conversation)
    assert stage.cast.story == ["start 1", "start 2", "retire 1 for 2"]
    assert stage.cast.reopened == 1


def test_workers_are_told_what_changes(stage: Stage) -> None:
    """What stays is one object before and after, and is not checked again either."""

    async def conversation() -> None:
        (came,) = config_for(0, limit=5).sites
        (kept,) = stage.cast.generations[0].config.sites
        stage.cast.next = lambda: Loaded(Config((came, *config_for(0).sites)))
        assert (await stage.supervisor.reload("admin")).report() | {"took_ms": 0} == {
            "generation": 2,
            "sites": 2,
            "changed": 1,
            "took_ms": 0,
        }
        first, second = stage.cast.generations
        assert second.config.sites[1] is first.config.sites[0] is kept
        assert [len(delta.built) for delta in stage.cast.checked] == [1]
        assert stage.supervisor.metrics.reloads.succeeded == 1

    stage.play(conversation)


def test_a_reload_answers_how_it_went(stage: Stage) -> None:
    async def conversation() -> None:
        mistakes = [Mistake(Place("Caddyfile", 1, 1), "a"), Mistake(Place("Caddyfile", 2, 1), "b")]
        stage.cast.building = ConfigError(mistakes)
        stage.cast.next = lambda: Loaded(config_for(0), {"Caddyfile": "x\ny\n"})
        outcome = await stage.supervisor.reload("admin")
        assert (outcome.refusal, outcome.mistakes) == ("2 mistakes", tuple(mistakes))
        assert outcome.sources == {"Caddyfile": "x\ny\n"}
        assert stage.supervisor.metrics.reloads.failed == 1
        stage.supervisor.stop("TEST")
        assert (await stage.supervisor.reload("admin")).refusal == "it is stopping"

    assert stage.play(conversation) == 2


def test_the_admin_socket_answers_during_startup_commands(stage: Stage) -> None:
    stage.hooks = HOOKS
    story: list[str] = []
    stage.cast.admin = RecordingAdmin(story)

    async def startup() -> None:
        assert story == ["claim", "serve"]
        assert (await stage.supervisor.reload("admin")).refusal == "it is starting"
        assert not stage.supervisor.is_ready

    async def conversation() -> None:
        assert stage.supervisor.is_ready
        stage.supervisor.stop("TEST")
        assert not stage.supervisor.is_ready

    stage.cast.startup = startup
    assert stage.play(conversation) == 2
    assert story == ["claim", "serve", "close"]


def test_what_was_held_back_is_told_before_the_last_line(stage: Stage) -> None:
    async def conversation() -> None:
        for _ in range(9):
            stage.log.error("attempt failed")

    assert stage.play(conversation) == 0
    *_, held, last = stage.log.lines()
    assert (held["what"], held["suppressed"]) == ("lines suppressed", 4)
    assert last["what"] == "stopped"


def test_asked_again_meanwhile_it_is_done_once_more(stage: Stage) -> None:
    async def conversation() -> None:
        stage.cast.next = lambda: Loaded(config_for(0))
        for _ in range(5):
            stage.supervisor.reload("HUP")
        await until(lambda: len(stage.log.of("reloaded")) == 2)

    stage.play(conversation)
    assert len(stage.cast.generations) == 3


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConfigError([Mistake(Place("C", 1, 1), "a"), Mistake(Place("C", 2, 1), "b")]), "2 mistakes"),
        (ConfigError(Mistake(Place("C", 1, 1), "a", hint="b?")), "1 mistake"),
        (StartError("cannot read C: No such file or directory"), "cannot read C: No such file or directory"),
        (ZeroDivisionError("a bug"), "ZeroDivisionError('a bug')"),
    ],
)
@pytest.mark.parametrize("where", ["load", "check", "build"])
def test_a_failing_reload_changes_nothing(stage: Stage, error: Exception, told: str, where: str) -> None:
    def fail() -> Loaded:
        raise error

    async def conversation() -> None:
        stage.cast.next = fail if where == "load" else lambda: Loaded(config_for(0))
        stage.cast.building = error if where == "build" else None
        stage.cast.checking = error if where == "check" else None
        stage.supervisor.reload("USR1")
        line = await stage.wait_for("reload failed, the old configuration stays")
        assert (line["level"], line["reason"]) == ("ERROR", told)
        stage.cast.building = stage.cast.checking = None
        stage.cast.next = lambda: Loaded(config_for(0))
        stage.supervisor.reload("USR1")
        await stage.wait_for("reloaded")

    stage.play(conversation)
    assert stage.cast.story == ["start 1", "start 2", "retire 1 for 2"]
    if isinstance(error, ConfigError):
        shown = [line["mistake"] for line in stage.log.of("configuration")]
        assert shown in (["a", "b"], ["a (b?)"])


def test_a_taken_port_at_reload_retires_the_new_generation(stage: Stage) -> None:
    async def conversation() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            stage.cast.next = lambda: Loaded(config_for(0, taken.getsockname()[1]))
            stage.supervisor.reload("USR1")
            line = await stage.wait_for("reload failed, the old configuration stays")
        assert "already in use" in str(line["reason"])
        assert stage.cast.made[0].plan == 1

    stage.play(conversation)
    assert stage.cast.story == ["start 1", "retire 2"]


def test_what_came_from_no_file_is_not_reloaded_but_logs_are(stage: Stage) -> None:
    async def conversation() -> None:
        stage.supervisor.reload("HUP")
        await stage.wait_for(supervisor.CANNOT_RELOAD)

    stage.play(conversation)
    assert stage.cast.reopened == 1
    assert stage.cast.story == ["start 1"]


def test_no_reload_while_stopping(stage: Stage) -> None:
    async def conversation() -> None:
        stage.cast.next = lambda: Loaded(config_for(0))
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        writer.write(b"work")
        await reader.read(100)
        stage.supervisor.stop("TERM")
        stage.supervisor.reload("USR1")
        await stage.wait_for("stopping")
        writer.close()
        await stage.wait_for("stopped")

    stage.play(conversation)
    assert stage.log.of("reloaded") == []


def test_exchanges_of_retired_generations_count_too(stage: Stage) -> None:
    async def conversation() -> None:
        stage.cast.next = lambda: Loaded(config_for(0))
        stage.cast.generations[0].in_flight = 2
        stage.supervisor.reload("USR1")
        await stage.wait_for("reloaded")
        stage.cast.generations[1].in_flight = 3
        stage.supervisor.stop("TERM")
        assert (await stage.wait_for("stopping"))["in_flight"] == 5

    stage.play(conversation)


def test_watching_reloads_only_what_means_something_else(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "EVERY_SECONDS", 0.01)
    monkeypatch.chdir(tmp_path)
    caddyfile = tmp_path / "Caddyfile"
    caddyfile.write_text(":80\n")
    loads: list[int] = []

    def found(*ports: int) -> Callable[[], Loaded]:
        def load() -> Loaded:
            loads.append(len(ports))
            return Loaded(config_for(*ports), {"Caddyfile": ""})

        return load

    async def conversation() -> None:
        stage.cast.next = found(0)
        caddyfile.write_text(":80 \n")
        await until(lambda: loads)
        assert stage.log.of("reloaded") == []
        with sockets.bind(("127.0.0.1", 0)) as probe:
            port = sockets.port_of(probe)
        stage.cast.next = found(0, port)
        caddyfile.write_text(":80\n:81\n")
        assert (await stage.wait_for("reloaded"))["cause"] == "watch"

    stage.play(conversation, is_watching=True)
    assert stage.cast.reopened == 0


# --- the rest


def test_a_bug_in_a_callback_is_one_line(stage: Stage) -> None:
    def bug() -> None:
        raise ZeroDivisionError("on purpose")

    async def conversation() -> None:
        asyncio.get_running_loop().call_soon(bug)
        line = await stage.wait_for("internal error")
        assert line["error"] == "ZeroDivisionError('on purpose')"
        assert str(line["where"]).startswith("test_supervisor.py:")

    assert stage.play(conversation) == 0
