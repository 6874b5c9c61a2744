"""Supervisor: the process that the outside knows. It binds, starts the workers and serves no request itself.

Laws
- Reading, checking and a build of all that changes come before anything changes; a mistake or a taken port leaves
  everything as it was, in every worker.
- Signals are methods: they return at once, and the work goes on in the loop.
- The commands of the configuration, the pid file, the ready line and the service manager are its, once.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any

from posthouse.config.delta import Delta, apply_delta, make_delta
from posthouse.config.specs import Config
from posthouse.errors import StartError
from posthouse.server import bugs, memory, signals
from posthouse.server.bindings import Bindings, Bound, listen_keys
from posthouse.server.child import Child
from posthouse.server.control import Prepare
from posthouse.server.group_metrics import GroupMetrics
from posthouse.server.hooks import hooks_of
from posthouse.server.insignia import Insignia
from posthouse.server.ordering import Ordering
from posthouse.server.parts import Loaded, Scout, Settings, SupervisorParts
from posthouse.server.predecessor import Predecessor
from posthouse.server.ready import ready_line
from posthouse.server.reloads import Outcome, Reloads, refused, tell_notices, tell_refusal
from posthouse.server.slices import in_thread
from posthouse.server.sockets import ListenKey
from posthouse.server.tasks import Tasks
from posthouse.server.upgrades import Upgraded, Upgrades
from posthouse.server.watch import Watch, look
from posthouse.server.workers import Workers

STOPPED, FAILED, STOPPED_TWICE = 0, 1, 2
"""Exit codes: stopped as asked; no worker can live; a second signal."""

CANNOT_RELOAD = "nothing to reload: the configuration did not come from a file"
STOPPING = "it is stopping"
ABORT_SECONDS = 1.0
"""After a second signal, until workers that have not ended are killed."""


class Supervisor:
    """Serves from `run` until stopped, through its workers.

    `stop`, `reload` and `upgrade` are what signals do; they return at once and work goes on in the loop.
    """

    def __init__(self, loaded: Loaded, settings: Settings, parts: SupervisorParts) -> None:
        self._config = loaded.config
        self._sources = loaded.sources
        self._settings = settings
        # Before the start, which may take long: what changes meanwhile is to be noticed.
        self._looks = look(loaded.sources) if settings.is_watching else {}
        self._parts = parts
        self._log = parts.log
        self._number = 0
        self._predecessor = settings.predecessor
        inherited = self._predecessor.sockets if self._predecessor is not None else None
        self._bindings = Bindings(settings.workers, settings.bound, inherited)
        self._workers = Workers(
            self._start_worker, self._bindings, parts.log, settings.workers, settings.heartbeat
        )
        self.ordering = Ordering(self._workers.children, parts.log)
        self.ordering.inherit(self._predecessor.orders if self._predecessor is not None else ())
        self.scout: Scout | None = None
        self.metrics = GroupMetrics(self, self._workers)
        self.metrics.is_counting = settings.admin_listen is not None
        self._tasks = Tasks()
        self.began = time.monotonic()
        self._is_stopping = self._is_aborting = False
        self._insignia = Insignia(parts, settings.pidfile)
        self._upgrades = Upgrades(self, self._workers, self._bindings, self._insignia, parts)

    def __repr__(self) -> str:
        return f"<Supervisor pid={os.getpid()} generation={self._number} {self._workers!r}>"

    async def run(self) -> int:
        """Start, serve until stopped; the exit code. Raises ConfigError or StartError when it can't start."""
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(bugs.teller(self._log))
        self._exit: asyncio.Future[int] = self._loop.create_future()
        self._reloads = Reloads(self._reload, self._loop, self._tasks.spawn)
        self._workers.on_lost = self._on_lost
        self._workers.on_changed = self._upgrades.is_last_resort
        watch = None
        try:
            if not await self._start():
                return await self._exit
            if self._settings.is_watching:
                files = lambda: list(self._sources)  # noqa: E731
                watch = Watch(files, lambda: self.reload("watch"), self._loop, self._looks)
            return await self._exit
        finally:
            if watch is not None:
                watch.stop()
            if self.scout is not None:
                self.scout.close()
            await self._workers.bury()
            self._bindings.close()
            self._insignia.close()

    @property
    def workers(self) -> Workers:
        """Who serves."""
        return self._workers

    @property
    def number(self) -> int:
        """That of the generation that is served; 0 = none yet."""
        return self._number

    @property
    def config(self) -> Config:
        """What is served."""
        return self._config

    @property
    def is_ready(self) -> bool:
        """Whether anybody serves here: we, unless we are about to stop, or who has taken our place."""
        serving = any(child.is_serving for child in self._workers.children())
        return self._upgrades.is_done or (self._number > 0 and not self._is_stopping and serving)

    # --- start

    async def _start_worker(self, slot: int, on_message: Callable[[Child, object], None]) -> Child:
        child = await self._parts.start_worker(slot, on_message)
        self.ordering.welcome(child)
        if self.scout is not None:
            self.scout.welcome(child)
        return child

    async def _start(self) -> bool:
        """Whether it serves; False: it was stopped before. Raises ConfigError or StartError."""
        signals.listen(self._loop, self)  # what follows may take long, and must not outlive us
        await self._workers.start()
        self._parts.import_the_rest()
        config = self._config
        self.scout = scout = self._parts.scout(self._workers.children)
        if self._predecessor is not None:
            scout.expect(self._predecessor.beliefs)
        if not await self._unless_stopped(scout.ask(config)):
            return False
        prepare = Prepare(1, config, self._parts.first_files(config))
        if not await self._unless_stopped(self._workers.first(prepare)):
            return False
        await scout.prepare(config)
        fresh = self._bindings.bind(listen_keys(config))
        self._bindings.take(fresh)
        if self._predecessor is None:
            self._insignia.take()
            await self._insignia.serve()
        tell_notices(self._log, config)
        hooks = hooks_of(config, "startup") if self._predecessor is None else []
        if hooks and not await self._unless_stopped(self._parts.hooks.start_up(hooks)):
            return False
        await self._workers.commit(prepare, fresh, {})
        scout.commit()
        self._number = 1
        self.metrics.reloads.start(time.time())
        if self._predecessor is not None:
            return await self._succeed(self._predecessor)
        self._tell_start(config)
        self._parts.manager.ready()
        return True

    async def _succeed(self, predecessor: Predecessor) -> bool:
        """Beside it we serve: take what only one can have. As `_start`, but what has come to us is finished anyway."""
        if not await self._unless_stopped(predecessor.release()):
            return False
        self.ordering.inherit(predecessor.orders)
        self.ordering.keep(self._config, "upgrade")
        try:
            self._insignia.take()
            await self._insignia.serve()
        except StartError as error:
            self._is_stopping = True
            self._insignia.close()
            predecessor.refuse(str(error))
            await self._workers.stop("no succession", self._tell_stop("no succession"), self._settings.grace)
            raise
        self._tell_start(self._config, predecessor=predecessor.pid)
        await predecessor.settle()
        self._predecessor = None
        self._parts.manager.ready()
        return True

    def _tell_start(self, config: Config, predecessor: int = 0) -> None:
        count = len(self._workers)
        if not self._settings.is_quiet:
            self._parts.announce(ready_line(config, self._bindings.ports(), os.getpid(), workers=count))
        more: dict[str, Any] = {"predecessor": predecessor} if predecessor else {}
        sites = len(config.sites)
        self._log.info("started", pid=os.getpid(), workers=count, sites=sites, generation=1, **more)

    async def _unless_stopped(self, work: Coroutine[Any, Any, object]) -> bool:
        """Whether to go on: False if a signal stopped us meanwhile. Raises what the work raises."""
        running = self._loop.create_task(work)
        await asyncio.wait((running, self._exit), return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            running.cancel()
            await asyncio.wait((running,))
            return False
        running.result()
        return not self._is_stopping

    def _on_lost(self, reason: str) -> None:
        self._log.error("no worker is left that serves", reason=reason)
        self._end(FAILED)

    # --- reload

    def reload(self, cause: str) -> asyncio.Future[Outcome]:
        """Reopen the logs and swap in what the configuration says now. A mistake in it changes nothing.

        Asked again meanwhile, it is done once more afterwards. The answer says how it went.
        """
        if cause != "watch":
            self._workers.reopen_logs(self._parts.reopen_logs())
        if self._is_stopping or not self._number:
            ended = self._loop.create_future()
            ended.set_result(Outcome(refusal=STOPPING if self._is_stopping else "it is starting"))
            return ended
        return self._upgrades.postponed(cause) or self._reloads.ask(cause)

    async def _reload(self, cause: str) -> Outcome:
        sources: Mapping[str, str] = {}
        self._parts.manager.reloading()
        try:
            found = await in_thread(self._loop, self._read_again)
            if self._is_stopping:
                return Outcome(refusal=STOPPING)
            if found is None:
                self._log.info(CANNOT_RELOAD, cause=cause)
                return Outcome(refusal=CANNOT_RELOAD)
            delta, sources = found
            if cause == "watch" and delta.is_nothing(self._config):
                self._sources = sources
                return Outcome(self._number, len(self._config.sites))
            outcome = await self._swap(delta, cause)
            if not outcome.refusal:
                self._sources = sources
            return outcome
        except Exception as error:  # whatever it is, it must not take down what serves
            if self._is_stopping:
                return Outcome(refusal=STOPPING)
            outcome = refused(error, sources)
            self.metrics.reloads.fail()
            tell_refusal(self._log, outcome, cause)
            return outcome
        finally:
            if not self._is_stopping:
                self._parts.manager.ready()

    def _read_again(self) -> tuple[Delta, Mapping[str, str]] | None:
        """In a thread: what has changed in the configuration, and the files it came from."""
        with memory.no_collections():
            loaded = self._parts.load()
            return (make_delta(self._config, loaded.config), loaded.sources) if loaded is not None else None

    def _check(self, config: Config, delta: Delta) -> Mapping[str, bytes]:
        try:
            return self._parts.check(config, delta)
        finally:
            # A build for nothing leaves cycles (a loop, a runtime), which the next reload would freeze for good.
            gc.collect()

    async def _swap(self, delta: Delta, cause: str) -> Outcome:
        """Have what the delta makes of the configuration served. Raises ConfigError or StartError; nothing has changed
        then."""
        began = self._loop.time()
        config = apply_delta(self._config, delta)
        files = await in_thread(self._loop, lambda: self._check(config, delta))
        async with self._workers.change():
            prepare = Prepare(self._number + 1, delta, files)
            keys = listen_keys(config)
            fresh = await self._prepare(prepare, config, keys)
            if fresh is None:
                return Outcome(refusal=STOPPING)
            self._bindings.take(fresh)
            tell_notices(self._log, config, self._config)
            self._number, self._config = prepare.number, config
            self.metrics.keep(config)
            whole = replace(prepare, wanted=config)
            await self._workers.commit(whole, fresh, self._bindings.leave(keys))
            assert self.scout is not None
            self.scout.commit()
            self.ordering.keep(config)
        self.metrics.reloads.succeed(time.time())
        took = round((self._loop.time() - began) * 1000)
        outcome = Outcome(prepare.number, len(config.sites), len(delta.built), took)
        facts: dict[str, Any] = outcome.report()
        self._log.info("reloaded", cause=cause, **facts)
        return outcome

    async def _prepare(self, prepare: Prepare, config: Config, keys: Sequence[ListenKey]) -> Bound | None:
        """Everything of a swap that can fail; the sockets of new addresses, or None: we are stopping."""
        assert self.scout is not None
        try:
            await self.scout.ask(config)
            await self.scout.prepare(config)
            await self._workers.prepare(prepare)
            return None if self._is_stopping else self._bindings.bind(keys)
        except BaseException:
            self._workers.abandon(prepare)
            self.scout.abandon()
            raise

    # --- stop

    def stop(self, cause: str) -> None:
        """Drain and end with 0; asked a second time, end at once with 2."""
        if self._is_stopping:
            self._is_aborting = True
            self._tasks.spawn(self._abort(cause))
        else:
            self._is_stopping = True
            self._tasks.spawn(self._drain(cause))

    async def _drain(self, cause: str) -> None:
        await self._upgrades.cancel()
        is_service_over = self._predecessor is None and not self._upgrades.is_done
        if is_service_over:
            self._parts.manager.stopping()
        tell = self._tell_stop(cause)
        if not self._number:  # nothing is served yet
            tell(0)
            self._log.flush()
            self._log.info("stopped", cut=0)
            self._end(STOPPED)
            return

        try:
            cut = await self._workers.stop(cause, tell, self._settings.grace)
            if not self._is_aborting:
                if is_service_over:
                    await self._parts.hooks.shut_down(hooks_of(self._config, "shutdown"))
                self._log.flush()  # how many lines were held back: the last line says that it is over
                self._log.info("stopped", cut=cut)
        finally:
            if not self._is_aborting:
                self._end(STOPPED)

    def _tell_stop(self, cause: str) -> Callable[[int], None]:
        grace = f"{self._settings.grace:g}s"
        return lambda in_flight: self._log.info("stopping", signal=cause, in_flight=in_flight, grace=grace)

    async def _abort(self, cause: str) -> None:
        try:
            cut = await self._workers.abort(ABORT_SECONDS)
            self._log.warn("stopped by a second signal", signal=cause, cut=cut)
        finally:
            self._end(STOPPED_TWICE)

    def _end(self, code: int) -> None:
        if not self._exit.done():
            self._exit.set_result(code)

    # --- upgrade

    def upgrade(self, cause: str) -> asyncio.Future[Upgraded]:
        """Have another process take over, of the version that is installed now; how that went, once it is known."""
        return self._upgrades.ask(cause)

    def why_not(self) -> str:
        """Why nobody can take over now, one line; "": somebody can."""
        if self._is_stopping or not self._number:
            return STOPPING if self._is_stopping else "nothing is served yet"
        return "a reload is under way" if self._reloads.is_running else ""
