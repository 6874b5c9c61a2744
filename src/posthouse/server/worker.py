"""Worker: one event loop with its listeners and the generation that serves now.

Laws
- A new configuration is built and bound completely before anything of the old one changes; a mistake or a
  taken port leaves everything as it was.
- What stays listening is never closed; what goes is emptied, then drained.
- Every exchange ends on the generation it began with. Stopping waits for all, at most `grace` seconds.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from posthouse.config.specs import Config, HookEvent, HookSpec
from posthouse.errors import ConfigError, StartError
from posthouse.server import memory, pidfile, signals
from posthouse.server.accepting import Admission
from posthouse.server.listeners import Listeners, Served
from posthouse.server.parts import AdminPlace, Loaded, Parts, Serving
from posthouse.server.ready import ready_line
from posthouse.server.sockets import ListenKey
from posthouse.server.tcp_settings import DEFAULT, tcp_settings
from posthouse.server.watch import Watch

DRAIN_LOOK_SECONDS = 0.02
"""How often a draining worker looks whether the last exchange is over."""

STOPPED, STOPPED_TWICE = 0, 2
"""Exit codes: stopped as asked; a second signal."""

CANNOT_RELOAD = "nothing to reload: the configuration did not come from a file"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says of a worker.

    grace        seconds that stopping waits for exchanges
    connections  downstream connections at most
    admin        where the admin socket is to be; None: there is none
    is_quiet     no ready line
    bound        sockets that listen already, by address
    """

    grace: float = 30.0
    connections: int = 512
    pidfile: str = ""
    is_watching: bool = False
    is_quiet: bool = False
    bound: Mapping[ListenKey, socket.socket] = field(default_factory=dict)
    admin: AdminPlace | None = None


