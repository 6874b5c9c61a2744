"""Commands: one after the other, in the background, too long, broken. On each event loop."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from posthouse.config.specs import Config, HookEvent, HookSpec, SiteSpec
from posthouse.errors import ConfigError, Place
from posthouse.server import hooks
from posthouse.server.hooks import Hooks, hooks_of
from unit.server.fakes import Remembering, until

PLACE = Place("Caddyfile", 2, 9)


def shell(script: str, event: HookEvent = "startup", *, is_background: bool = False) -> HookSpec:
    return HookSpec(event, ("sh", "-c", script), is_background, PLACE)


def is_over(pid: int) -> bool:
    """Whether the process is gone, or dead and only not yet collected by its parent."""
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.fixture
def current(loop: asyncio.AbstractEventLoop) -> Iterator[asyncio.AbstractEventLoop]:
    """The loop as the process has it: asyncio's own watches children through it."""
    asyncio.set_event_loop(loop)
    yield loop
    asyncio.set_event_loop(None)


@pytest.fixture
def commands(log: Remembering, tmp_path: Path) -> Hooks:
    return Hooks(log, {"PATH": "/usr/bin:/bin", "WORD": "given", "OUT": str(tmp_path / "out")})


def test_one_after_the_other_with_the_environment(
    current: asyncio.AbstractEventLoop, commands: Hooks, tmp_path: Path, log: Remembering
) -> None:
    both = [shell('sleep 0.05; echo $WORD >> "$OUT"'), shell('echo second >> "$OUT"; cat >> "$OUT"')]
    current.run_until_complete(commands.start_up(both))
    assert (tmp_path / "out").read_text() == "given\nsecond\n", "and stdin is empty"
    assert [line["program"] for line in log.of("command")] == ["sh", "sh"]


