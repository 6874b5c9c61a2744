"""Commands of the configuration (`on startup`, `on shutdown`): run in the event loop, which they never block.

Without a shell, with the environment of Posthouse and the env file; what they print goes to our stderr.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping, Sequence

from posthouse.caddyfile.messages import quote
from posthouse.config.specs import Config, HookEvent, HookSpec
from posthouse.errors import ConfigError, Mistake
from posthouse.observe.process_log import ProcessLog

SHUTDOWN_COMMANDS_SECONDS = 10.0
"""What all shutdown commands may take together: who stops us waits for a bounded time (systemd: 90 s)."""


class Hooks:
    """Runs commands. Those in the foreground are killed with all they have started when nobody waits any more."""

    def __init__(self, log: ProcessLog, env: Mapping[str, str]) -> None:
        self._log = log
        self._env = env
        self._background: set[asyncio.Task[None]] = set()

    async def start_up(self, hooks: Sequence[HookSpec]) -> None:
        """Run them one after the other. Raises ConfigError, with its place, at the first that fails."""
        for hook in hooks:
            wrong = await self._run(hook)
            if wrong:
                hint = "commands are run without a shell" if "No such file" in wrong else ""
                raise ConfigError(Mistake(hook.place, wrong, len(hook.command[0]), hint))

    async def shut_down(self, hooks: Sequence[HookSpec]) -> None:
        """Run them one after the other, for SHUTDOWN_COMMANDS_SECONDS. What fails is told."""
        try:
            async with asyncio.timeout(SHUTDOWN_COMMANDS_SECONDS):
                for hook in hooks:
                    wrong = await self._run(hook)
                    if wrong:
                        self._log.warn("command failed", place=str(hook.place), reason=wrong)
        except TimeoutError:
            self._log.warn("shutdown commands cut", after=f"{SHUTDOWN_COMMANDS_SECONDS:g}s")

    async def _run(self, hook: HookSpec) -> str:
        """Run one; what went wrong, or ""."""
        program = quote(hook.command[0])
        self._log.info("command", event=hook.event, place=str(hook.place), program=hook.command[0])
        spawning = asyncio.get_running_loop().create_task(self._spawn(hook))
        try:
            # Cancelled half-way, a process could be there that nobody knows of.
            process = await asyncio.shield(spawning)
        except asyncio.CancelledError:
            await asyncio.wait((spawning,))
            if not hook.is_background and spawning.exception() is None:
                await _kill(spawning.result())
            raise
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            return f"cannot run {program}: {reason}"
        if hook.is_background:
            task = asyncio.get_running_loop().create_task(self._watch(hook, process))
            self._background.add(task)
            task.add_done_callback(self._background.discard)
            return ""
        return _judge(f"the {hook.event} command {program}", await _end_of(process))

    async def _spawn(self, hook: HookSpec) -> Process:
        output = DEVNULL if sys.stderr is None else 2
        return await asyncio.create_subprocess_exec(
            *hook.command,
            stdin=DEVNULL,
            stdout=output,
            stderr=output,
            env=self._env,
            # A group of its own can be killed as a whole. In the background it stays in ours, as with v1.
            start_new_session=not hook.is_background,
        )

    async def _watch(self, hook: HookSpec, process: Process) -> None:
        wrong = _judge(f"the {hook.event} command {quote(hook.command[0])}", await process.wait())
        if wrong:
            self._log.warn("command failed", place=str(hook.place), reason=wrong)


async def _end_of(process: Process) -> int:
    """Its exit code, negative for a signal. Cancelled: it is killed."""
    try:
        return await process.wait()
    finally:
        await _kill(process)


async def _kill(process: Process) -> None:
    """The end of it and of what it has started, unless it has ended by itself."""
    if process.returncode is None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _judge(what: str, code: int) -> str:
    if code < 0:
        return f"{what} was ended by signal {-code}"
    return f"{what} ended with exit code {code}" if code else ""


def hooks_of(config: Config, event: HookEvent) -> list[HookSpec]:
    """The commands of all sites for an event, in the order of the file."""
    return [hook for site in config.sites for hook in site.hooks if hook.event == event]