class Worker:
    """Serves from `run` until stopped.

    `stop`, `reload` and `upgrade` are what signals do; they return at once and work goes on in the loop.
    """

    def __init__(self, loaded: Loaded, settings: Settings, parts: Parts) -> None:
        self._loaded = loaded
        self._settings = settings
        self._parts = parts
        self._log = parts.log
        self._generation: Serving | None = None
        self._retired: list[Serving] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False
        self._is_reloading = False
        self._reload_again = ""
        self.began = time.monotonic()

    def __repr__(self) -> str:
        return f"<Worker pid={os.getpid()} {self._generation!r} retired={len(self._retired)}>"

    async def run(self) -> int:
        """Start, serve until stopped; the exit code. Raises ConfigError or StartError when it can't start."""
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._on_bug)
        self._exit: asyncio.Future[int] = self._loop.create_future()
        admission = Admission(self._settings.connections, self._loop, self._log)
        self._listeners = Listeners(self._parts.listener, admission, self._loop)
        if not await self._start():
            return await self._exit
        watch = Watch(self._files, lambda: self.reload("watch"), self._loop) if self._is_watching else None
        try:
            return await self._exit
        finally:
            if watch is not None:
                watch.stop()
            self._remove_files()

    def _remove_files(self) -> None:
        if self._parts.admin is not None:
            self._parts.admin.close()
        if self._settings.pidfile:
            pidfile.remove(self._settings.pidfile)

    # --- what server/status.py asks

    @property
    def serving(self) -> Any:
        """The generation that takes new requests."""
        return self._generation

    @property
    def retiring(self) -> int:
        """Former generations on which exchanges still run."""
        return sum(one.in_flight > 0 for one in self._retired)

    @property
    def exchanges(self) -> int:
        """Exchanges that run, on all generations."""
        return self._in_flight()

    @property
    def connections(self) -> int:
        """Connections of clients that are open."""
        return self._listeners.connections()

    @property
    def _is_watching(self) -> bool:
        return self._settings.is_watching

    def _files(self) -> list[str]:
        return list(self._loaded.sources)

    async def _start(self) -> bool:
        """Whether it serves; False: it was stopped before."""
        config = self._loaded.config
        if not await self._unless_stopped(self._parts.prepare(config)):
            return False
        generation = self._parts.build(config, None)
        bound = self._listeners.bind(generation.listen, self._settings.bound)
        has_started = False
        try:
            if self._parts.admin is not None:
                self._parts.admin.claim()
            if self._settings.pidfile:
                pidfile.write(self._settings.pidfile)
            self._tell_notices(config)
            has_started = await self._run_startup_commands(config)
        finally:
            if not has_started:
                for listening in bound.values():
                    listening.close()
                self._remove_files()
        if not has_started:
            return False
        await self._serve(config, generation, bound)
        if self._parts.admin is not None:
            await self._parts.admin.serve()
        signals.listen(self._loop, self)
        if not self._settings.is_quiet:
            self._parts.announce(ready_line(config, self._listeners.ports(), os.getpid(), workers=1))
        self._log.info("started", pid=os.getpid(), sites=len(config.sites), generation=generation.number)
        memory.keep_freed()
        memory.settle()
        return True

    async def _run_startup_commands(self, config: Config) -> bool:
        """Whether to go on. Raises ConfigError."""
        hooks = hooks_of(config, "startup")
        return not hooks or await self._unless_stopped(self._parts.hooks.start_up(hooks))

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        """Whether to go on: False if a signal stopped us meanwhile. Raises what the work raises."""
        signals.listen(self._loop, self)  # it may take long, and must not outlive us
        running = self._loop.create_task(work)
        await asyncio.wait((running, self._exit), return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            running.cancel()
            await asyncio.wait((running,))
            return False
        running.result()
        return not self._is_stopping

    async def _serve(
        self, config: Config, generation: Serving, bound: Mapping[ListenKey, socket.socket]
    ) -> None:
        """From here on nothing can fail: `generation` takes the place of the one that serves now."""
        old, self._generation = self._generation, generation
        generation.start()
        limits, tcp = connection_limits(config), tcp_settings(config)
        served = {
            key: Served(generation.handler(key), limits.get(key, 0), tcp.get(key, DEFAULT))
            for key in generation.listen
        }
        await self._listeners.swap(served, bound)
        if old is not None:
            old.retire(generation)
            self._retired = [one for one in self._retired if one.in_flight] + [old]

    # --- reload

    def reload(self, cause: str) -> None:
        """Reopen the logs and swap in what the configuration says now. A mistake in it changes nothing.

        Asked again meanwhile, it is done once more afterwards, so that the last word of the file counts.
        """
        if cause != "watch":
            self._parts.reopen_logs()
        if self._is_stopping or self._generation is None:
            return
        if self._is_reloading:
            self._reload_again = cause
            return
        self._is_reloading = True
        self._spawn(self._reload(cause))

    async def _reload(self, cause: str) -> None:
        try:
            loaded = await self._loop.run_in_executor(None, self._parts.load)
            if self._is_stopping:
                return
            if loaded is None:
                self._log.info(CANNOT_RELOAD, cause=cause)
            elif cause != "watch" or loaded.config != self._loaded.config:
                await self._swap(loaded, cause)
        except Exception as error:  # whatever it is, it must not take down what serves
            self._tell_refusal(error, cause)
        finally:
            self._is_reloading = False
            if self._reload_again:
                again, self._reload_again = self._reload_again, ""
                self.reload(again)

    async def _swap(self, loaded: Loaded, cause: str) -> None:
        began = self._loop.time()
        await self._parts.prepare(loaded.config)
        if self._is_stopping:
            return
        generation = self._parts.build(loaded.config, self._generation)
        try:
            bound = self._listeners.bind(generation.listen)
        except BaseException:
            generation.retire()
            raise
        self._loaded = loaded
        self._tell_notices(loaded.config)
        await self._serve(loaded.config, generation, bound)
        took = round((self._loop.time() - began) * 1000)
        self._log.info(
            "reloaded",
            cause=cause,
            generation=generation.number,
            sites=len(loaded.config.sites),
            took_ms=took,
        )
        memory.settle()

    def _tell_refusal(self, error: Exception, cause: str) -> None:
        if isinstance(error, ConfigError):
            for mistake in error.mistakes:
                place = str(mistake.place)
                what = f"{mistake.message} ({mistake.hint})" if mistake.hint else mistake.message
                self._log.error("configuration", key=place, place=place, mistake=what)
            reason = f"{len(error.mistakes)} mistakes" if len(error.mistakes) > 1 else "1 mistake"
        else:
            reason = str(error) if isinstance(error, StartError) else repr(error)
        self._log.error("reload failed, the old configuration stays", key=reason, cause=cause, reason=reason)

    def _tell_notices(self, config: Config) -> None:
        for notice in config.notices:
            self._log.warn("configuration", place=str(notice.place), notice=notice.message)

    # --- stop

    def stop(self, cause: str) -> None:
        """Drain and end with 0; asked a second time, end at once with 2."""
        if self._is_stopping:
            self._log.warn("stopped by a second signal", signal=cause, cut=self._in_flight())
            self._end(STOPPED_TWICE)
            return
        self._is_stopping = True
        self._spawn(self._drain(cause))

    async def _drain(self, cause: str) -> None:
        try:
            grace = self._settings.grace
            self._log.info("stopping", signal=cause, in_flight=self._in_flight(), grace=f"{grace:g}s")
            deadline = self._loop.time() + grace
            await self._listeners.close()
            # Looking costs nothing now and spares every connection the duty to tell that it has ended.
            while self._listeners.connections() and self._loop.time() < deadline:  # noqa: ASYNC110
                await asyncio.sleep(DRAIN_LOOK_SECONDS)
            # An exchange that is over may still have its last bytes in a write buffer: that is cut as well.
            cut = max(self._in_flight(), self._listeners.abort())
            await asyncio.sleep(0)  # the connections learn of it, so that their exchanges are logged
            await asyncio.sleep(0)
            if self._generation is not None:
                await self._parts.hooks.shut_down(hooks_of(self._loaded.config, "shutdown"))
            self._log.info("stopped", cut=cut)
        finally:
            self._end(STOPPED)

    def _in_flight(self) -> int:
        serving = [self._generation] if self._generation is not None else []
        return sum(one.in_flight for one in [*self._retired, *serving])

    def _end(self, code: int) -> None:
        if not self._exit.done():
            self._exit.set_result(code)

    def upgrade(self, cause: str) -> None:
        """Not in this release; saying so is better than dying, which is the signal's default."""
        self._log.warn("upgrade by signal is not in this release yet; nothing was done", signal=cause)

    # --- bookkeeping

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_bug(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An exception that nobody caught: one line with its place; the connection it happened on is gone."""
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            self._log.error("no descriptor left for a further connection", error=os.strerror(error.errno))
            return
        where = ""
        trace = error.__traceback__ if isinstance(error, BaseException) else None
        while trace is not None:
            where = f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"
            trace = trace.tb_next
        self._log.error(
            "internal error", key=where, message=context.get("message", ""), error=repr(error), where=where
        )


def hooks_of(config: Config, event: HookEvent) -> list[HookSpec]:
    """The commands of all sites for an event, in the order of the file."""
    return [hook for site in config.sites for hook in site.hooks if hook.event == event]


def connection_limits(config: Config) -> dict[ListenKey, int]:
    """`limits connections` by address: as with v1's limits, the smallest of the sites that share one."""
    limits: dict[ListenKey, int] = {}
    for site in config.sites:
        for address in site.addresses:
            key = (site.bind, address.port)
            if site.limits.connections is not None:
                limits[key] = min(site.limits.connections, limits.get(key, site.limits.connections))
    return limits