@pytest.mark.parametrize(
    ("hook", "said", "hint"),
    [
        (shell("exit 3"), "the startup command `sh` ended with exit code 3", ""),
        (shell("kill -9 $$"), "the startup command `sh` was ended by signal 9", ""),
        (
            HookSpec("startup", ("/no/such",), place=PLACE),
            "cannot run `/no/such`: No such file or directory",
            "commands are run without a shell",
        ),
        (
            HookSpec("startup", ("/etc/passwd",), place=PLACE),
            "cannot run `/etc/passwd`: Permission denied",
            "",
        ),
        (
            HookSpec("startup", ("/no/such",), is_background=True, place=PLACE),
            "cannot run `/no/such`: No such file or directory",
            "commands are run without a shell",
        ),
    ],
)
def test_the_first_that_fails_ends_the_start(
    current: asyncio.AbstractEventLoop, commands: Hooks, tmp_path: Path, hook: HookSpec, said: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        current.run_until_complete(commands.start_up([hook, shell('echo x >> "$OUT"')]))
    (mistake,) = raised.value.mistakes
    assert (mistake.place, mistake.message, mistake.hint) == (PLACE, said, hint)
    assert not (tmp_path / "out").exists()


def test_the_loop_goes_on_meanwhile(
    current: asyncio.AbstractEventLoop, commands: Hooks, tmp_path: Path
) -> None:
    async def both() -> None:
        (tmp_path / "out").touch()
        running = current.create_task(commands.start_up([shell('while [ -e "$OUT" ]; do sleep 0.01; done')]))
        await asyncio.sleep(0)
        (tmp_path / "out").unlink()  # nobody would come to this if the loop were blocked
        await running

    current.run_until_complete(asyncio.wait_for(both(), 10))


def test_who_is_not_waited_for_any_more_is_killed_with_its_children(
    current: asyncio.AbstractEventLoop, commands: Hooks, tmp_path: Path
) -> None:
    async def cancelled() -> None:
        script = 'sleep 60 & echo $! > "$OUT.part"; mv "$OUT.part" "$OUT"; wait'
        running = current.create_task(commands.start_up([shell(script)]))
        await until((tmp_path / "out").exists)
        running.cancel()
        await asyncio.wait((running,))
        assert running.cancelled()
        await until(lambda: is_over(int((tmp_path / "out").read_text())))

    current.run_until_complete(asyncio.wait_for(cancelled(), 10))


def test_cancelled_while_it_is_being_started(
    current: asyncio.AbstractEventLoop, commands: Hooks, log: Remembering
) -> None:
    async def cancelled() -> None:
        for turns in range(5):
            running = current.create_task(commands.start_up([shell("exec sleep 60")]))
            for _ in range(turns):
                await asyncio.sleep(0)
            running.cancel()
            await asyncio.wait((running,))
            assert running.cancelled()

    current.run_until_complete(asyncio.wait_for(cancelled(), 10))
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    assert [pid for pid in children if not is_over(int(pid))] == []


def test_in_the_background_nobody_waits_but_its_end_is_told(
    current: asyncio.AbstractEventLoop, commands: Hooks, log: Remembering, tmp_path: Path
) -> None:
    async def background() -> None:
        (tmp_path / "out").touch()
        waiting = shell('while [ -e "$OUT" ]; do sleep 0.01; done; exit 7', is_background=True)
        await commands.start_up([waiting])
        assert log.of("command failed") == []
        (tmp_path / "out").unlink()
        await until(lambda: log.of("command failed"))

    current.run_until_complete(asyncio.wait_for(background(), 10))
    (line,) = log.of("command failed")
    assert line["reason"] == "the startup command `sh` ended with exit code 7"


def test_at_the_end_failures_are_told_and_the_next_one_runs(
    current: asyncio.AbstractEventLoop, commands: Hooks, log: Remembering, tmp_path: Path
) -> None:
    commanded = [shell("exit 1", "shutdown"), shell('echo ran >> "$OUT"', "shutdown")]
    current.run_until_complete(commands.shut_down(commanded))
    (line,) = log.of("command failed")
    assert line["reason"] == "the shutdown command `sh` ended with exit code 1"
    assert line["place"] == "Caddyfile:2:9"
    assert (tmp_path / "out").read_text() == "ran\n"


@pytest.mark.parametrize(("seconds", "cut"), [(30.0, 0), (0.05, 1)])
def test_the_end_does_not_wait_for_ever(
    current: asyncio.AbstractEventLoop,
    commands: Hooks,
    log: Remembering,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    cut: int,
) -> None:
    monkeypatch.setattr(hooks, "SHUTDOWN_COMMANDS_SECONDS", seconds)
    script = "exec sleep 60" if cut else "exit 0"
    current.run_until_complete(asyncio.wait_for(commands.shut_down([shell(script, "shutdown")]), 10))
    assert len(log.of("shutdown commands cut")) == cut


@pytest.mark.parametrize("has_stderr", [True, False])
def test_what_they_print_goes_to_stderr_if_there_is_one(
    current: asyncio.AbstractEventLoop, commands: Hooks, monkeypatch: pytest.MonkeyPatch, has_stderr: bool
) -> None:
    if not has_stderr:
        monkeypatch.setattr(sys, "stderr", None)
    script = "[ /proc/$$/fd/1 -ef /dev/null ] && [ /proc/$$/fd/2 -ef /dev/null ]"
    hook = shell(f"! {{ {script}; }}" if has_stderr else script)
    current.run_until_complete(commands.start_up([hook]))


def test_which_run_when() -> None:
    first = SiteSpec((), hooks=(HookSpec("startup", ("a",)), HookSpec("shutdown", ("b",))))
    config = Config((first, SiteSpec((), hooks=(HookSpec("startup", ("c",)),))))
    assert [hook.command for hook in hooks_of(config, "startup")] == [("a",), ("c",)]
    assert [hook.command for hook in hooks_of(config, "shutdown")] == [("b",)]
