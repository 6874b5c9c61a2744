"""Process: one worker in this process, put together from its parts and run until it is stopped."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from posthouse.balance.orders import Orders
from posthouse.balance.policies import find_policy
from posthouse.balance.policy import Setting
from posthouse.config.delta import Delta
from posthouse.config.specs import Config, PolicySpec
from posthouse.errors import ConfigError, Mistake, StartError
from posthouse.observe.output import Output
from posthouse.observe.process_log import ProcessLog
from posthouse.observe.snapshot import Snapshot
from posthouse.server import generation, later, loops
from posthouse.server.asked_group import AskedGroup
from posthouse.server.built_site import key_files_of
from posthouse.server.channel import Channel
from posthouse.server.colleagues import Colleagues
from posthouse.server.control import Abort, Collected, Obeyed, Prepare, Reopened, ReopenLog, Welcome
from posthouse.server.key_files import KeyFiles
from posthouse.server.logs import DryLogs
from posthouse.server.runtime import Runtime
from posthouse.server.status import Moment, Status
from posthouse.server.told import Believed, Found, Noted
from posthouse.server.worker import Worker


class Process:
    """The parts of a worker (see `parts.WorkerParts`), made before it and closed after it.

    connection  its channel to the supervisor
    loop        the value of POSTHOUSE_LOOP
    Raises StartError when the log or the loop can't be had.
    """

    def __init__(self, welcome: Welcome, connection: socket.socket, loop: str) -> None:
        later.import_all()
        self._descriptor = welcome.descriptor
        about = {"worker": welcome.slot} if welcome.workers > 1 else {}
        output = Output(welcome.log, self._descriptor) if self._descriptor >= 0 else welcome.log
        self.log = ProcessLog(output, welcome.log_format, about=about)
        self.loop = loops.factory(loops.choose(loop))()
        self._runtime = Runtime(
            self.loop, self.log, is_case_sensitive=welcome.is_case_sensitive, is_told=True
        )
        if welcome.secret:
            self._runtime.secret = welcome.secret
        self._runtime.worker, self._runtime.workers = welcome.slot, welcome.workers
        self.listener = self._runtime.listener
        self.relief = self._runtime
        runtime = self._runtime
        self._worker = runtime.measuring.worker = Worker(welcome, self)
        if welcome.is_counting:
            runtime.measuring.count()
        moment = lambda: Moment(runtime.clock(), time.time())  # noqa: E731
        self._status = Status(self._worker, None, moment)
        self._channel = Channel(
            connection, self.loop, self._worker.hear, self._worker.orphaned, is_greeted=True
        )
        self._channel.keep_room()  # the process log comes as a descriptor, also under pressure
        self.tell = self._channel.send
        self._group = AskedGroup(self.tell)
        runtime.measuring.collect_all = self._group.collect
        if welcome.workers > 1:
            self._runtime.logs.share(self.tell, is_first=welcome.slot == 0)
            runtime.colleagues = Colleagues(runtime, welcome.slot, self._worker, self.tell)

    async def build(self, prepare: Prepare, config: Config, previous: Any) -> generation.Generation:
        """See `parts.WorkerParts`."""
        self._runtime.files.given = prepare.files
        if previous is None:
            built = generation.build(config, self._runtime, None)
        else:
            built = await generation.rebuild(config, self._runtime, previous)
        built.number = prepare.number
        return built

    def reopen_logs(self, descriptors: Sequence[int]) -> None:
        """See `parts.WorkerParts`."""
        for fresh in descriptors:
            os.dup2(fresh, self._descriptor, inheritable=False)
            os.close(fresh)
        self._runtime.reopen_logs()

    def reopen_log(self, message: ReopenLog) -> None:
        """See `parts.WorkerParts`."""
        is_done = self._runtime.logs.reopen_file(message.path)
        self.tell(Reopened(message.path, message.turn, is_done))

    def status(self) -> Iterator[dict[str, object]]:
        """See `parts.WorkerParts`."""
        return self._status.pieces()

    async def measure(self) -> Snapshot:
        """See `parts.WorkerParts`."""
        return await self._runtime.measuring.tell()

    def collected(self, message: Collected) -> None:
        """See `parts.WorkerParts`."""
        self._group.hear(message)

    def hear_of_group(self, message: object, descriptors: list[int]) -> None:
        """See `parts.WorkerParts`."""
        assert self._runtime.colleagues is not None
        try:
            self._runtime.colleagues.hear(message, descriptors)
        except (
            StartError
        ) as error:  # of another version: what we would write there would harm those who serve
            self.log.error("worker can't work with the others", reason=str(error))
            self._worker.hear(Abort(), [])

    def obey(self, orders: Orders) -> None:
        """See `parts.WorkerParts`."""
        before, self._runtime.orders = self._runtime.orders, orders
        serving = self._worker.serving
        if serving is not None:
            serving.obey({**before.by_pool, **orders.by_pool})
        self.tell(Obeyed())

    def learn(self, told: Believed | Found) -> None:
        """See `parts.WorkerParts`."""
        assert self._runtime.told is not None
        self._runtime.told.hear(told, self._worker.pools)
        self.tell(Noted())

    def tidy_log(self, path: str) -> None:
        """See `parts.WorkerParts`."""
        self._runtime.logs.tidy(path)

    def serve(self) -> int:
        """Serve until stopped; the exit code. Can be called once."""
        asyncio.set_event_loop(self.loop)
        try:
            return self.loop.run_until_complete(self._worker.run())
        finally:
            self._close()

    def _close(self) -> None:
        """Write what is to be written. The loop stays open: uvloop's close waits for transports that are."""
        self._runtime.close()
        if self._runtime.colleagues is not None:
            self._runtime.colleagues.close()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.log.close()
        self._channel.close()
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


def what_to_check(config: Config, delta: Delta) -> Config:
    """What a dry build has to look at after a delta: the sites that it builds anew, and those with files that may have
    changed."""
    built = {id(site) for site in delta.built}
    return Config(tuple(site for site in config.sites if id(site) in built or key_files_of(site)))


def dry_build(config: Config) -> Mapping[str, bytes]:
    """Build all of a configuration and throw it away; not even log files are opened.

    Answers what the files with keys and passwords hold, by path: for workers that may not read them.
    Raises ConfigError for what only building can find (a misspelt policy).
    """
    loop = asyncio.new_event_loop()
    try:
        runtime = Runtime(loop, ProcessLog())
        runtime.logs = DryLogs(loop, runtime.log)
        runtime.files = KeyFiles(is_noting=True)
        built = generation.build(config, runtime, None)
        if any(pool.sessions is not None and not pool.sessions.secret for pool in built.pools.values()):
            runtime.session_key()
        built.retire()
        return runtime.files.noted
    finally:
        loop.close()
