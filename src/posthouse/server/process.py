"""Process: one worker in this process, put together from its parts and run until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from posthouse.adapt import Adapted
from posthouse.admin.server import AdminServer, AdminServers, Place
from posthouse.admin.socket_file import SocketFile
from posthouse.admin.tcp_place import TCPPlace
from posthouse.balance.policies import find_policy
from posthouse.balance.policy import Setting
from posthouse.config.specs import Config, PolicySpec
from posthouse.errors import ConfigError, Mistake
from posthouse.observe.process_log import Format, ProcessLog
from posthouse.server import generation, loops
from posthouse.server.admin_functions import AdminFunctions
from posthouse.server.discoverer import RESOLVER, name_servers
from posthouse.server.hooks import Hooks
from posthouse.server.logs import DryLogs
from posthouse.server.runtime import Runtime
from posthouse.server.status import Moment, Status
from posthouse.server.worker import Settings, Worker


def open_log(output: str, format: Format) -> ProcessLog:
    """The process log: to a file or "stderr". Raises StartError."""
    return ProcessLog(output, format)


class Process:
    """The parts of a worker (see `worker.Parts`), made before it and closed after it.

    loop                the value of POSTHOUSE_LOOP
    load                reads the configuration again; None: it did not come from a file
    is_case_sensitive   CASE_SENSITIVE_PATH
    env                 what commands of the configuration get; None: the process's environment
    Raises StartError when the loop can't be had.
    """

    def __init__(
        self,
        log: ProcessLog,
        loop: str,
        load: Callable[[], Adapted | None],
        *,
        is_case_sensitive: bool,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.log = log
        self.load = load
        self.hooks = Hooks(log, os.environ if env is None else env)
        self.loop = loops.factory(loops.choose(loop))()
        servers = name_servers(os.environ.get(RESOLVER, ""))
        self._runtime = Runtime(
            self.loop, self.log, is_case_sensitive=is_case_sensitive, name_servers=servers
        )
        self.relief = self._runtime
        self.listener = self._runtime.listener
        self.reopen_logs = self._runtime.reopen_logs
        self.admin: AdminServers | None = None

    def build(self, config: Config, previous: Any) -> generation.Generation:
        return generation.build(config, self._runtime, previous)

    async def rebuild(self, config: Config, previous: Any) -> generation.Generation:
        return await generation.rebuild(config, self._runtime, previous)

    async def prepare(self, config: Config) -> None:
        """See `worker.Parts`."""
        sources = [source for site in config.sites for route in site.routes for source in route.pool.sources]
        await self._runtime.discoverer.prepare(sources)

    def announce(self, ready: str) -> None:
        if sys.stderr is None:  # closed by who started us; print() would take stdout instead
            return
        with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
            print(ready, file=sys.stderr, flush=True)

    def serve(self, loaded: Adapted, settings: Settings) -> int:
        """Serve until stopped; the exit code. Raises ConfigError or StartError. Can be called once."""
        asyncio.set_event_loop(self.loop)
        try:
            worker = self._runtime.measuring.worker = Worker(loaded, settings, self)
            self.admin = self._admin(settings, worker)
            return self.loop.run_until_complete(worker.run())
        finally:
            self._close()

    def _admin(self, settings: Settings, worker: Worker) -> AdminServers:
        runtime, places = self._runtime, list[Place]()
        config = None
        if settings.admin is not None:
            config = settings.admin.config
            places.append(SocketFile(settings.admin.path, is_default=not settings.admin.is_wanted))
        if settings.admin_listen is not None:
            places.append(TCPPlace(*settings.admin_listen))
            runtime.measuring.count()
        status = Status(
            worker, config, runtime.probes, lambda: Moment(runtime.clock(), time.time()), runtime.discoverer
        )
        functions = AdminFunctions(status, runtime.measuring)
        return AdminServers([AdminServer(place, functions, self.log) for place in places])

    def _close(self) -> None:
        """Write what is to be written. The loop stays open: uvloop's close waits for transports that are."""
        self._runtime.close()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.log.close()
        asyncio.set_event_loop(None)


def judge_policies(policies: Iterable[PolicySpec]) -> list[Mistake]:
    """What building would find wrong with these: for a configuration that is not built for other mistakes."""
    mistakes: list[Mistake] = []
    for spec in policies:
        try:
            find_policy(spec, Setting((), random.Random(0)))
        except ConfigError as error:
            mistakes += error.mistakes
    return mistakes


def dry_build(config: Config) -> None:
    """Build all of a configuration and throw it away; not even log files are opened.

    Raises ConfigError for what only building can find (a misspelt policy).
    """
    loop = asyncio.new_event_loop()
    try:
        runtime = Runtime(loop, ProcessLog())
        runtime.logs = DryLogs(loop, runtime.log)
        generation.build(config, runtime, None).retire()
    finally:
        loop.close()
